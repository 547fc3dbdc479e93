r"""Messages as bytes: parse them leniently, show them as printable lines, compare two, and copy one under a new id.

HL7 v2.5.1 §2.5 (delimiters, segments, fields) and §2.7 (escape sequences), read by the delimiters in the message,
without validation: LF between segments, no last CR, a byte order mark, NULs, and bytes of any charset are accepted.
§2.15.9.10 (MSH-10): a receiver that sees an id twice may answer without filing the message. §2.15.9.18 (MSH-18): bytes
outside the character set and control characters are shown as `\xNN` or `\uNNNN`. Fields that name or count (MSH-7,
MSH-10, set ids) differ in any two messages and are left out of a comparison, in which values stay escaped. A digest of
what a message says of its results (OBR-25, OBX-8, OBX-11) shows whether the next one says the same.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from functools import lru_cache
from itertools import zip_longest
from typing import Final, Literal

from mappings.codes import CHARSETS
from mappings.values.text import printable

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


_ENDS: Final = re.compile(r"[\r\n]+")
_CHARSET: Final = 18


def segments(data: bytes) -> list[str]:
    """Split a message, or any bytes received in place of one, into printable lines."""
    try:
        named = read(data).msh.field(_CHARSET)
    except Unreadable:
        named = ""
    text = data.decode(CHARSETS.get(named, "utf-8"), "backslashreplace")
    return [printable(line) for line in _ENDS.split(text) if line]


_MSH_10: Final = 9  # MSH-1 is the separator itself
_CR: Final = b"\r"


def with_control_id(message: bytes, control_id: str) -> bytes:
    """Replace MSH-10 and keep all other bytes; the message was made by the gateway."""
    header, end, rest = message.partition(_CR)
    separator = header[3:4]
    fields = header.split(separator)
    fields[_MSH_10] = control_id.encode("ascii")
    return separator.join(fields) + end + rest


# Fields that count a segment, and fields that name the message
_COUNTED: Final = frozenset({"OBX-1", "OBX-4", "OBR-1", "NTE-1", "PID-1", "PV1-1", "TQ1-1", "MSH-7", "MSH-10"})
_Placed = tuple[str, Segment]


@dataclass(frozen=True, slots=True)
class Difference:
    """A field that differs: `place` is `OBR-25`, or `OBX[3]-5` for the third OBX; `was` or `now` may be empty.

    For a segment in only one of the two messages, place and text are those of the whole segment.
    """

    place: str
    was: str = field(repr=False)
    now: str = field(repr=False)


def differences(before: bytes, after: bytes) -> tuple[Difference, ...]:
    """Return the fields in which a message differs from one before it, in the order of its segments.

    Raises:
        Unreadable: one of the two is no HL7 v2 message.
    """
    old, new = list(placed(read(before))), list(placed(read(after)))
    matched = SequenceMatcher(None, [_key(one) for one in old], [_key(one) for one in new], autojunk=False)
    return tuple(
        found
        for tag, first, last, start, end in matched.get_opcodes()
        if tag != "equal"
        for found in _replaced(old[first:last], new[start:end])
    )


def text_of(segment: Segment) -> str:
    """Return a segment in its original text."""
    head, rest = (segment.fields[:1], segment.fields[2:]) if segment.name == "MSH" else ((), segment.fields)
    return "|".join((*head, *rest))


def _key(one: _Placed) -> tuple[str, ...]:
    """Return a segment's fields without those that count or name it."""
    _, segment = one
    return tuple("" if f"{segment.name}-{n}" in _COUNTED else text for n, text in enumerate(segment.fields))


def _replaced(old: Sequence[_Placed], new: Sequence[_Placed]) -> Iterator[Difference]:
    """Yield the differences of two stretches: segments of one name in order, unmatched ones as a whole."""
    names = dict.fromkeys(segment.name for _, segment in (*new, *old))
    for name in names:
        was = [one for one in old if one[1].name == name]
        now = [one for one in new if one[1].name == name]
        for before, after in zip_longest(was, now):
            if before is not None and after is not None:
                yield from _fields(before[1], after)
            elif after is not None:
                yield Difference(after[0], "", text_of(after[1]))
            elif before is not None:
                yield Difference(before[0], text_of(before[1]), "")


def _fields(old: Segment, new: _Placed) -> Iterator[Difference]:
    place, segment = new
    for number in range(1, max(len(old.fields), len(segment.fields))):
        was, now = old.field(number), segment.field(number)
        if was != now and f"{segment.name}-{number}" not in _COUNTED:
            yield Difference(f"{place}-{number}", was, now)


def statuses_of(message: bytes) -> str:
    """Digest of OBR-25 and of each OBX-8 and OBX-11 of a message's first order: the others have the same."""
    rows = message.decode("latin-1").split("\r")
    [start, *others] = [place for place, row in enumerate(rows) if row.startswith("OBR|")]
    return statuses_digest(_split(rows[start])[25], rows[start : others[0] if others else len(rows)])


def statuses_digest(obr_25: str, segments: Iterable[str]) -> str:
    """Digest of OBR-25 and of each OBX-8 and OBX-11 of the segments, as the gateway writes them."""
    rows = [(row[8], row[11]) for row in map(_split, segments) if row[0] == "OBX"]
    return hashlib.sha256(repr((obr_25, rows)).encode()).hexdigest()


def _split(segment: str) -> list[str]:
    return [*segment.split("|"), *[""] * 25]
