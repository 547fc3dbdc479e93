"""Read the values of one FHIR element or HL7 v2 field from a mapping's output, in order.

Carries out no clause of a standard; names as in a trace: `PID-5`, `OBX-11`, `OBX(PDF)-5`, `Patient.name`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from mappings.hl7v2.received import Segment, read
from mappings.trace.parts import elements, kind_of_obx

Json = Mapping[str, Any]
_FIELD: Final = re.compile(r"([A-Z][A-Z0-9]{2})(\([^)]+\))?-([0-9]{1,3})(?:\.([0-9]{1,2}))?")
_ELEMENT: Final = re.compile(r"[A-Z][A-Za-z]+\.[a-z][A-Za-z]*(?:\.[a-z][A-Za-z]*|\([^)]*\))*")


def is_field(name: str) -> bool:
    """True for the name of an HL7 v2 field, or of a component of one: `PID-5`, `PID-5.1`."""
    return _FIELD.fullmatch(name) is not None


def is_element(name: str) -> bool:
    """True for the name of a FHIR element: `DiagnosticReport.conclusion`."""
    return _ELEMENT.fullmatch(name) is not None


def is_at(target: str, name: str) -> bool:
    """True if a target of a trace is the named one or within it; a bare OBX name matches every kind of OBX."""
    match = _FIELD.fullmatch(name)
    if match is None:
        return target == name or target.startswith((f"{name}.", f"{name}("))
    segment, kind, number, _ = match.groups()
    bare = target if kind else re.sub(r"\([^)]*\)", "", target)
    return bare == f"{segment}{kind or ''}-{number}"


def field_values(message: bytes, name: str) -> tuple[str, ...]:
    """Values of a field, one for each segment that has one; still escaped.

    Raises:
        Unreadable: the bytes are no HL7 v2 message.
    """
    match = _FIELD.fullmatch(name)
    if match is None:
        return ()
    segment, kind, number, component = match.groups()
    received = read(message)
    values = []
    for segment_of_name in received.segments:
        if segment_of_name.name == segment and (kind is None or _kind(segment_of_name) == f"{segment}{kind}"):
            value = segment_of_name.field(int(number))
            parts = [*received.components(value), *[""] * 99] if component else []
            values.append(parts[int(component) - 1] if component else value)
    return tuple(value for value in values if value)


def element_values(resource: Json, name: str) -> tuple[str, ...]:
    """Scalars of an element and everything within it; those within are preceded by their path."""
    return tuple(_value_text(path, value, name) for path, value in _scalars(resource) if is_at(path, name))


def field_names(message: bytes) -> Iterator[str]:
    """Yield the names of the fields that have a value, in order; several segments of a name share them.

    Raises:
        Unreadable: the bytes are no HL7 v2 message.
    """
    for segment in read(message).segments:
        yield from (f"{_kind(segment)}-{number}" for number, text in enumerate(segment.fields) if number and text)


def element_names(resource: Json) -> Iterator[str]:
    """Yield the names of the elements that have a value, in order, without the narrative."""
    kind = resource["resourceType"]
    yield from (path for path, _ in _scalars(resource) if not path.startswith((f"{kind}.text.", f"{kind}.meta.")))


def _kind(segment: Segment) -> str:
    return kind_of_obx(segment.field(2), segment.field(3)) if segment.name == "OBX" else segment.name


def _scalars(resource: Json) -> list[tuple[str, Any]]:
    return elements({key: one for key, one in resource.items() if key != "resourceType"}, resource["resourceType"])


def _value_text(path: str, value: Any, name: str) -> str:
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return text if path == name else f"{path.removeprefix(name).removeprefix('.')}: {text}"
