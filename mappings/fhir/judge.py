"""Validate every FHIR resource before storage, by the R4B classes of a library and by our own invariants.

https://hl7.org/fhir/R4/validation.html, decision D2. The elements of the resources we make are the same in R4B and R4.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from fhir.resources.R4B import get_fhir_model_class
from pydantic import ValidationError

from mappings.fhir.datatypes import Json
from mappings.fhir.invariants import faults, is_whole
from mappings.fhir.resource_types import RESOURCE_TYPES
from mappings.fhir.shapes import Shapes
from mappings.issues import MappingIssue
from mappings.study.wire import escape_pointer

CLASSES: Final[dict[str, Any]] = {name: get_fhir_model_class(name) for name in RESOURCE_TYPES}
_OFTEN_SHARED: Final = ("meta", "category", "subject", "performer")
# Resource type -> its optional elements that are often shared: their faults do not depend on the rest
SHARED: Final = {
    kind: [key for key in _OFTEN_SHARED if key in model.model_fields and not model.model_fields[key].is_required()]
    for kind, model in CLASSES.items()
}


def judge(resource: Json) -> tuple[MappingIssue, ...]:
    """Find the faults of a resource, empty if it may be served; pointers are into the resource, no value is shown."""
    return (*_refusals(resource), *faults(resource, resource))


def judge_all(resources: Sequence[Json], shapes: Shapes | None = None) -> list[tuple[MappingIssue, ...]]:
    """Find the faults of each resource, in order: the same as `judge`, in less time.

    Elements shared by resources of one type are checked once; if anything is wrong, each resource is judged alone.
    With `shapes`, the classes see resources of new shapes and every hundredth other (D45); our invariants are checked
    each time. If the classes refuse one of an accepted shape, `shapes` is trusted no more.
    First all are checked against the classes, then all against the invariants. Alternating would evict the code of one
    from the processor's caches with that of the other.
    """
    parts = _parts(resources)
    known = [shapes is not None and shapes.accept(part) for part in parts]
    new = [(resource, part) for resource, part, is_known in zip(resources, parts, known, strict=True) if not is_known]
    old = [(resource, part) for resource, part, is_known in zip(resources, parts, known, strict=True) if is_known]
    is_good = _are_good(new) and all(is_whole(resource) for resource, _ in old)
    if is_good and shapes is not None:
        for _, part in new:
            shapes.learn(part)
        if not _are_good([pair for pair in old if shapes.is_sampled()]):
            shapes.distrust()
            is_good = False
    return [()] * len(resources) if is_good else [judge(resource) for resource in resources]


def _are_good(pairs: Sequence[tuple[Json, Json]]) -> bool:
    """True if neither the classes nor our invariants find a fault in these resources, given with their parts."""
    return not any(_refusals(part) for _, part in pairs) and not any(faults(*pair) for pair in pairs)


def _parts(resources: Sequence[Json]) -> list[Json]:
    """Return each resource without the elements that are the same objects as in an earlier one of its type."""
    seen: set[tuple[str, str, int]] = set()
    parts = []
    for resource in resources:
        part, kind = dict(resource), resource.get("resourceType", "")
        for key in SHARED.get(kind, ()):
            place = kind, key, id(resource.get(key))
            if place in seen:
                part.pop(key, None)
            seen.add(place)
        parts.append(part)
    return parts


def _refusals(resource: Json) -> list[MappingIssue]:
    model = CLASSES.get(resource.get("resourceType", ""))
    if model is None:
        return []
    try:
        model.model_validate(resource)
    except ValidationError as error:
        details = error.errors(include_url=False, include_context=False, include_input=False)
        return [
            MappingIssue("fhir-structure", "error", _pointer(detail["loc"]), f"refused as {detail['type']}")
            for detail in details
        ]
    return []


def class_of(type_name: str) -> Any:
    """Return the library's class of a resource, data type or backbone element (`ObservationComponent`).

    None if there is none.
    """
    try:
        return get_fhir_model_class(type_name)
    except ValueError:
        return None


def _pointer(place: tuple[int | str, ...]) -> str:
    return "".join(f"/{escape_pointer(str(step))}" for step in place)
