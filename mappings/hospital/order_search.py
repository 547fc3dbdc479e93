"""Read from a study by what its order is found: numbers with their authority, the patient, and the day.

Decisions D11, D18, D48; HL7 v2.5.1 §4.5.3.2 (OBR-2). AutoScribe gives numbers without authority: they belong to the
facility of the study. A number that the gateway itself told AutoScribe is no evidence.
Proved by tests/mappings/hospital/test_match.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import Final

from mappings.hospital.authorities import Authorities, OrderKey
from mappings.hospital.reasons import FACILITY_UNKNOWN
from mappings.model import Facts, Study
from mappings.patient.comparison import said_of
from mappings.patient.identifiers import mrn_key, short_id
from mappings.patient.people import Person
from mappings.patient.subjects import Subject
from mappings.profile import Facility, OrderNumberKind
from mappings.study.orders import accession_numbers, placer_order_numbers
from mappings.values.dates import parse_date, parse_instant

_WHOLE_DATE: Final = 10
_CONFLICT: Final = "identity-conflict"


@dataclass(frozen=True, slots=True)
class OrderSearch:
    """Search for a study's order: all that the study says about it.

    `missing` is the reason if there is no key. `patient_numbers` are systems with values for comparison. `day` is the
    study's; None if it is unknown. `is_disputed` is True if it is not sure whose study it is (D12). `told` are those of
    the patient numbers that AutoScribe has only from the gateway: they may contradict an order, and agree with none.
    """

    keys: tuple[OrderKey, ...]
    missing: str
    study_uid: str
    patient_numbers: tuple[tuple[str, str], ...]
    person: Person
    day: date | None
    pointer: str
    is_disputed: bool = False
    told: frozenset[str] = frozenset()


def order_search(
    study: Study, subject: Subject, authorities: Authorities, facts: Facts, told: frozenset[str] = frozenset()
) -> OrderSearch:
    """Read what a study says about its order; `subject` is the study's own, and `told` what the gateway answered.

    The search is the study's: its addenda, and reports about other patients, have no search of their own.
    """
    snapshot = subject.snapshot
    facility = authorities.site.facility(snapshot.facility_name)
    keys = tuple(_keys(study, facility, authorities, facts, told)) if facility else ()
    numbers = [one for one in subject.identity.identifiers if one.is_assigned and one.type in ("MR", "PI")]
    return OrderSearch(
        keys=keys,
        missing=("" if keys else "no-number") if facility else FACILITY_UNKNOWN,
        study_uid=(study.study_instance_uid or "").strip(),
        patient_numbers=tuple([(one.system, mrn_key(one.value)) for one in numbers]),
        person=said_of(snapshot, authorities.site).person,
        day=_day(study, subject),
        pointer=subject.pointer,
        is_disputed=any(issue.code == _CONFLICT for issue in subject.issues),
        told=frozenset(map(mrn_key, told)),
    )


def _keys(
    study: Study, facility: Facility, authorities: Authorities, facts: Facts, told: frozenset[str]
) -> Iterator[OrderKey]:
    accessions = [one for one in accession_numbers(study, authorities.site, facts) if one not in told]
    placers = [one for one in placer_order_numbers(study, authorities.site) if one not in told]
    given: dict[OrderNumberKind, list[str]] = {
        "accession": accessions,
        "placer": placers,
        "filler": _fillers(study, facts, told),
    }
    for kind, numbers in given.items():
        if system := authorities.system_of(kind, facility):
            yield from [OrderKey(kind, system, number) for number in dict.fromkeys(numbers)]
    if uid := (study.study_instance_uid or "").strip():
        yield OrderKey("study_uid", "", uid)


def _fillers(study: Study, facts: Facts, told: frozenset[str]) -> list[str]:
    """Filler order numbers under which the study's reports were sent, without those that the gateway made itself."""
    sent = [number for numbers in facts.filler_order_numbers.values() for number in numbers]
    if not sent:
        return []
    made = {short_id(study.study_id), *(short_id(report.report_id) for report in study.reports)}
    return [number for number in sent if number not in made and number not in told]


def _day(study: Study, subject: Subject) -> date | None:
    day = parse_date(subject.snapshot.study_date) or ""
    if len(day) == _WHOLE_DATE:
        return date.fromisoformat(day)
    created = parse_instant(study.created_at)
    return created.date() if created else None
