"""Answer AutoScribe's questions about a study from the hospital's orders and from the patient's prior reports.

AutoScribe REST API, webhooks `patient_study.enrichment_requested` and `clinical_context.enrichment_requested`; HL7
v2.5.1 §4.5.3.31 (OBR-31), §3.4.2.3 (PID-3), decisions D11, D12, D17, D36, D48. A question is answered only where its
numbers all agree with exactly one group of orders, under the authorities of the clinic's facilities. Otherwise nothing
is said. A prior is of the same facility and the same identity key, and in no conflict. Signed addenda stand above their
report, the newest first, since no superseded statement stands alone. A text too long for the contract is not cut: the
prior is left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final

from mappings.hospital.authorities import Authorities, OrderKey
from mappings.hospital.groups import are_different, compare_numbers, patient_numbers
from mappings.hospital.known_order import KnownOrder
from mappings.hospital.match import KnownHospital, OrderSearch, match
from mappings.model import Facts, Report, Snapshot, Study
from mappings.patient.identifiers import identify, is_doubtful, is_placeholder, mrn_key
from mappings.patient.people import person, said_of
from mappings.patient.subjects import Subject, subjects
from mappings.profile import AssigningAuthority, Facility, Site
from mappings.study.conclusion import ABSENT, header
from mappings.values.dates import parse_date, parse_instant
from mappings.values.text import is_merged, normal_form

Answer = dict[str, Any]
_NOBODY: Final = person(Snapshot())
_LENGTH_OF_DAY: Final = 8
# PID-8, table 0001 -> sex; other values are not said
_SEX: Final = {"F": "female", "M": "male", "O": "other"}
# Table 0485 -> severity, as IHE RAD TF-2 §4.4 maps TQ1-9 to DICOM (0040,1003); other values are not said
_SEVERITY: Final = {"S": "stat", "A": "high", "R": "normal"}
NOTE: Final = "Order note: "
"""Beginning of a note that is the order's, and no technologist's."""
MOST_NOTES: Final = 50
LONGEST_NOTE: Final = 1000
MOST_PRIORS: Final = 50


@dataclass(frozen=True, slots=True)
class StudyQuestion:
    """Question of AutoScribe about a study: stripped texts, empty for what it does not say.

    `patient_numbers` are all numbers of the patient that it gives: none may contradict, and one must agree.
    """

    clinic_id: str
    study_uid: str
    accession: str = ""
    patient_numbers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AgreedOrders:
    """Orders that a question is about, and the facility under whose authorities its numbers match them.

    `mrn` is the patient's number as it is said, empty if that is not clear. `values` are all numbers of the patient
    under the facility's MRN system, as the question and the orders have them.
    """

    facility: Facility
    orders: tuple[KnownOrder, ...]
    mrn: str
    values: tuple[str, ...]


def clinic_facilities(site: Site, clinic_id: str) -> tuple[Facility, ...]:
    """Return the facilities whose `clinic_ids` name this clinic; none for an unknown clinic."""
    wanted = clinic_id.strip().casefold()
    every = dict.fromkeys(site.facilities.values())
    return tuple([one for one in every if wanted and wanted in (known.casefold() for known in one.clinic_ids)])


def search_keys(question: StudyQuestion, facility: Facility, authorities: Authorities) -> tuple[OrderKey, ...]:
    """Return the keys of orders that a question may be about at a facility: its accession number and study UID."""
    system = authorities.system_of("accession", facility)
    keys = []
    if system and question.accession:
        keys.append(OrderKey("accession", system, question.accession))
    if question.study_uid:
        keys.append(OrderKey("study_uid", "", question.study_uid))
    return tuple(keys)


def agreed_orders(question: StudyQuestion, known: KnownHospital, at: datetime) -> AgreedOrders | None:
    """Find the one group of orders that matches the question; None if none does, or several do."""
    found = [
        agreed
        for facility in clinic_facilities(known.authorities.site, question.clinic_id)
        if (agreed := _agreed_at(facility, question, known, at))
    ]
    return found[0] if len(found) == 1 else None


def enrichment_answer(agreed: AgreedOrders) -> Answer:
    """Answer `patient_study.enrichment_requested` with the values on which all orders agree.

    The day of the study is not said: orders do not know it.
    """
    orders = agreed.orders
    patients = [order.patient for order in orders]
    procedure = _one(order.procedure.text for order in orders)
    said = {
        "mrn": agreed.mrn,
        "facilityName": agreed.facility.name,
        "patientName": _one(_name(one.family, one.given, one.middle) for one in patients),
        "dateOfBirth": _one(_day(one.born) for one in patients),
        "sex": _one(_SEX.get(one.sex, "") for one in patients),
        "procedure": procedure,
        "studyDescription": procedure,
        "referringPhysicianName": _one(_ordering(order) for order in orders),
        "severity": _one(_SEVERITY.get(order.priority, "") for order in orders),
    }
    return {key: value for key, value in said.items() if value}


def context_answer(agreed: AgreedOrders, priors: Sequence[Mapping[str, str]]) -> Answer:
    """Answer `clinical_context.enrichment_requested` with indication and notes of the orders, and prior reports.

    Notes that the contract has no room for are left out as a whole: part of them could mislead.
    """
    indications = _distinct(" ".join(_lines(order.indication)) for order in agreed.orders)
    notes = _notes([line for order in agreed.orders for line in _lines(order.notes)])
    said: Answer = {
        "clinicalIndication": "; ".join(indications),
        "technologistNotes": notes,
        "priorReports": [dict(one) for one in priors[:MOST_PRIORS]],
    }
    return {key: value for key, value in said.items() if value}


def told_beyond(answer: Mapping[str, Any], question: StudyQuestion) -> tuple[str, ...]:
    """Return an answer's numbers that AutoScribe did not have: coming back, they prove nothing."""
    given = {mrn_key(one) for one in question.patient_numbers}
    mrn = str(answer.get("mrn", ""))
    return (mrn,) if mrn and mrn_key(mrn) not in given else ()


def _agreed_at(facility: Facility, question: StudyQuestion, known: KnownHospital, at: datetime) -> AgreedOrders | None:
    issuer, numbers = facility.mrn, [one for one in question.patient_numbers if one]
    keys = search_keys(question, facility, known.authorities)
    if not issuer or not numbers or not keys:
        return None
    if any(is_placeholder(one) or is_doubtful(one, facility.mrn_pattern) for one in numbers):
        return None
    search = OrderSearch(
        keys=keys,
        missing="",
        study_uid=question.study_uid,
        patient_numbers=tuple([(issuer.system, mrn_key(one)) for one in numbers]),
        person=_NOBODY,
        day=None,
        pointer="/data",
    )
    found = match(search, known, at)
    kinds = {key.kind for key in found.keys}
    if not found.orders or (question.accession and "accession" not in kinds):
        return None
    if not all(_has_number(order, numbers, issuer, known) for order in found.orders):
        return None
    values = tuple(dict.fromkeys((*numbers, *_values(found.orders, issuer, known))))
    return AgreedOrders(facility, found.orders, _mrn(values, found.orders, issuer, known), values)


def _has_number(order: KnownOrder, numbers: Sequence[str], issuer: AssigningAuthority, known: KnownHospital) -> bool:
    """True if an order's patient has one of the numbers, after merges."""
    theirs = patient_numbers(order, known.authorities, known.merges)
    of_issuer = frozenset(one for one in theirs if one.authority == issuer.system)
    ours = frozenset(
        known.merges.survivor(one._replace(value=mrn_key(number))) for one in of_issuer for number in numbers
    )
    return compare_numbers(of_issuer, ours) == "agrees"


def _values(orders: Iterable[KnownOrder], issuer: AssigningAuthority, known: KnownHospital) -> Iterator[str]:
    """Yield the patient's numbers under an authority, as the orders have them."""
    for order in orders:
        for number in order.patient.numbers:
            if any(one.authority == issuer.system for one in known.authorities.patient_numbers([number], order.source)):
                yield number.value.strip()


def _mrn(values: Iterable[str], orders: Iterable[KnownOrder], issuer: AssigningAuthority, known: KnownHospital) -> str:
    """Return the MRN to answer: as first written, if it survives merges; empty if none does, or two do."""
    surviving = {
        number.value
        for order in orders
        for number in patient_numbers(order, known.authorities, known.merges)
        if number.authority == issuer.system
    }
    fitting = [value for value in values if mrn_key(value) in surviving]
    return fitting[0] if fitting and len(surviving) == 1 else ""


def _name(family: str, given: str, middle: str) -> str:
    """Return the name with a comma after the family name; empty if a part is unknown."""
    first, *more = (_line(one) for one in (family, given, middle))
    return f"{first}, {' '.join(one for one in more if one)}" if first and more[0] else ""


def _ordering(order: KnownOrder) -> str:
    one = order.ordering[0] if order.ordering else None
    return _name(one.family, one.given, one.middle) if one else ""


def _day(born: str) -> str:
    text = f"{born[:4]}-{born[4:6]}-{born[6:]}" if len(born) == _LENGTH_OF_DAY else ""
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        return ""


def _one(values: Iterable[str]) -> str:
    """Return the value on which all orders agree; empty if they differ, or one lacks it."""
    every = {_line(value) for value in values}
    return every.pop() if len(every) == 1 else ""


def _notes(lines: Sequence[str]) -> list[str]:
    """Join lines into as few notes as the contract allows; none if they do not fit."""
    notes: list[str] = []
    for line in lines:
        if len(NOTE + line) > LONGEST_NOTE:
            return []
        if notes and len(notes[-1]) + 1 + len(line) <= LONGEST_NOTE:
            notes[-1] += f"\n{line}"
        else:
            notes.append(NOTE + line)
    return notes if len(notes) <= MOST_NOTES else []


def _distinct(texts: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(text for text in texts if text))


def _lines(texts: Iterable[str]) -> list[str]:
    return _distinct(_line(text) for text in texts)


def _line(text: str) -> str:
    return " ".join(normal_form(text).split())


LONGEST_TEXT: Final = 50_000
_LONGEST: Final = {"externalStudyId": 256, "modality": 100, "studyDescription": 1000}
_CONFLICT: Final = "identity-conflict"
_WHOLE_DATE: Final = 10


@dataclass(frozen=True, slots=True)
class PriorReport:
    """Prior report for an answer: `told` is the contract's object; the ids are of what it shows."""

    told: dict[str, str]
    patient_id: str
    report_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class WantedPriors:
    """Study of a question, for finding priors: its facility, its patient's ids (`patient_ids`), and its orders.

    Name, birth date and sex of the orders may refuse a prior.
    """

    study_uid: str
    facility: Facility
    patient_ids: frozenset[str]
    orders: tuple[KnownOrder, ...]


def patient_ids(facility: Facility, values: Iterable[str], site: Site) -> frozenset[str]:
    """Return the ids of the patients with these MRNs of a facility; a doubtful number identifies nobody."""
    made = [identify(Study("", ()), Snapshot(facility_name=facility.name, mrn=one), site, "") for one in values]
    return frozenset(one.patient_id for one in made if one.is_linked)


def prior_reports(stored: Iterable[tuple[Study, Facts]], wanted: WantedPriors, site: Site) -> tuple[PriorReport, ...]:
    """Choose prior reports among stored studies, in their order; none if one study describes another person."""
    chosen: list[PriorReport] = []
    for study, facts in stored:
        is_itself = (study.study_instance_uid or "").strip() == wanted.study_uid
        if is_itself or study.is_cancelled or study.study_type == "external":
            continue
        own = _own_subject(study, facts, wanted, site)
        if own is None:
            continue
        here = said_of(own.snapshot, site).person
        if any(are_different(here, order.patient) for order in wanted.orders):
            return ()
        chosen += _told(study, own, wanted.facility)
    return tuple(chosen)


def current_text(reports: Sequence[Report], facility: Facility) -> str:
    """Return the present text of a study's signed reports: addenda first, the newest before the others.

    A text that a later one contains whole is not repeated. Empty if no report has a text.
    """
    later: list[Report] = []
    for report in sorted(reports, key=_age, reverse=True):
        if not any(is_merged(report.text, one.text) for one in later):
            later.append(report)
    texts = [normal_form(one.text or "").strip() for one in later]
    if len(later) < 2 or not any(texts):
        return texts[0] if texts else ""
    heads = [header(one, parse_instant(one.signed_at), "", facility.time_zone) for one in later]
    return "\n\n".join(f"{head}\n{text or ABSENT}" for head, text in zip(heads, texts, strict=True))


def _own_subject(study: Study, facts: Facts, wanted: WantedPriors, site: Site) -> Subject | None:
    """Return the study's patient, if it is the wanted one, at that facility, and undisputed."""
    found = dict.fromkeys(subjects(study, study.reports, site, facts).values())
    own = next(iter(found), None)
    if own is None or len(found) > 1 or any(issue.code == _CONFLICT for issue in own.issues):
        return None
    at = {site.facility(report.snapshot.facility_name) for report in study.completed}
    is_there = at == {wanted.facility} and own.identity.is_linked and not own.identity.is_contested
    return own if is_there and own.identity.patient_id in wanted.patient_ids else None


def _told(study: Study, own: Subject, facility: Facility) -> Iterator[PriorReport]:
    signed = [report for report in own.reports if report.is_completed]
    text = current_text(signed, facility)
    if not 0 < len(text) <= LONGEST_TEXT:
        return
    day = parse_date(own.snapshot.study_date) or ""
    said = {
        "reportText": text,
        "externalStudyId": study.study_id,
        "modality": normal_form(study.modality or "").strip(),
        "studyDate": day if len(day) == _WHOLE_DATE else "",
        "studyDescription": normal_form(study.study_description or "").strip(),
    }
    told = {key: value for key, value in said.items() if value and len(value) <= _LONGEST.get(key, LONGEST_TEXT)}
    yield PriorReport(told, own.identity.patient_id, tuple(report.report_id for report in signed))


def _age(report: Report) -> tuple[bool, str]:
    """Sort key: addenda after originals, each by signature."""
    moment = parse_instant(report.signed_at)
    return report.is_addendum, moment.isoformat() if moment else ""
