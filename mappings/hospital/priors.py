"""Choose the prior reports of a patient that AutoScribe may be told, each with the text that stands.

AutoScribe REST API, webhook `clinical_context.enrichment_requested`, `priorReports`; decisions D11, D12, D17, D36. A
prior is of the same facility and the same identity key, and in no conflict. Signed addenda stand above their report,
the newest first, since no superseded statement stands alone. A text too long for the contract is not cut: the prior is
left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from mappings.hospital.groups import are_different
from mappings.hospital.known_order import KnownOrder
from mappings.model import Facts, Report, Snapshot, Study
from mappings.patient.comparison import said_of
from mappings.patient.identifiers import identify
from mappings.patient.subjects import Subject, subjects
from mappings.profile import Facility, Site
from mappings.study.conclusion import ABSENT, header
from mappings.values.dates import parse_date, parse_instant
from mappings.values.text import is_merged, normal_form

LONGEST_TEXT: Final = 50_000
_LONGEST: Final = {"externalStudyId": 256, "modality": 100, "studyDescription": 1000}
_CONFLICT: Final = "identity-conflict"
_WHOLE_DATE: Final = 10


@dataclass(frozen=True, slots=True)
class PriorReport:
    """Prior that may be told: `told` is the contract's object; the ids are those of what it shows."""

    told: dict[str, str]
    patient_id: str
    report_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class WantedPriors:
    """Study of a question, with its facility, its patient's ids (`patient_ids`), and its orders.

    Name, birth date and sex of the orders may refuse a prior.
    """

    study_uid: str
    facility: Facility
    patient_ids: frozenset[str]
    orders: tuple[KnownOrder, ...]


def patient_ids(facility: Facility, values: Iterable[str], site: Site) -> frozenset[str]:
    """Ids of the patients that these MRNs of a facility identify; a doubtful number identifies nobody."""
    made = [identify(Study("", ()), Snapshot(facility_name=facility.name, mrn=one), site, "") for one in values]
    return frozenset(one.patient_id for one in made if one.is_linked)


def prior_reports(stored: Iterable[tuple[Study, Facts]], wanted: WantedPriors, site: Site) -> tuple[PriorReport, ...]:
    """Choose the priors among stored studies, in their order; none if one of them describes somebody else."""
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
    """Return the text of signed reports of one study as it stands: addenda first, the newest before the others.

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
    """The study's one patient, if it is the wanted one, at that facility, and undisputed."""
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
