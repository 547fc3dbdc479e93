"""ORC, the order as it stands after this result.

HL7 v2.5.1 §4.5.1.
"""

from __future__ import annotations

from typing import Final

from mappings.hl7v2.datatypes import xcn
from mappings.hl7v2.er7 import Table, components
from mappings.hl7v2.result import Result
from mappings.identifiers import short_id


def filler_order_number(result: Result) -> str:
    """ORC-3 = OBR-3 Filler Order Number <- studyId in 22 characters, under the gateway's namespace (D18).

    A report about another patient than that of the first signed one has a number of its own.

    HL7 v2.5.1 §4.5.1.3.
    """
    return components(short_id(result.subject.number), "AUTOSCRIBE")


def orc_5_order_status(result: Result) -> str:
    """ORC-5 Order Status <- report.status, table 0038 (mappings/status.py).

    HL7 v2.5.1 §4.5.1.5.
    """
    return result.status.orc_5 or ""


def ordering_provider(result: Result) -> str:
    """ORC-12 = OBR-16 Ordering Provider = PV1-8 Referring Doctor <- snapshot.referringPhysicianName; no id is known.

    HL7 v2.5.1 §4.5.1.12, §4.5.3.16, §3.4.3.8; decision D14.
    """
    pointer = result.at_snapshot("referringPhysicianName")
    name = result.name(result.snapshot.referring_physician_name, result.facility, pointer)
    return result.fit("ORC", 12, xcn(name), pointer) if name else ""


ORC: Final[Table[Result]] = {
    1: "RE",
    3: lambda result: result.once(filler_order_number),
    5: orc_5_order_status,
    12: lambda result: result.once(ordering_provider),
}
