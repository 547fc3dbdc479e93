"""Range requests: which bytes of how many a client asks for.

RFC 9110 §14 (Range, Content-Range) and §13.1.5 (If-Range). One range is served; of several, or one that is malformed,
the whole is, as §14.2 allows.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from starlette.datastructures import Headers

from gateway.runtime.errors import RangeNotSatisfiable

_RANGES: Final = re.compile(r"\s*bytes\s*=(.*)", re.IGNORECASE | re.DOTALL)
_RANGE: Final = re.compile(r"([0-9]{0,18})-([0-9]{0,18})")


class ByteRange(NamedTuple):
    """Places counted from 0, both included."""

    first: int
    last: int

    def content_range(self, size: int) -> str:
        """The header Content-Range, of so many bytes in all."""
        return f"bytes {self.first}-{self.last}/{size}"


def wanted_range(headers: Headers, size: int, tag: str) -> ByteRange | None:
    """The range of `size` bytes (at least one) that is to be served; None for the whole.

    `tag` is the strong entity tag of those bytes: an If-Range that says anything else asks for the whole.

    Raises:
        RangeNotSatisfiable: it begins behind the last byte.
    """
    if headers.get("if-range", tag).strip() != tag:
        return None
    found = _RANGES.fullmatch(",".join(headers.getlist("range")))
    ranges = [one.strip() for one in found[1].split(",") if one.strip()] if found else []
    parts = _RANGE.fullmatch(ranges[0]) if len(ranges) == 1 else None
    return _within(parts[1], parts[2], size) if parts else None


def _within(first: str, last: str, size: int) -> ByteRange | None:
    """`first-last`, `first-` or `-length`, cut to what there is."""
    if not first:
        length = int(last) if last else None
        if length == 0:
            raise RangeNotSatisfiable(size)
        return None if length is None else ByteRange(max(size - length, 0), size - 1)
    if last and int(last) < int(first):
        return None
    if int(first) >= size:
        raise RangeNotSatisfiable(size)
    return ByteRange(int(first), min(int(last or size), size - 1))
