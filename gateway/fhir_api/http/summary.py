"""Reduce a resource to the elements that `_summary` or `_elements` selects, plus modifier elements; tag SUBSETTED.

https://hl7.org/fhir/R4/search.html#summary and #elements. The structure definitions of R4 4.0.1 say which elements are
in the summary (Σ), mandatory, or modifiers. Modifier elements are always kept, for safety.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, Literal, cast

from gateway.fhir_api.http.query import Parameters
from gateway.fhir_api.http.r4_elements import element, elements_of, find
from gateway.index.escaping import alternatives
from gateway.runtime.request_errors import BadRequest
from mappings.fhir.datatypes import Json, json_bytes
from mappings.fhir.resource_types import RESOURCE_TYPES

Summary = Literal["true", "text", "data", "count", "false"]

SUBSETTED: Final = {
    "system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue",
    "code": "SUBSETTED",
    "display": "subsetted",
}
SUMMARIES: Final = ("true", "text", "data", "count", "false")
# Elements kept in every resource, whatever is asked for
ALWAYS: Final = frozenset({"resourceType", "id", "meta", "implicitRules", "modifierExtension"})
_EXTENSIONS: Final = frozenset({"id", "extension", "modifierExtension"})
_KEPT: Final = {kind: ALWAYS.union(row.mandatory.split(), row.kept.split()) for kind, row in RESOURCE_TYPES.items()}
_ELEMENT: Final = re.compile(r"[A-Za-z]+(?:\[x\])?")


@dataclass(frozen=True, slots=True)
class Shape:
    """Wanted part of each resource; `elements` has the names in `_elements`, each once."""

    summary: Summary = "false"
    elements: tuple[str, ...] = ()

    @property
    def is_whole(self) -> bool:
        """True if nothing is left out of a resource; also for `_summary=count`, which returns no resource."""
        return self.summary in {"false", "count"} and not self.elements


def wanted_shape(given: Parameters) -> Shape:
    """Parse `_summary` and `_elements`. The caller of a read must refuse `count`, which returns no resource.

    Raises:
        BadRequest: an unknown `_summary`, two different ones, an element that is a path or no name, or both parameters.
    """
    summaries = {value for name, value in given if name == "_summary"} or {"false"}
    elements = _elements([value for name, value in given if name == "_elements"])
    summary = summaries.pop()
    if summaries or summary not in SUMMARIES:
        raise BadRequest("_summary is one of true, text, data, count and false", expression="http._summary")
    if summary == "count":
        return Shape("count")
    if elements and summary != "false":
        raise BadRequest("_summary and _elements exclude each other: send one of them", expression="http._elements")
    return Shape(cast(Summary, summary), elements)


def unknown_elements(resource_type: str, shape: Shape) -> tuple[str, ...]:
    """List the names in `_elements` that R4 does not define for a type."""
    return tuple(name for name in shape.elements if _defined_name(resource_type, name) is None)


def shaped(resource: Json, shape: Shape) -> Json:
    """Return a copy with the wanted part of a resource; a type that the mappings do not make is returned whole.

    An extension is kept if its element is kept. In a summary, an element that is kept for another reason stays whole,
    and so does a part that would otherwise be empty.
    """
    kind = resource["resourceType"]
    if shape.is_whole or kind not in RESOURCE_TYPES:
        return resource
    if shape.summary == "data":
        kept = {key: value for key, value in resource.items() if key != "text"}
    else:
        wanted = _kept_elements(kind, shape)
        if "endpoint" in wanted:  # it refers to what is contained
            wanted |= {"contained"}
        kept = {key: value for key, value in resource.items() if _name(kind, key) in wanted}
    if shape.summary == "true":
        for key in [key for key in kept if _name(kind, key) in _summary_elements(kind)]:
            kept[key] = _summarised(kept[key], _kind(kind, key))
    return {**kept, "meta": _tagged(resource.get("meta", {}))}


def shaped_bodies(bodies: Sequence[bytes], shape: Shape) -> list[bytes]:
    """Return the wanted parts of resources, all as JSON bytes."""
    return [json_bytes(shaped(json.loads(body), shape)) for body in bodies]


def _elements(lists: list[str]) -> tuple[str, ...]:
    """Parse the names in `_elements`; the parameter may be repeated."""
    names = tuple(dict.fromkeys(name.strip() for value in lists for name in alternatives(value)))
    if (lists and not names) or not all(map(_ELEMENT.fullmatch, names)):
        raise BadRequest(
            "_elements is a list of elements of the resource, without paths, such as id,status",
            expression="http._elements",
        )
    return names


def _kept_elements(kind: str, shape: Shape) -> frozenset[str]:
    """Return the names of the elements to keep, as defined (`value[x]`)."""
    if shape.summary == "true":
        return _KEPT[kind] | _summary_elements(kind)
    if shape.summary == "text":
        return _KEPT[kind] | {"text"}
    return _KEPT[kind].union(name for asked in shape.elements if (name := _defined_name(kind, asked)))


@cache
def _summary_elements(kind: str) -> frozenset[str]:
    """Return the names of a type's summary elements, as defined."""
    return frozenset(one.name for one in elements_of(kind).values() if one.is_summary)


@cache
def _part_elements(kind: str) -> frozenset[str]:
    """Return the names of the elements that a summary keeps of a data type or backbone element, as defined."""
    return _EXTENSIONS.union(one.name for one in elements_of(kind).values() if one.is_summary or one.is_mandatory)


def _defined_name(kind: str, name: str) -> str | None:
    """Return the defined name: `effective[x]` for `effective`, `effectiveDateTime` or `effective[x]`."""
    defined = find(kind, name) or find(kind, f"{name}[x]")
    return defined.name if defined else None


def _name(kind: str, key: str) -> str:
    return key if key == "resourceType" else element(kind, key.removeprefix("_")).name


def _kind(kind: str, key: str) -> str:
    return "" if key in _EXTENSIONS else element(kind, key.removeprefix("_")).kind


def _summarised(part: Any, kind: str) -> Any:
    """Reduce a part of type `kind` to its summary; keep it whole if nothing would be left."""
    if isinstance(part, list):
        return [_summarised(one, kind) for one in part]
    if not kind or not isinstance(part, dict):
        return part
    wanted = _part_elements(kind)
    kept = {key: _summarised(value, _kind(kind, key)) for key, value in part.items() if _name(kind, key) in wanted}
    return kept or part


def _tagged(meta: Json) -> Json:
    """Add the tag SUBSETTED to `meta`."""
    others = [tag for tag in meta.get("tag", ()) if tag != SUBSETTED]
    return {**meta, "tag": [*others, SUBSETTED]}
