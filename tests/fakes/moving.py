"""A patient whose numbers are merged, and the chart of a receiver that follows no merge itself."""

from __future__ import annotations

from typing import Any

from fakes.er7_reader import all_of, field
from fakes.fed import bodies, site

FACILITY = "Sandbox General Hospital"
SYSTEM = site().facility(FACILITY).mrn.system  # type: ignore[union-attr]
PERSON = {"facilityName": FACILITY, "patientName": "Jane Doe", "dateOfBirth": "1970-01-01", "sex": "female"}


def number(body: bytes) -> str:
    """Return the patient number in PID-3."""
    return field(body, "PID-3").partition("^")[0]


def told(receiver: Any) -> list[tuple[str, str]]:
    """Return the patient number of each message, and the OBX-11 of its texts."""
    return [(number(one), "".join(sorted({row[11] for row in all_of(one, "OBX")}))) for one in bodies(receiver)]


def chart(receiver: Any) -> list[tuple[str, str]]:
    """Return what the receiver shows: order number and patient number of each report that stands."""
    shown = {
        (field(body, "OBR-3"), mrn): codes != "W"
        for body, (mrn, codes) in zip(bodies(receiver), told(receiver), strict=True)
    }
    return sorted(key for key, stands in shown.items() if stands)
