"""Look up the order, type and summary flag of an R4 element, for any type, in the library fhir.resources.

From the structure definitions of R4, https://hl7.org/fhir/R4/profiles-resources.html and
https://hl7.org/fhir/R4/profiles-types.html, as the library `fhir.resources` holds them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache, lru_cache
from typing import Any, Final, get_args

from mappings.fhir.judge import class_of

# What a primitive may have beside its value
_OF_PRIMITIVE: Final = "Element"
_TYPE: Final = "Type"
_CHOICE: Final = "[x]"


@dataclass(frozen=True, slots=True)
class Element:
    """An element of a type: its position, and its defined name (`value[x]` for `valueQuantity`).

    `kind` is the element's type, such as `Period` or `ObservationComponent`; empty for a primitive type and a resource.
    """

    place: int
    name: str
    kind: str
    is_summary: bool
    is_mandatory: bool


@lru_cache(maxsize=4096)
def find(kind: str, name: str) -> Element | None:
    """Find an element of a type by its name in JSON or XML; None if R4 has no such element.

    The type suffix of a choice is not checked: `valueColour` counts as `value[x]`.
    """
    elements = elements_of(kind)
    exact = elements.get(name)
    if exact is not None:
        return exact
    for end in (place for place, letter in enumerate(name) if letter.isupper()):
        choice = elements.get(name[:end] + _CHOICE)
        if choice is not None:
            return replace(choice, kind=name[end:] if class_of(name[end:]) else "")
    return None


def element(kind: str, name: str) -> Element:
    """Find an element of a type, as `find` does, but raise if there is none.

    Raises:
        LookupError: R4 has no such element, or no such type.
    """
    defined = find(kind, name)
    if defined is None:
        raise LookupError(f"no element {name} of {kind} is known")
    return defined


@cache
def elements_of(kind: str) -> dict[str, Element]:
    """Return the elements of a type by name, in the order of R4; empty if there is no such type.

    The empty type is a primitive: its elements are its id and extensions.
    """
    model = class_of(kind or _OF_PRIMITIVE)
    if model is None:
        return {}
    fields = {field.alias or name: field for name, field in model.model_fields.items()}
    summary = frozenset(model.summary_elements_sequence())
    elements: dict[str, Element] = {}
    places: dict[str, int] = {}
    for name in model.elements_sequence():
        extra = fields[name].json_schema_extra or {}
        choice = f"{extra['one_of_many']}{_CHOICE}" if "one_of_many" in extra else ""
        defined = choice or name
        place = places.setdefault(defined, len(places))
        is_mandatory = fields[name].is_required() or bool(extra.get("element_required"))
        elements[name] = Element(place, defined, _kind(fields[name].annotation), name in summary, is_mandatory)
        if choice:
            elements.setdefault(choice, Element(place, choice, "", name in summary, is_mandatory))
    return elements


def _kind(annotation: Any) -> str:
    """Return the name of the FHIR type in a field's annotation; empty if it is a primitive or any resource."""
    if hasattr(annotation, "get_model_klass"):
        name = str(annotation.__name__).removesuffix(_TYPE)
        return "" if name == "Resource" else name
    return next(filter(None, map(_kind, get_args(annotation))), "")
