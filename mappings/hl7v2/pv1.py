"""PV1, the visit: all that AutoScribe knows of it is the facility and who referred.

HL7 v2.5.1 §3.4.3.
"""

from __future__ import annotations

from typing import Final

from mappings.hl7v2.datatypes import hd
from mappings.hl7v2.er7 import Table, components
from mappings.hl7v2.orc import ordering_provider
from mappings.hl7v2.result import Result


def pv1_3_assigned_patient_location(result: Result) -> str:
    """PV1-3 Assigned Patient Location <- the facility's code, else snapshot.facilityName, as PL.4.

    HL7 v2.5.1 §3.4.3.3.
    """
    facility = result.facility
    name = (facility.code if facility else None) or result.snapshot.facility_name
    location = components("", "", "", hd(name, "&"))
    return result.fit("PV1", 3, location, result.at_snapshot("facilityName"))


PV1: Final[Table[Result]] = {
    1: "1",
    2: "U",  # table 0004: unknown
    3: pv1_3_assigned_patient_location,
    8: lambda result: result.once(ordering_provider),
}
