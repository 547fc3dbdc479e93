"""A study and its facts as the store keeps them: the dataclasses of the model as JSON, compressed, and back.

Carries out no clause of a standard. What can be made again is left out: the sections of a report are cut from its text.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Any, Final, TypeAlias, cast, get_args, get_origin, get_type_hints

from mappings.model import Facts, Report, Study
from mappings.sections import cut

Build: TypeAlias = Callable[[Any], Any]
_LEVEL: Final = 6
_MADE_AGAIN: Final = "sections"
_NOTHING_KNOWN: Final = Facts()


@dataclass(frozen=True, slots=True)
class Kept:
    """What the next look at a study must know of the last: the study as mapped, the version of its content, facts."""

    study: Study
    version: str = ""
    facts: Facts = _NOTHING_KNOWN


def packed(value: Any) -> bytes:
    """A dataclass of the model, or JSON, as compressed JSON."""
    return zlib.compress(json.dumps(_plain(value), separators=(",", ":")).encode(), _LEVEL)


def unpacked(data: bytes) -> Any:
    """The JSON that was packed."""
    return json.loads(zlib.decompress(data))


def kept(data: bytes) -> Kept:
    """What was packed as `Kept`."""
    return cast(Kept, _builder(Kept)(unpacked(data)))


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        names = [one.name for one in fields(value) if one.name != _MADE_AGAIN]
        return {name: _plain(getattr(value, name)) for name in names}
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, frozenset):
        return sorted(value)
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return value.hex() if isinstance(value, bytes) else value


def _as_it_is(value: Any) -> Any:
    return value


@cache
def _builder(wanted: Any) -> Build:
    """Make the function that makes a value of that type again of what `_plain` made of it."""
    origin, inner = get_origin(wanted), get_args(wanted)
    if origin is UnionType:
        said = _builder(next(one for one in inner if one is not NoneType))
        return said if said is _as_it_is else lambda value: None if value is None else said(value)
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
    return bytes.fromhex if wanted is bytes else _as_it_is


def _dataclass_builder(wanted: Any) -> Build:
    """Make the function for a dataclass; keys that it does not have any more are left out."""
    hints = get_type_hints(wanted)
    builds = {name: build for name, hint in hints.items() if (build := _builder(hint)) is not _as_it_is}

    def whole(value: Mapping[str, Any]) -> Any:
        given = {name: one for name, one in value.items() if name in hints}
        for name, made in builds.items():
            if name in given:
                given[name] = made(given[name])
        if wanted is Report:
            given[_MADE_AGAIN] = cut(given["text"] or "")
        return wanted(**given)

    return whole
