"""Map the visits of the hospital's orders that a study answers to FHIR Encounters, as they were at the study.

https://hl7.org/fhir/R4/encounter.html, US Core Encounter Profile, decision D48. AutoScribe knows no visit: without an
order there is no Encounter, and none for a visit without a number. An Encounter is one study's: two studies of one
visit have one each, with the same identifier.
"""

from __future__ import annotations

from typing import Final

from mappings.codes import DATA_ABSENT_REASON, HL7_PATIENT_CLASS, US_CORE, V2_0004, V3_ACT_CODE, V3_PARTICIPATION_TYPE
from mappings.fhir.datatypes import Json, coding, line, narrative, reference, without_empty
from mappings.fhir.order_numbers import stated_identifier
from mappings.fhir.provider import stated_person
from mappings.fhir.scene import Scene
from mappings.model import StatedVisit
from mappings.patient.added import stated_system
from mappings.patient.identifiers import fhir_id, visit_id
from mappings.values.dates import fhir_instant, parse_instant

_META: Final[Json] = {"profile": [f"{US_CORE}encounter"]}
_TYPE_UNKNOWN: Final[Json] = {"coding": [coding(DATA_ABSENT_REASON, "unknown", "Unknown")], "text": "Unknown"}
_CLASS_UNKNOWN: Final = ("U", "Unknown")


def encounter_identifier(visit: StatedVisit) -> list[Json]:
    """Encounter.identifier <- the visit's number (PV1-19), never the account (PID-18).

    https://hl7.org/fhir/R4/encounter-definitions.html#Encounter.identifier
    """
    return [stated_identifier(visit.number, "VN")] if visit.number else []


def encounter_status(visit: StatedVisit) -> str:
    """Encounter.status <- the visit's end (PV1-45): finished, or unknown, since not every hospital tells the end.

    https://hl7.org/fhir/R4/encounter-definitions.html#Encounter.status
    """
    return "finished" if "end" in encounter_period(visit) else "unknown"


def encounter_class(visit: StatedVisit) -> Json:
    """Encounter.class <- the visit's patient class (PV1-2), as HL7 v2-to-FHIR maps table 0004.

    https://hl7.org/fhir/R4/encounter-definitions.html#Encounter.class
    A class without a code of ActCode keeps the one of table 0004.
    """
    if act := HL7_PATIENT_CLASS.get(visit.patient_class):
        return coding(V3_ACT_CODE, *act)
    code = visit.patient_class
    return coding(V2_0004, code) if code.isalnum() and code != _CLASS_UNKNOWN[0] else coding(V2_0004, *_CLASS_UNKNOWN)


def encounter_participant(visit: StatedVisit) -> list[Json]:
    """Encounter.participant <- the visit's attending (PV1-7) and referring doctors (PV1-8).

    https://hl7.org/fhir/R4/encounter-definitions.html#Encounter.participant
    """
    roles = (("ATND", "attender", visit.attending), ("REF", "referrer", visit.referring))
    return [
        {"type": [{"coding": [coding(V3_PARTICIPATION_TYPE, code, display)]}], "individual": person}
        for code, display, people in roles
        for one in people
        if (person := stated_person(one))
    ]


def encounter_period(visit: StatedVisit) -> Json:
    """Encounter.period <- begin (PV1-44) and end (PV1-45) of the visit; no end before the begin.

    https://hl7.org/fhir/R4/encounter-definitions.html#Encounter.period
    """
    begun, ended = parse_instant(visit.begun), parse_instant(visit.ended)
    if begun and ended and ended < begun:
        ended = None
    return without_empty({"start": begun and fhir_instant(begun), "end": ended and fhir_instant(ended)})


def encounter_account(visit: StatedVisit) -> list[Json]:
    """Encounter.account <- the visit's account (PID-18), by its number alone.

    https://hl7.org/fhir/R4/encounter-definitions.html#Encounter.account
    """
    if visit.account is None or line(visit.account.value) is None:
        return []
    return [{"type": "Account", "identifier": stated_identifier(visit.account, "AN")}]


def encounter_location(visit: StatedVisit) -> list[Json]:
    """Encounter.location <- the components of the visit's location (PV1-3), as text.

    https://hl7.org/fhir/R4/encounter-definitions.html#Encounter.location
    """
    place = ", ".join(part for part in map(line, visit.location) if part)
    return [{"location": {"display": place}}] if place else []


def encounter_reference(scene: Scene, visit: StatedVisit | None) -> Json | None:
    """Refer to a visit's Encounter; None for a visit without a number."""
    return reference("Encounter", _id(scene, visit)) if visit and _has_number(visit) else None


def encounters(scene: Scene) -> list[Json]:
    """Build an Encounter for each visit of the study's orders; of several statements about one the first counts."""
    visits = [order.answered.visit for order in scene.orders if order.answered and order.answered.visit]
    if scene.visit:
        visits.insert(0, scene.visit)
    by_id: dict[str, StatedVisit] = {}
    for visit in visits:
        if _has_number(visit):
            by_id.setdefault(_id(scene, visit), visit)
    return [encounter(scene, encounter_id, visit) for encounter_id, visit in by_id.items()]


def encounter(scene: Scene, encounter_id: str, visit: StatedVisit) -> Json:
    """Build the Encounter of a visit with a number."""
    period, place, kind = encounter_period(visit), encounter_location(visit), encounter_class(visit)
    rows = (
        ("Visit number", line(visit.number.value) if visit.number else None),
        ("Class", kind.get("display", kind["code"])),
        ("Location", place[0]["location"]["display"] if place else None),
        ("Begin", period.get("start")),
        ("End", period.get("end")),
    )
    return without_empty(
        {
            "resourceType": "Encounter",
            "id": encounter_id,
            "meta": _META,
            "text": narrative("Visit", rows),
            "identifier": encounter_identifier(visit),
            "status": encounter_status(visit),
            "class": kind,
            "type": [_TYPE_UNKNOWN],
            "subject": reference("Patient", scene.subject.identity.patient_id, line(scene.snapshot.patient_name)),
            "participant": encounter_participant(visit),
            "period": period,
            "account": encounter_account(visit),
            "location": place,
        }
    )


def _has_number(visit: StatedVisit) -> bool:
    return visit.number is not None and line(visit.number.value) is not None


def _id(scene: Scene, visit: StatedVisit) -> str:
    number = visit.number
    system = stated_system(number) if number else ""
    return visit_id(fhir_id(scene.study.study_id), system, number.value if number else "", scene.site)
