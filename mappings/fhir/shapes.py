"""Remember shapes of resources that the library's classes accepted, to accept others of these shapes in less time.

https://hl7.org/fhir/R4/json.html, decisions D2 and D45. The classes look at structure, and at primitives one by one.
The shape of a resource is the set of its objects' kinds. A kind is a path without index, with the keys of the object
there, in order, and the JSON type of each value. Primitives, and our own invariants, are checked in each resource.
Proved by tests/mappings/fhir/test_shapes.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, lru_cache
from types import NoneType
from typing import Any, Final, get_args, get_origin

from mappings.fhir.datatypes import Json
from mappings.fhir.invariants import CLASS, STRING, Rule, checks_of
from mappings.fhir.invariants import Check as StringCheck
from mappings.fhir.primitives import CHECKS, Check, is_text

MOST_SHAPES: Final = 10_000
# One in so many accepted resources is judged whole: 1 %, by a prime, so that each type has its turn
SAMPLED: Final = 97
# Classes of elements whose type is said by their value
_OF_ANY_TYPE: Final = frozenset({"Element", "Resource"})
Key = tuple[str | type, ...]


@dataclass(frozen=True, slots=True, eq=False)
class _Kind:
    """Objects at one path with the same keys and JSON types: what is to be checked in each."""

    rule: Rule | None
    values: tuple[tuple[str, Check], ...]
    objects: tuple[tuple[str, _Place], ...]
    value_lists: tuple[tuple[str, Check], ...]
    object_lists: tuple[tuple[str, _Place], ...]


@dataclass(frozen=True, slots=True, eq=False)
class _Place:
    """A path without index: its last name, the class of the objects there, the kinds seen, and the places below.

    The name of the place of a resource is its type.
    """

    name: str
    model: Any
    is_root: bool
    kinds: dict[Key, _Kind] = field(default_factory=dict)
    below: dict[str, _Place] = field(default_factory=dict)


class _Unlike(Exception):
    """The object has a key or type that the classes do not expect there, or a value that R4 does not allow."""


class Shapes:
    """Shapes that one process has seen accepted, under one version of the mapping: in memory, at most 10,000.

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
        """True if the classes accept this resource, by its shape and primitives, and our invariants its objects."""
        found = self._found(resource, is_new=False) if self.is_trusted else None
        return found is not None and found in self._accepted

    def _found(self, resource: Json, *, is_new: bool) -> frozenset[_Kind] | None:
        """Return the shape of a resource; None if something in it is for the classes alone to judge."""
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
        """Remember the shape of a good resource, unless something in it is for the classes alone to judge."""
        if self.is_trusted and len(self._accepted) < MOST_SHAPES:
            found = self._found(resource, is_new=True)
            if found is not None:
                self._accepted.add(found)

    def distrust(self) -> None:
        """Forget all shapes for good: the classes refused a resource of an accepted shape."""
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
