"""Map height and weight to UCUM units and LOINC codes; a value outside the limits is not published.

https://hl7.org/fhir/R4/observation-vitalsigns.html, UCUM (http://unitsofmeasure.org), decision D24.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from mappings.issues import MappingIssue
from mappings.model import Measurement


@dataclass(frozen=True, slots=True)
class VitalSign:
    """Measurement ready to publish: LOINC code and display, the original value, UCUM code and its printed name."""

    code: str
    display: str
    value: float | int
    ucum: str
    unit: str


# (kind, upstream unit) -> (UCUM code, printed unit, factor to cm or kg)
_UNITS: Final[dict[tuple[str, str], tuple[str, str, float]]] = {
    ("height", "cm"): ("cm", "cm", 1.0),
    ("height", "in"): ("[in_i]", "in", 2.54),
    ("weight", "kg"): ("kg", "kg", 1.0),
    ("weight", "lbs"): ("[lb_av]", "lb", 0.45359237),
}
# kind -> (LOINC code, display, lowest and highest value published, in cm or kg)
_VITALS: Final[dict[str, tuple[str, str, float, float]]] = {
    "height": ("8302-2", "Body height", 20.0, 260.0),
    "weight": ("29463-7", "Body weight", 0.2, 650.0),
}


def vital_sign(
    kind: str, measurement: Measurement | None, pointer: str
) -> tuple[VitalSign | None, tuple[MappingIssue, ...]]:
    """Return the vital sign to publish for a snapshot's `height` or `weight`, or None with an issue."""
    if measurement is None:
        return None, ()
    unit = _UNITS.get((kind, measurement.unit))
    if unit is None:
        return None, (MappingIssue("unit-unknown", "warning", f"{pointer}/unit", "the measurement is not published"),)
    ucum, printed, factor = unit
    code, display, low, high = _VITALS[kind]
    if not low / factor <= measurement.value <= high / factor:
        issue = MappingIssue(
            "measurement-impossible", "warning", f"{pointer}/value", "outside the limits: not published"
        )
        return None, (issue,)
    return VitalSign(code, display, measurement.value, ucum, printed), ()
