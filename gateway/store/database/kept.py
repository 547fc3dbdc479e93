"""Convert a mapped study to compressed JSON for the database, and back.

Carries out no clause of a standard. Derived values are left out: a report's sections are cut from its text again.
Proved by tests/contract/test_any_study.py.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from datetime import datetime
from functools import cache
from types import NoneType, UnionType
from typing import Any, Final, TypeAlias, TypeVar, cast, get_args, get_origin, get_type_hints

from gateway.store.database.stored_bytes import compressed, decompressed
from mappings.model import Facts, Report, Study
from mappings.sections import cut

Build: TypeAlias = Callable[[Any], Any]
Made = TypeVar("Made")
# Kinds of rows with a dictionary of their own: what the gateway made of a study, and what AutoScribe sent
_STATE: Final = "kept"
_RECEIVED: Final = "received"
_MADE_AGAIN: Final = "sections"
_NOTHING_KNOWN: Final = Facts()


def _as_it_is(value: Any) -> Any:
    return value


# Values that JSON holds as text
_WRITTEN: Final[dict[type, Build]] = {bytes: bytes.hex, datetime: datetime.isoformat}
_READ: Final[dict[type, Build]] = {bytes: bytes.fromhex, datetime: datetime.fromisoformat}


def _as_json(value: Any) -> Any:
    """Return a value that JSON does not know as one that it knows; its parts may still be of either kind."""
    if is_dataclass(value):
        return {name: getattr(value, name) for name in _names(value.__class__)}
    if isinstance(value, frozenset):
        return sorted(value)
    return dict(value) if isinstance(value, Mapping) else _WRITTEN[type(value)](value)


_ENCODER: Final = json.JSONEncoder(separators=(",", ":"), default=_as_json)


@dataclass(frozen=True, slots=True)
class Kept:
    """State of a study that the next ingest compares with: the mapped study, its content version, and its facts."""

    study: Study
    version: str = ""
    facts: Facts = _NOTHING_KNOWN


def packed(value: Any) -> bytes:
    """Return a dataclass of the model, or JSON, as compressed JSON."""
    kind = _STATE if isinstance(value, Kept) else _RECEIVED
    return compressed(kind, encoded(value))


def encoded(value: Any) -> bytes:
    """Encode a dataclass of the model, or JSON: dataclasses as objects, instants in ISO 8601, bytes in hexadecimal."""
    return _ENCODER.encode(value).encode()


def unpacked(data: bytes) -> Any:
    """Return the JSON that was packed."""
    return json.loads(decompressed(data))


def kept(data: bytes) -> Kept:
    """Return the `Kept` that was packed."""
    return rebuilt(Kept, unpacked(data))


def rebuilt(kind: type[Made], value: Any) -> Made:
    """Return the dataclass from the JSON that `encoded` made of it. Keys that are no longer fields are left out."""
    return cast(Made, _builder(cast(Any, kind))(value))


@cache
def _names(kind: Any) -> tuple[str, ...]:
    return tuple(one.name for one in fields(kind) if one.name != _MADE_AGAIN)


@cache
def _builder(wanted: Any) -> Build:
    """Return a function that rebuilds a value of that type from its JSON."""
    origin, inner = get_origin(wanted), get_args(wanted)
    if origin is UnionType:
        build = _builder(next(one for one in inner if one is not NoneType))
        return build if build is _as_it_is else lambda value: None if value is None else build(value)
    if origin is tuple:
        item = _builder(inner[0])
        return tuple if item is _as_it_is else lambda value: tuple([item(one) for one in value])
    if origin is frozenset:
        return frozenset
    if origin is Mapping:
        each = _builder(inner[1])
        return lambda value: {key: each(one) for key, one in value.items()}
    if is_dataclass(wanted):
        return _dataclass_builder(wanted)
    return _READ.get(wanted, _as_it_is)


def _dataclass_builder(wanted: Any) -> Build:
    """Return a function that rebuilds a dataclass, ignoring keys that are no longer fields."""
    hints = get_type_hints(wanted)
    names = hints.keys()
    builds = {name: build for name, hint in hints.items() if (build := _builder(hint)) is not _as_it_is}

    def whole(value: Mapping[str, Any]) -> Any:
        given = dict(value) if value.keys() <= names else {name: one for name, one in value.items() if name in names}
        for name, build in builds.items():
            if name in given:
                given[name] = build(given[name])
        if wanted is Report:
            given[_MADE_AGAIN] = cut(given["text"] or "")
        return wanted(**given)

    return whole
