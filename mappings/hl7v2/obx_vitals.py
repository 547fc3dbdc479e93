"""Write the OBX of height and weight, for receivers that want both.

HL7 v2.5.1 §7.4.2, decision D24.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from mappings.hl7v2.er7 import Table, components, layout
from mappings.hl7v2.obx_numbers import Numbers
from mappings.hl7v2.result import Result
from mappings.values.units import VitalSign, vital_sign


@dataclass(frozen=True, slots=True)
class VitalLine:
    """One height or weight."""

    result: Result
    number: str
    vital: VitalSign


def obx_14_of_a_vital_sign(line: VitalLine) -> str:
    """OBX-14 Date/Time of the Observation <- the time of the examination, for height and weight.

    HL7 v2.5.1 §7.4.2.14.
    """
    return line.result.examined_at(line.result.lead)


VITAL: Final[Table[VitalLine]] = {
    1: lambda line: line.number,
    2: "NM",
    3: lambda line: components(line.vital.code, line.vital.display, "LN"),
    5: lambda line: f"{line.vital.value:.10g}",
    6: lambda line: components(line.vital.ucum, line.vital.unit, "UCUM"),
    11: "F",
    14: obx_14_of_a_vital_sign,
}
_VITAL: Final = layout(VITAL, "OBX")


def vital_segments(result: Result, numbers: Numbers) -> list[str]:
    """Write the OBX of height and weight; none if the receiver's profile has `vitals = off`."""
    if result.receiver.vitals == "off":
        return []
    written: list[str] = []
    for kind, measurement in (("height", result.snapshot.height), ("weight", result.snapshot.weight)):
        vital, issues = vital_sign(kind, measurement, result.at_snapshot(kind))
        result.issues.extend(issues)
        if vital is not None:
            written.append(_VITAL.render(VitalLine(result, numbers.next_set_id(), vital)))
    return written
