"""Write the PV1 segment, the visit: of the hospital's order, else facility and referring physician of the snapshot.

HL7 v2.5.1 §3.4.3, decision D48. Ordering, referring and attending physician are three facts: none stands for another.
"""

from __future__ import annotations

from typing import Final

from mappings.hl7v2.datatypes import hd
from mappings.hl7v2.er7 import REPETITION, Table, components, value
from mappings.hl7v2.orc import referring_physician
from mappings.hl7v2.result import Result
from mappings.hl7v2.stated import clinicians, cx
from mappings.hl7v2.versions import ONE_REFERRING_DOCTOR, layouts
from mappings.model import StatedClinician
from mappings.study.orders import message_pointer

# Table 0004
_UNKNOWN_CLASS: Final = "U"
# Component of PL (§2.A.53) that names the facility
_FACILITY_OF_LOCATION: Final = 4


def pv1_2_patient_class(result: Result) -> str:
    """PV1-2 Patient Class <- the visit's, table 0004; `U`, unknown, without one.

    HL7 v2.5.1 §3.4.3.2.
    """
    return (value(result.visit.patient_class) if result.visit else "") or _UNKNOWN_CLASS


def pv1_3_assigned_patient_location(result: Result) -> str:
    """PV1-3 Assigned Patient Location <- the visit's at the study; PL.4: its own, else snapshot.facilityName.

    HL7 v2.5.1 §3.4.3.3. The facility's code stands for its name.
    """
    facility = result.facility
    name = (facility.code if facility else None) or result.snapshot.facility_name
    if result.visit is None or not any(result.visit.location):
        location = components("", "", "", hd(name, "&"))
        return result.fit("PV1", 3, location, result.at_snapshot("facilityName"))
    parts = [*map(value, result.visit.location), *[""] * _FACILITY_OF_LOCATION]
    parts[_FACILITY_OF_LOCATION - 1] = parts[_FACILITY_OF_LOCATION - 1] or hd(name, "&")
    return result.fit("PV1", 3, components(*parts), message_pointer(result.visit.message))


def pv1_7_attending_doctor(result: Result) -> str:
    """PV1-7 Attending Doctor <- the visit's.

    HL7 v2.5.1 §3.4.3.7.
    """
    return _of_visit(result, 7, result.visit.attending) if result.visit else ""


def pv1_8_referring_doctor(result: Result) -> str:
    """PV1-8 Referring Doctor <- the visit's, else snapshot.referringPhysicianName.

    HL7 v2.5.1 §3.4.3.8. With all numbers of that person, if the field repeats in the version. Repetitions are of one
    person: of two referring doctors the visit's is sent, with an issue.
    """
    if result.visit is None or not result.visit.referring:
        return _as_version_has(result.once(referring_physician), result)
    said = result.snapshot.referring_physician_name
    if said:
        action = "the visit's referring doctor is in PV1-8; FHIR has this one in ImagingStudy.referrer"
        result.note("referring-from-visit", "information", result.at_snapshot("referringPhysicianName"), action)
    return _of_visit(result, 8, result.visit.referring)


def pv1_19_visit_number(result: Result) -> str:
    """PV1-19 Visit Number <- the visit's number, with its authority; never the account (PID-18).

    HL7 v2.5.1 §3.4.3.19, table 0203 (VN).
    """
    if result.visit is None or result.visit.number is None:
        return ""
    return result.fit("PV1", 19, cx(result.visit.number, "VN"), message_pointer(result.visit.message))


def _of_visit(result: Result, number: int, people: tuple[StatedClinician, ...]) -> str:
    written = _as_version_has(clinicians(people, result.receiver.version), result)
    pointer = message_pointer(result.visit.message) if result.visit else ""
    return result.fit("PV1", number, written, pointer)


def _as_version_has(doctor: str, result: Result) -> str:
    return doctor.split(REPETITION, 1)[0] if result.receiver.version in ONE_REFERRING_DOCTOR else doctor


def pv1_51_visit_indicator(result: Result) -> str:
    """PV1-51 Visit Indicator <- the receiver's profile, table 0326: `V` is visit level.

    HL7 v2.5.1 §3.4.3.51.
    """
    return "V" if result.receiver.visit_indicator == "on" else ""


PV1: Final[Table[Result]] = {
    1: "1",
    2: pv1_2_patient_class,
    3: pv1_3_assigned_patient_location,
    7: pv1_7_attending_doctor,
    8: pv1_8_referring_doctor,
    19: pv1_19_visit_number,
    51: pv1_51_visit_indicator,
}
PV1_LAYOUTS: Final = layouts(PV1, "PV1")
