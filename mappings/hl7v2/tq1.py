"""Write the TQ1 segment: the study's severity as priority, by the table HL70485 in mappings/codes.py.

HL7 v2.5.1 §4.5.4.
"""

from __future__ import annotations

from typing import Final

from mappings.codes import HL70485
from mappings.hl7v2.er7 import Table, components
from mappings.hl7v2.result import Result
from mappings.hl7v2.versions import layouts


def tq1_9_priority(result: Result) -> str:
    """TQ1-9 Priority <- study.severity, table 0485; a critical finding changes nothing here.

    HL7 v2.5.1 §4.5.4.9.
    """
    code = HL70485.get(result.study.severity or "")
    return components(*code, "HL70485") if code else ""


TQ1: Final[Table[Result]] = {1: "1", 9: tq1_9_priority}
TQ1_LAYOUTS: Final = layouts(TQ1, "TQ1")


def timing_segments(result: Result) -> list[str]:
    """Write the TQ1, if a priority is known and the version has the segment."""
    layout = TQ1_LAYOUTS.get(result.receiver.version)
    return [layout.render(result)] if layout and result.study.severity in HL70485 else []
