"""Write the PV1 segment, the visit: AutoScribe knows only the facility and the referring physician.

HL7 v2.5.1 §3.4.3.
"""

from __future__ import annotations

from typing import Final

from mappings.hl7v2.datatypes import hd
from mappings.hl7v2.er7 import REPETITION, Table, components
from mappings.hl7v2.orc import ordering_provider
from mappings.hl7v2.result import Result
from mappings.hl7v2.versions import ONE_REFERRING_DOCTOR, layouts


def pv1_3_assigned_patient_location(result: Result) -> str:
    """PV1-3 Assigned Patient Location <- the facility's code, else snapshot.facilityName, as PL.4.

    HL7 v2.5.1 §3.4.3.3.
    """
    facility = result.facility
    name = (facility.code if facility else None) or result.snapshot.facility_name
    location = components("", "", "", hd(name, "&"))
    return result.fit("PV1", 3, location, result.at_snapshot("facilityName"))


def pv1_8_referring_doctor(result: Result) -> str:
    """PV1-8 Referring Doctor <- as OBR-16, with all numbers of that person if the field repeats in the version.

    HL7 v2.5.1 §3.4.3.8.
    """
    doctor = result.once(ordering_provider)
    return doctor.split(REPETITION, 1)[0] if result.receiver.version in ONE_REFERRING_DOCTOR else doctor


def pv1_51_visit_indicator(result: Result) -> str:
    """PV1-51 Visit Indicator <- the receiver's profile, table 0326: `V` is visit level.

    HL7 v2.5.1 §3.4.3.51.
    """
    return "V" if result.receiver.visit_indicator == "on" else ""


PV1: Final[Table[Result]] = {
    1: "1",
    2: "U",  # table 0004: unknown
    3: pv1_3_assigned_patient_location,
    8: pv1_8_referring_doctor,
    51: pv1_51_visit_indicator,
}
PV1_LAYOUTS: Final = layouts(PV1, "PV1")
