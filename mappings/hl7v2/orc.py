"""ORC, the order as it stands after this result.

HL7 v2.5.1 §4.5.1.
"""

from __future__ import annotations

from typing import Final

from mappings.hl7v2.er7 import Table, components
from mappings.hl7v2.result import Result


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


ORC: Final[Table[Result]] = {
    1: "RE",
    3: filler_order_number,
    5: orc_5_order_status,
    12: lambda result: result.referring,
}
