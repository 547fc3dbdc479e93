"""Validate every FHIR resource before storage, by a library's R4B classes and by our own invariants.

https://hl7.org/fhir/R4/validation.html, https://hl7.org/fhir/R4/datatypes.html#primitive,
https://hl7.org/fhir/R4/json.html, decisions D2 and D45. The elements of the resources we make are the same in R4B and
R4. Shapes that the classes accepted are remembered, to accept others of these shapes in less time: the classes look at
structure, and at primitives one by one. The shape of a resource is the set of its objects' kinds. A kind is a path
without index, with the keys of the object there, in order, and the JSON type of each value. Primitives, and our own
invariants, are checked in each resource, never less strictly than the library does.
"""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import cache, lru_cache
from types import NoneType
from typing import Any, Final, get_args, get_origin

from fhir.resources.R4B import get_fhir_model_class
from pydantic import ValidationError

from mappings.fhir.datatypes import Json
from mappings.fhir.invariants import CLASS, STRING, Rule, checks_of, faults, is_whole
from mappings.fhir.invariants import Check as StringCheck
from mappings.fhir.resource_types import RESOURCE_TYPES
from mappings.issues import MappingIssue
from mappings.study.wire import escape_pointer

Check = Callable[[Any], Any]

_YEAR: Final = r"([0-9]([0-9]([0-9][1-9]|[1-9]0)|[1-9]00)|[1-9]000)"
_MONTH: Final = r"-(0[1-9]|1[0-2])"
_DAY: Final = r"-(0[1-9]|[1-2][0-9]|3[0-1])"
_TIME: Final = r"T([01][0-9]|2[0-3]):[0-5][0-9]:([0-5][0-9]|60)(\.[0-9]+)?(Z|(\+|-)((0[0-9]|1[0-3]):[0-5][0-9]|14:00))"
# Primitive type -> its regular expression in R4. Those of string and markdown allow any text: `is_text` checks them
REGULAR_EXPRESSIONS: Final = {
    "canonical": r"\S*",
    "code": r"[^\s]+(\s[^\s]+)*",
    "date": rf"{_YEAR}({_MONTH}({_DAY})?)?",
    "dateTime": rf"{_YEAR}({_MONTH}({_DAY}({_TIME})?)?)?",
    "decimal": r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?",
    "id": r"[A-Za-z0-9\-\.]{1,64}",
    "instant": rf"{_YEAR}{_MONTH}{_DAY}{_TIME}",
    "integer": r"[0]|[-+]?[1-9][0-9]*",
    "positiveInt": r"[1-9][0-9]*",
    "unsignedInt": r"[0]|([1-9][0-9]*)",
    "uri": r"\S*",
    # R4 allows any URL. Ours are relative: whether an absolute one is good is for the library to say
    "url": r"[A-Za-z0-9.-]+(/[A-Za-z0-9.-]+)*",
}
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_DAY_LENGTH: Final = len("YYYY-MM-DD")
_LONGEST_INSTANT: Final = len("YYYY-MM-DDThh:mm:ss.123456789+hh:mm")
_MOST: Final = 2_147_483_647  # R4's integers have 32 bits
_PRECISE: Final = 1e15


def is_text(value: str) -> bool:
    """True for a text that is more than white space, and that UTF-8 can hold."""
    return bool(value) and not value.isspace() and (value.isascii() or not _SURROGATE.search(value))


def _matching(kind: str) -> Check:
    """Return a check of short strings that occur again and again, such as codes; UTF-8 can hold them."""
    matches = re.compile(REGULAR_EXPRESSIONS[kind]).fullmatch

    @lru_cache(maxsize=512)
    def is_matching(value: str) -> bool:
        return matches(value) is not None and is_text(value)

    return is_matching


def _instant(kind: str) -> Check:
    """Return a check of a date, which must exist, or of an instant."""
    matches = re.compile(REGULAR_EXPRESSIONS[kind]).fullmatch

    def is_instant(value: str) -> bool:
        if matches(value) is None or len(value) > _LONGEST_INSTANT:
            return False
        return len(value) < _DAY_LENGTH or _is_day(value[:_DAY_LENGTH])

    return is_instant


@lru_cache(maxsize=512)
def _is_day(value: str) -> bool:
    try:
        date.fromisoformat(value)
    except ValueError:
        return False
    return True


def _number(kind: str) -> Check:
    """Return a check of a number, by its digits in JSON."""
    matches = re.compile(REGULAR_EXPRESSIONS[kind]).fullmatch
    most = _PRECISE if kind == "decimal" else _MOST
    return lambda value: -most <= value <= most and matches(repr(value)) is not None


def _is_base64(value: str) -> bool:
    try:
        return bool(b64decode(value, validate=True))
    except ValueError:
        return False


def _is_any(_: Any) -> bool:
    return True


# Primitive type and JSON type -> check. A pair that is not here is for the library to judge
CHECKS: Final[dict[tuple[str, type], Check]] = {
    **{(kind, str): _matching(kind) for kind in ("canonical", "code", "id", "uri", "url")},
    **{(kind, str): _instant(kind) for kind in ("date", "dateTime", "instant")},
    **{(kind, int): _number(kind) for kind in ("decimal", "integer", "positiveInt", "unsignedInt")},
    **{(kind, str): is_text for kind in ("markdown", "string", "xhtml")},
    ("base64Binary", str): _is_base64,
    ("boolean", bool): _is_any,
    ("decimal", float): _number("decimal"),
}


MOST_SHAPES: Final = 10_000
# One in so many accepted resources is judged whole: 1 %, by a prime, so that each type has its turn
SAMPLED: Final = 97
# Classes of elements whose type is said by their value
_OF_ANY_TYPE: Final = frozenset({"Element", "Resource"})
Key = tuple[str | type, ...]


@dataclass(frozen=True, slots=True, eq=False)
class _Kind:
    """Shape of objects at one path (same keys and JSON types), with the checks for each value."""

    rule: Rule | None
    values: tuple[tuple[str, Check], ...]
    objects: tuple[tuple[str, _Place], ...]
    value_lists: tuple[tuple[str, Check], ...]
    object_lists: tuple[tuple[str, _Place], ...]


@dataclass(frozen=True, slots=True, eq=False)
class _Place:
    """Path without indices: its last name, the class of its objects, the shapes seen, and the paths below.

    The name of the place of a resource is its type.
    """

    name: str
    model: Any
    is_root: bool
    kinds: dict[Key, _Kind] = field(default_factory=dict)
    below: dict[str, _Place] = field(default_factory=dict)


class _Unlike(Exception):
    """Signal that an object has a key or type that no class expects there, or a value that R4 does not allow."""


class Shapes:
    """Shapes of accepted resources in one process, under one version of the mapping: at most 10,000, in memory.

    `is_trusted` is False once a resource of an accepted shape was refused by the classes: then none is remembered.
    """

    def __init__(self, classes: Mapping[str, Any]) -> None:
        self._roots = {name: _Place(name, model, is_root=True) for name, model in classes.items()}
        self._accepted: set[frozenset[_Kind]] = set()
        self._passed = 0
        self.is_trusted = True

    def __len__(self) -> int:
        return len(self._accepted)

    def accept(self, resource: Json) -> bool:
        """True if a resource has an accepted shape, valid primitives, and keeps our invariants."""
        found = self._found(resource, is_new=False) if self.is_trusted else None
        return found is not None and found in self._accepted

    def _found(self, resource: Json, *, is_new: bool) -> frozenset[_Kind] | None:
        """Return the shape of a resource; None if only the classes can judge something in it."""
        root = self._roots.get(resource.get("resourceType", ""))
        if root is None:
            return None
        found: set[_Kind] = set()
        try:
            _walk(resource, root, found, is_new=is_new)
        except _Unlike:
            return None
        return frozenset(found)

    def is_sampled(self) -> bool:
        """Count an accepted resource; True if it is to be judged whole."""
        self._passed += 1
        return self._passed % SAMPLED == 0

    def learn(self, resource: Json) -> None:
        """Remember the shape of an accepted resource, unless only the classes can judge something in it."""
        if self.is_trusted and len(self._accepted) < MOST_SHAPES:
            found = self._found(resource, is_new=True)
            if found is not None:
                self._accepted.add(found)

    def distrust(self) -> None:
        """Forget all shapes for good, since the classes refused a resource of an accepted shape."""
        self.is_trusted = False
        self._accepted.clear()


def _walk(node: Json, place: _Place, found: set[_Kind], *, is_new: bool) -> None:
    """Check an object and all below, and add their kinds to `found`; with `is_new`, they may be new at their places.

    Raises:
        _Unlike: something in it is for the classes alone to judge.
    """
    key: Key = (*node, *map(type, node.values()))
    kind = place.kinds.get(key)
    if kind is None:
        if not is_new:
            raise _Unlike
        kind = place.kinds.setdefault(key, _kind(node, place))
    found.add(kind)
    if kind.rule and kind.rule(node):
        raise _Unlike
    for name, is_good in kind.values:
        if not is_good(node[name]):
            raise _Unlike
    for name, below in kind.objects:
        _walk(node[name], below, found, is_new=is_new)
    for name, is_good in kind.value_lists:
        _see_strings(node[name], is_good)
    for name, below in kind.object_lists:
        _walk_list(node[name], below, found, is_new=is_new)


def _walk_list(items: list[Any], place: _Place, found: set[_Kind], *, is_new: bool) -> None:
    if not items:
        raise _Unlike
    for item in items:
        if type(item) is not dict:
            raise _Unlike
        _walk(item, place, found, is_new=is_new)


def _see_strings(items: list[Any], is_good: Check) -> None:
    if not items:
        raise _Unlike
    for item in items:
        if type(item) is not str or not is_good(item):
            raise _Unlike


def _kind(node: Json, place: _Place) -> _Kind:
    """Return a new kind of objects at a place.

    Raises:
        _Unlike: a key, or the type of its value, is for the classes alone to judge.
    """
    rule, checks = checks_of(place.name)
    values: list[tuple[str, Check]] = []
    value_lists: list[tuple[str, Check]] = []
    objects: list[tuple[str, _Place]] = []
    object_lists: list[tuple[str, _Place]] = []
    for name, value in node.items():
        if place.is_root and name == "resourceType":
            continue
        element = _elements(place.model).get(name)
        if element is None or element.is_list != (type(value) is list):
            raise _Unlike
        if element.model is None:
            json_type = str if element.is_list else type(value)
            own = STRING if element.is_list else checks.get(name, STRING) if json_type is str else None
            (value_lists if element.is_list else values).append((name, _check(element.primitive, json_type, own)))
        elif type(value) is dict or element.is_list:
            below = place.below.get(name) or place.below.setdefault(name, _Place(name, element.model, is_root=False))
            (object_lists if element.is_list else objects).append((name, below))
        else:
            raise _Unlike
    return _Kind(rule, tuple(values), tuple(objects), tuple(value_lists), tuple(object_lists))


def _check(primitive: str, json_type: type, own: StringCheck | None) -> Check:
    """Return the check of a value: that of its primitive type, and our own if it is a string.

    Raises:
        _Unlike: the classes alone judge this JSON type there.
    """
    check = CHECKS.get((primitive, json_type))
    if check is None:
        raise _Unlike
    if own is None or own is CLASS:
        return check
    # Each check of ours refuses what is no text
    return own[0] if check is is_text else _both(own[0], check)


@cache
def _both(one: Check, other: Check) -> Check:
    """Return both checks as one, for short strings that occur again and again."""
    return lru_cache(maxsize=512)(lambda value: one(value) and other(value))


@dataclass(frozen=True, slots=True)
class _Element:
    """An element of a class: its primitive type, or the class of its objects."""

    primitive: str
    model: Any
    is_list: bool


@cache
def _elements(model: Any) -> dict[str, _Element]:
    """Return the elements of a class by their names in JSON, without those whose type depends on their value."""
    found = {}
    for name, one in model.model_fields.items():
        kinds = list(_types(one.annotation, is_list=False))
        if len(kinds) != 1:
            continue
        kind, is_list = kinds[0]
        model = kind.get_model_klass() if hasattr(kind, "get_model_klass") else None
        if primitive := _primitive(kind):
            found[one.alias or name] = _Element(primitive, None, is_list)
        elif model is not None and model.__name__ not in _OF_ANY_TYPE:
            found[one.alias or name] = _Element("", model, is_list)
    return found


def _types(annotation: Any, *, is_list: bool) -> Iterator[tuple[Any, bool]]:
    """Yield the FHIR types of an annotation, each with whether it is that of a list's items."""
    if _primitive(annotation) or not get_args(annotation):
        if annotation is not NoneType:
            yield annotation, is_list
        return
    for one in get_args(annotation):
        yield from _types(one, is_list=is_list or get_origin(annotation) is list)


def _primitive(annotation: Any) -> str:
    """Return the name of a primitive type as the library writes it; empty if it is none."""
    if annotation is bool:
        return "boolean"
    of_library = getattr(annotation, "__metadata__", (None,))[-1]
    return str(getattr(of_library, "__visit_name__", ""))


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
    """True if neither classes nor invariants find a fault in these resources, given with their parts."""
    return not any(_refusals(part) for _, part in pairs) and not any(faults(*pair) for pair in pairs)


def _parts(resources: Sequence[Json]) -> list[Json]:
    """Return each resource without the parts that are the same objects as in an earlier one of its type."""
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
