"""A study and its facts as the store keeps them: the dataclasses of the model as JSON, compressed, and back.

Carries out no clause of a standard. What can be made again is left out: the sections of a report are cut from its text.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Any, Final, TypeVar, cast, get_args, get_origin, get_type_hints

from mappings.model import Facts, Report, Study
from mappings.sections import cut

Made = TypeVar("Made")
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
    return _built(Kept, unpacked(data))


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


def _built(wanted: type[Made], value: Any) -> Made:
    """The value of that type that `_plain` made this of."""
    origin, inner = get_origin(wanted), get_args(wanted)
    if origin is UnionType:
        made = None if value is None else _built(next(one for one in inner if one is not NoneType), value)
    elif origin is tuple:
        made = tuple([_built(inner[0], one) for one in value])
    elif origin is frozenset:
        made = frozenset(value)
    elif origin is Mapping:
        made = {key: _built(inner[1], one) for key, one in value.items()}
    elif is_dataclass(wanted):
        made = _dataclass(wanted, value)
    else:
        made = bytes.fromhex(value) if wanted is bytes else value
    return cast(Made, made)


def _dataclass(wanted: Any, value: Mapping[str, Any]) -> Any:
    hints = _hints(wanted)
    given = {name: _built(hints[name], one) for name, one in value.items() if name in hints}
    if wanted is Report:
        given[_MADE_AGAIN] = cut(given["text"] or "")
    return wanted(**given)


@cache
def _hints(wanted: Any) -> dict[str, Any]:
    return get_type_hints(wanted)
