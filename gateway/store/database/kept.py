"""Convert a mapped study, and any JSON, to the compressed bytes of a row, and back.

https://www.rfc-editor.org/rfc/rfc1951. A row is the number of its dictionary and a raw DEFLATE stream. Each row is
compressed by itself, so its length tells nothing of another patient's. A version of a resource is stored without
`versionId` and `lastUpdated`, which its row has as columns, and with its base64 data as plain bytes. Derived values of
a study are left out: a report's sections are cut from its text again.
Proved by tests/contract/test_any_study.py and tests/gateway/store/database/test_stored_bytes.py.
"""

from __future__ import annotations

import json
import re
import zlib
from binascii import a2b_base64, b2a_base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from datetime import datetime
from functools import cache
from types import NoneType, UnionType
from typing import Any, Final, TypeAlias, TypeVar, cast, get_args, get_origin, get_type_hints

from gateway.runtime.errors import RowUnreadable
from gateway.store.compression.dictionaries import dictionary, number_for
from gateway.store.database.engine import instant_text
from mappings.model import Facts, Report, Study
from mappings.sections import cut

_LEVEL: Final = 5
# Of 9: a compressor is copied for each row, which takes as long as compressing some. Rows are as small with this memory
_MEMORY: Final = 6
_RAW: Final = -zlib.MAX_WBITS
_PLAIN: Final = b"{"
# JSON holds no control characters, so these two mark what was taken out: the stamp, and base64 data
_STAMP: Final = b"\x01"
_DATA: Final = b"\x00"
# It begins with the text to be found, not with a look behind: so most of a resource is passed over quickly
_BASE64: Final = re.compile(rb'("data":")([A-Za-z0-9+/]{16,}={0,2})(?=")')


def compressed(kind: str, data: bytes) -> bytes:
    """Compress JSON for a row of this kind: a type of resource, or a name in dictionaries.py."""
    number = number_for(kind)
    stream = _ready(number).copy()
    return b"".join((bytes((number,)), stream.compress(data), stream.flush()))


def decompressed(row: bytes) -> bytes:
    """Decompress the JSON of a row; plain JSON is returned as it is.

    Raises:
        RowUnreadable: the row is damaged, or was written by a newer release.
    """
    if row[:1] == _PLAIN:
        return row
    try:
        stream = zlib.decompressobj(_RAW, dictionary(row[0]))
        data: bytes = stream.decompress(row[1:])
    except (zlib.error, IndexError):
        raise _damaged() from None
    if not stream.eof or stream.unused_data:
        raise _damaged()
    return data


def stored_version(kind: str, head: bytes, tail: bytes) -> bytes:
    """Return the row of a resource, from its JSON before and after `versionId` and `lastUpdated`."""
    return compressed(kind, head + _STAMP + _BASE64.sub(_without_base64, tail))


def served_version(row: bytes, version: int, updated: int) -> bytes:
    """Return the JSON of a resource as it is served. `updated` is the instant of the version in microseconds.

    Raises:
        RowUnreadable: the row is damaged, or was written by a newer release.
    """
    if row[:1] == _PLAIN:
        return bytes(row)
    head, _, tail = decompressed(row).partition(_STAMP)
    stamp = f'"versionId":"{version}","lastUpdated":"{instant_text(updated)}"'.encode()
    return b"".join((head, stamp, tail if _DATA not in tail else _with_base64(tail)))


@cache
def _ready(number: int) -> Any:
    """Return a compressor prepared with a dictionary; callers copy it for each row."""
    return zlib.compressobj(_LEVEL, zlib.DEFLATED, _RAW, _MEMORY, zdict=dictionary(number))


def _without_base64(match: re.Match[bytes]) -> bytes:
    """Replace base64 text by its length and its bytes, if encoding them again gives the same text."""
    name, text = match.groups()
    if len(text) % 4:
        return match[0]
    data = a2b_base64(text)
    return b"%b%b%d:%b" % (name, _DATA, len(data), data) if b2a_base64(data, newline=False) == text else match[0]


def _with_base64(tail: bytes) -> bytes:
    parts: list[bytes] = []
    done, mark = 0, tail.find(_DATA)
    while mark >= 0:
        begin = tail.index(b":", mark) + 1
        end = begin + int(tail[mark + 1 : begin - 1])
        parts += (tail[done:mark], b2a_base64(tail[begin:end], newline=False))
        done, mark = end, tail.find(_DATA, end)
    return b"".join((*parts, tail[done:]))


def _damaged() -> RowUnreadable:
    return RowUnreadable("a compressed row of the database is damaged")


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
    """Convert one value that the JSON encoder does not know; its parts may still need conversion."""
    if is_dataclass(value):
        return {name: getattr(value, name) for name in _names(value.__class__)}
    if isinstance(value, frozenset):
        return sorted(value)
    return dict(value) if isinstance(value, Mapping) else _WRITTEN[type(value)](value)


_ENCODER: Final = json.JSONEncoder(separators=(",", ":"), default=_as_json)


@dataclass(frozen=True, slots=True)
class Kept:
    """Stored state of a study that the next ingest compares with: mapped study, content version, and facts."""

    study: Study
    version: str = ""
    facts: Facts = _NOTHING_KNOWN


def packed(value: Any) -> bytes:
    """Compress a dataclass of the model, or JSON."""
    kind = _STATE if isinstance(value, Kept) else _RECEIVED
    return compressed(kind, encoded(value))


def encoded(value: Any) -> bytes:
    """Encode a dataclass of the model, or JSON: dataclasses as objects, instants in ISO 8601, bytes in hexadecimal."""
    return _ENCODER.encode(value).encode()


def unpacked(data: bytes) -> Any:
    """Decompress what `packed` compressed, to JSON."""
    return json.loads(decompressed(data))


def kept(data: bytes) -> Kept:
    """Decompress a stored `Kept`."""
    return rebuilt(Kept, unpacked(data))


def rebuilt(kind: type[Made], value: Any) -> Made:
    """Rebuild a dataclass from the JSON that `encoded` made of it. Keys that are no longer fields are left out."""
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
