"""Range requests: parse the Range header into the bytes to serve.

RFC 9110 §14 (Range, Content-Range) and §13.1.5 (If-Range). A single valid range is served. A request with several
ranges, or a malformed one, gets the whole content, as §14.2 allows.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from starlette.datastructures import Headers

from gateway.runtime.request_errors import RangeNotSatisfiable

_RANGES: Final = re.compile(r"\s*bytes\s*=(.*)", re.IGNORECASE | re.DOTALL)
_RANGE: Final = re.compile(r"([0-9]{0,18})-([0-9]{0,18})")


class ByteRange(NamedTuple):
    """First and last byte to serve, counted from 0, both included."""

    first: int
    last: int

    def content_range(self, size: int) -> str:
        """Value of the Content-Range header; `size` is the length of the whole content."""
        return f"bytes {self.first}-{self.last}/{size}"


def wanted_range(headers: Headers, size: int, tag: str) -> ByteRange | None:
    """Return the byte range to serve from content of `size` bytes (at least one); None to serve all of it.

    `tag` is the strong ETag of the content; an If-Range with any other value asks for the whole content.

    Raises:
        RangeNotSatisfiable: the range begins after the last byte.
    """
    if headers.get("if-range", tag).strip() != tag:
        return None
    listed = _RANGES.fullmatch(",".join(headers.getlist("range")))
    ranges = [one.strip() for one in listed[1].split(",") if one.strip()] if listed else []
    parts = _RANGE.fullmatch(ranges[0]) if len(ranges) == 1 else None
    return _resolve(parts[1], parts[2], size) if parts else None


def _resolve(first: str, last: str, size: int) -> ByteRange | None:
    """Resolve `first-last`, `first-` or `-length` against the size; None for an invalid range."""
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
