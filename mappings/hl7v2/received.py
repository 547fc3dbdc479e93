"""Parse an HL7 v2 message from another system by the delimiters in the message, without validation.

HL7 v2.5.1 §2.5 (delimiters, segments, fields) and §2.7 (escape sequences), read leniently about form: LF between
segments, no last CR, a byte order mark, NULs, and bytes of any charset are accepted.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal

UnreadableCode = Literal["empty", "no-msh", "bad-delimiters"]

_LEADING: Final = b"\xef\xbb\xbf\xff\xfe\r\n \t"
_SEGMENT: Final = re.compile(rb"[^\r\n]+")
_NOT_A_DELIMITER: Final = re.compile(rb"[A-Za-z0-9\s\x00-\x1f\x7f-\xff]")
_HEX: Final = re.compile(r"(?:[0-9A-Fa-f]{2})+")
_REPLACEMENT: Final = "\ufffd"


class Unreadable(ValueError):
    """Bytes that are no HL7 v2 message: `code` is the reason, `offset` the place. The text never holds the bytes.

    The offset counts from the first byte, NULs left out.
    """

    def __init__(self, code: UnreadableCode, offset: int) -> None:
        self.code = code
        self.offset = offset
        super().__init__(f"{code} at offset {offset}")


@dataclass(frozen=True, slots=True)
class Delimiters:
    """MSH-1 and MSH-2 of one message; delimiters missing in its MSH-2 are those that §2.5.4 recommends."""

    separator: str = "|"
    component: str = "^"
    repetition: str = "~"
    escape: str = "\\"
    subcomponent: str = "&"

    @property
    def encoding_characters(self) -> str:
        """Content of MSH-2."""
        return self.component + self.repetition + self.escape + self.subcomponent

    def unescape(self, text: str, codec: str = "utf-8") -> str:
        r"""Decode a field's bytes by the codec, and the escape sequences of §2.7; an unknown one stays.

        Bytes that the codec lacks become U+FFFD, and so does a change to another character set (`\C..\`, `\M..\`).
        """
        plain = text if text.isascii() else text.encode("utf-8", "surrogateescape").decode(codec, "replace")
        if self.escape not in plain:
            return plain
        mark = re.escape(self.escape)
        return re.sub(f"{mark}([^{mark}]*){mark}", lambda sequence: self._read_sequence(sequence, codec), plain)

    def _read_sequence(self, sequence: re.Match[str], codec: str) -> str:
        body = sequence.group(1)
        if body[:1] == "X" and _HEX.fullmatch(body[1:]):
            return bytes.fromhex(body[1:]).decode(codec, "replace")
        if body[:1] in ("C", "M") and _HEX.fullmatch(body[1:]):
            return _REPLACEMENT
        known = {
            "E": self.escape,
            "F": self.separator,
            "S": self.component,
            "T": self.subcomponent,
            "R": self.repetition,
            ".br": "\n",
            "H": "",
            "N": "",
        }
        return known.get(body, sequence.group())


@dataclass(frozen=True, slots=True)
class Segment:
    """One segment: `field(n)` is field n as HL7 counts (MSH-1 is the separator), still escaped; "" if absent.

    Bytes that are not UTF-8 become lone surrogates in the fields (`surrogateescape`), so an echo reproduces them.
    """

    name: str
    fields: tuple[str, ...]
    offset: int

    def field(self, number: int) -> str:
        """Return field `number`, or "" if the segment is shorter."""
        return self.fields[number] if number < len(self.fields) else ""


@dataclass(frozen=True, slots=True)
class Received:
    """Segments of a message, MSH first, and its delimiters."""

    segments: tuple[Segment, ...]
    delimiters: Delimiters

    @property
    def msh(self) -> Segment:
        """Header segment."""
        return self.segments[0]

    def components(self, value: str) -> list[str]:
        """Split a field, or one repetition of it, into components."""
        return value.split(self.delimiters.component)


def read(payload: bytes) -> Received:
    """Read the content of one frame.

    Raises:
        Unreadable: the content does not begin with an MSH segment with readable delimiters.
    """
    data = payload.replace(b"\x00", b"")
    start = len(data) - len(data.lstrip(_LEADING))
    if start == len(data):
        raise Unreadable("empty", 0)
    if not data.startswith(b"MSH", start):
        raise Unreadable("no-msh", start)
    separator = data[start + 3 : start + 4]
    if not separator or _NOT_A_DELIMITER.match(separator):
        raise Unreadable("bad-delimiters", start + 3)
    segments = tuple(_segments(data, start, separator))
    msh = segments[0]
    try:
        return Received(segments, _delimiters(msh.field(2)[:4], separator.decode("ascii")))
    except ValueError:
        raise Unreadable("bad-delimiters", msh.offset + 4) from None


def placed(received: Received) -> Iterator[tuple[str, Segment]]:
    """Yield each segment with its name for messages: `PID`, or `OBX[3]` if there are several."""
    total = Counter(segment.name for segment in received.segments)
    seen: Counter[str] = Counter()
    for segment in received.segments:
        seen[segment.name] += 1
        yield segment.name if total[segment.name] == 1 else f"{segment.name}[{seen[segment.name]}]", segment


def _segments(data: bytes, start: int, separator: bytes) -> Iterator[Segment]:
    mark = separator.decode("ascii")
    for line in _SEGMENT.finditer(data, start):
        first, *fields = line[0].decode("utf-8", "surrogateescape").split(mark)
        name, offset = first.strip(), line.start()
        yield Segment(name, (name, mark, *fields) if offset == start else (first, *fields), offset)


@lru_cache(maxsize=64)
def _delimiters(given: str, separator: str) -> Delimiters:
    """Read the delimiters of an MSH-2 and its separator; ValueError if two are equal or one is invalid."""
    named = given + Delimiters().encoding_characters[len(given) :]
    if len({separator, *named}) < 5 or _NOT_A_DELIMITER.search(given.encode("utf-8", "surrogateescape")):
        raise ValueError
    return Delimiters(separator, *named)
