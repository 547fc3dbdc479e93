"""Read the sample study (sample.json) and its site (sample.toml), and measure for documents what each field becomes.

Carries out no clause of a standard; a test checks the sample against the tables of `mappings.study.wire`.
Proved by tests/mappings/trace/test_trace.py.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from functools import cache, partial
from importlib import resources
from typing import Any, Final

from mappings.model import (
    AnsweredOrder,
    Facts,
    HospitalMessageName,
    StatedClinician,
    StatedCode,
    StatedNumber,
    StatedVisit,
)
from mappings.profile import Receiver, Site, parse_site, receiver
from mappings.trace import TraceRow, trace

_HERE: Final = resources.files(__name__.rpartition(".")[0])


@cache
def document() -> dict[str, Any]:
    """Read the study document: do not change it, copy it."""
    made: dict[str, Any] = json.loads((_HERE / "sample.json").read_text("utf-8"))
    return made


@cache
def site() -> Site:
    """Read the site of the sample."""
    return parse_site((_HERE / "sample.toml").read_text("utf-8"))


@cache
def facts() -> Facts:
    """Return facts with an order of a hospital that the sample answers, with every field."""
    number = partial(StatedNumber, namespace="SAMPLE", system="urn:oid:2.999.7")
    doctor = (StatedClinician((number("D1"),), "Sample", "Sam", "S", "Jr", "Dr", "MD"),)
    visit = StatedVisit(
        number("V1"),
        number("A1"),
        "I",
        ("4 WEST", "12", "A"),
        doctor,
        doctor,
        "2026-01-04T08:00:00+00:00",
        "2026-01-07T08:00:00+00:00",
        HospitalMessageName("SAMPLE", "ADT0002"),
    )
    order = AnsweredOrder(
        order_number=1,
        placer=number("P1"),
        filler=number("F1"),
        procedure=StatedCode("CTX", "CT SAMPLE", "L", "24627-2", "Chest CT", "LN"),
        ordering=doctor,
        indication=("Sample indication",),
        notes=("Sample note",),
        patient_numbers=(number("N1", type_code="PI"),),
        visit=visit,
        at="2026-01-05T08:00:00+00:00",
        message=HospitalMessageName("SAMPLE", "ORM0001"),
    )
    return Facts(orders=(order,))


@cache
def everything() -> Receiver:
    """Build a receiver whose profile switches nothing off."""
    return replace(receiver("generic"), name="everything", uid="both", vitals="on", nte="both")


@cache
def rows() -> tuple[TraceRow, ...]:
    """Trace the sample."""
    return trace(document(), site(), everything())


def sources(target: str) -> Iterator[str]:
    """Yield the leaves that change a field or an element, or anything below it."""
    for row in rows():
        if any(_is_at(found, target) for found in (*row.fhir, *row.hl7v2)):
            yield row.pointer


def _is_at(place: str, target: str) -> bool:
    return place == target or place.startswith((f"{target}.", f"{target}("))
