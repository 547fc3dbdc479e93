"""ORC, the order as it stands after this result.

HL7 v2.5.1 §4.5.1.
"""

from __future__ import annotations

from typing import Final

from mappings.hl7v2.datatypes import xcn
from mappings.hl7v2.er7 import Table, components
from mappings.hl7v2.result import Result
from mappings.names import parse_name


def filler_order_number(result: Result) -> str:
    """ORC-3 = OBR-3 Filler Order Number <- studyId in 22 characters, under the gateway's namespace (D18).

    HL7 v2.5.1 §4.5.1.3.
    """
    return components(result.subject.filler, "AUTOSCRIBE")


def orc_5_order_status(result: Result) -> str:
    """ORC-5 Order Status <- report.status, table 0038 (mappings/status.py).

    HL7 v2.5.1 §4.5.1.5.
    """
    return result.status.orc_5 or ""


def ordering_provider(result: Result) -> str:
    """ORC-12 = OBR-16 Ordering Provider = PV1-8 Referring Doctor <- snapshot.referringPhysicianName; no id is known.

    HL7 v2.5.1 §4.5.1.12, §4.5.3.16, §3.4.3.8; decision D14.
    """
    facility = result.facility
    pointer = result.at_snapshot("referringPhysicianName")
    name = parse_name(result.snapshot.referring_physician_name, facility.name_order if facility else None)
    if name is None:
        return ""
    if name.doubt:
        is_split = name.family or name.given
        action = "the parts that are clear are sent" if is_split else "the whole name stands as the family name"
        result.note(name.doubt, "warning", pointer, action)
    return result.fit("ORC", 12, xcn(name), pointer)


ORC: Final[Table[Result]] = {
    1: "RE",
    3: lambda result: result.once(filler_order_number),
    5: orc_5_order_status,
    12: lambda result: result.once(ordering_provider),
}
