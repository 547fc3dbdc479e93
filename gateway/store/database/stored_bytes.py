"""Convert JSON to the compressed bytes of a row, and back.

https://www.rfc-editor.org/rfc/rfc1951. A row is the number of its dictionary and a raw DEFLATE stream. Each row is
compressed alone, so its length tells nothing of another patient's. A version of a resource is stored without
`versionId` and `lastUpdated`, which its row has as columns, and with its base64 data as plain bytes.
"""

from __future__ import annotations

import re
import zlib
from binascii import a2b_base64, b2a_base64
from functools import cache
from typing import Any, Final

from gateway.runtime.errors import RowUnreadable
from gateway.store.compression.dictionaries import dictionary, number_for
from gateway.store.database.engine import instant_text

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
    """Return JSON as the bytes of a row of this kind: a type of resource, or a name in dictionaries.py."""
    number = number_for(kind)
    stream = _ready(number).copy()
    return b"".join((bytes((number,)), stream.compress(data), stream.flush()))


def decompressed(row: bytes) -> bytes:
    """Return the JSON of a row; plain JSON is returned as it is.

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
    """Return the row of a resource: its JSON before and after `versionId` and `lastUpdated`."""
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
    """Return a compressor that has read its dictionary; it is copied for each row."""
    return zlib.compressobj(_LEVEL, zlib.DEFLATED, _RAW, _MEMORY, zdict=dictionary(number))


def _without_base64(match: re.Match[bytes]) -> bytes:
    """Return base64 data as its length and its bytes, if encoding them again gives the same."""
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
