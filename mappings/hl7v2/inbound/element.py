"""Segments and fields of an inbound message with their places, decoded when they are asked for.

HL7 v2.5.1 §2.5.3 (fields, repetitions, components, the null `""`), §2.7 (escape sequences), §2.15.9.18 (MSH-18, table
0211). A component where a type has none is the first of its kind, as §2.8 asks of a receiver. A character set outside
the table is not guessed: what is not ASCII is not read.
Proved by tests/mappings/hl7v2/inbound/test_datatypes.py and tests/mappings/hl7v2/inbound/test_charset.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Final, Literal

from mappings.codes import INBOUND_CHARSETS
from mappings.hl7v2.inbound.source import SourceRules
from mappings.hl7v2.received import Delimiters, Received, Segment, placed
from mappings.hospital.events import InboundIssue, InboundIssueCode

# HL7 table 0211: sets in which the byte of a delimiter can be part of a character
SHIFTING: Final = frozenset(
    {"ISO IR14", "ISO IR87", "ISO IR159", "GB 18030-2000", "KS X 1001", "CNS 11643-1992", "BIG-5"}
)
# HL7 table 0211: sets in which no byte is what it is in ASCII
WIDE: Final = frozenset({"UNICODE", "UNICODE UTF-16", "UNICODE UTF-32"})


@dataclass(frozen=True, slots=True)
class InboundCharset:
    """Codec of a message, and `issue`: the code of a fault of MSH-18, or empty."""

    codec: str
    issue: Literal["", "charset-unknown", "charset-unsupported"] = ""
    is_shifting: bool = False
    is_wide: bool = False


def msh_18_character_set(received: Received, default: str) -> InboundCharset:
    """MSH-18 Character Set: the first repetition, else the source's, else ASCII. One set that shifts is enough.

    HL7 v2.5.1 §2.15.9.18
    """
    names = [name.strip() for name in received.msh.field(18).split(received.delimiters.repetition)]
    first = names[0] or default or "ASCII"
    known = {first, *names} - {""}
    if known & WIDE:
        return InboundCharset("ascii", "charset-unsupported", is_wide=True)
    if known & SHIFTING:
        return InboundCharset("ascii", "charset-unsupported", is_shifting=True)
    return InboundCharset(
        INBOUND_CHARSETS.get(first, "ascii"), "" if known <= INBOUND_CHARSETS.keys() else "charset-unknown"
    )


def safe_segment(segment: Segment, charset: InboundCharset) -> Segment:
    """Leave out what the character set makes uncertain: in a set that shifts, all from the first byte beyond ASCII."""
    if charset.is_wide:
        return replace(segment, fields=segment.fields[:1])
    if not charset.is_shifting:
        return segment
    fault = next((n for n, text in enumerate(segment.fields) if not text.isascii() or "\x1b" in text), None)
    return segment if fault is None else replace(segment, fields=segment.fields[:fault])


_MOST_REPETITIONS: Final = 100
NULL: Final = '""'
# All but the line breaks of N(text), the normal form in mappings/values/text.py, and the tab
_UNUSABLE: Final = re.compile("[\x00-\x08\x0e-\x1b\x1f\x7f-\x9f\ufffd]")
_UNUSABLE_IN_LINE: Final = re.compile("[\x00-\x1f\x7f-\x9f\ufffd]")


@dataclass(slots=True)
class InboundReader:
    """One message as it is read: its character set, its delimiters, and the issues found so far."""

    delimiters: Delimiters
    source: SourceRules
    charset: InboundCharset
    issues: dict[InboundIssue, None] = field(default_factory=dict)

    def note(self, code: InboundIssueCode, place: str) -> None:
        """Add an issue, once."""
        self.issues[InboundIssue(code, place)] = None


@dataclass(frozen=True, slots=True)
class InboundElement:
    """One repetition of a field, still escaped, with its place, such as `PID-3` or `OBR[2]-16[3]`."""

    raw: str
    place: str
    reader: InboundReader

    def component(self, number: int = 1, subcomponent: int = 1) -> str:
        """Decode a component on one line, without blanks around it; "" if absent, null or not decodable."""
        return self._decoded(_part(self._component(number), self.reader.delimiters.subcomponent, subcomponent))

    def lines(self, number: int = 1) -> tuple[str, ...]:
        r"""Decode a component that may have line breaks, however they are escaped (`\.br\`, `\X0D\`, `\X0D0A\`).

        Lines that are empty are left out.
        """
        return _lines(self._decoded(self._component(number), _UNUSABLE))

    def text(self, number: int = 1) -> str:
        """Decode a component of words on one line, with a blank for each line break; numbers and codes have none."""
        first = _part(self._component(number), self.reader.delimiters.subcomponent, 1)
        return " ".join(_lines(self._decoded(first, _UNUSABLE)))

    def components(self) -> tuple[str, ...]:
        """Decode all components, each as its first subcomponent."""
        mark = self.reader.delimiters.subcomponent
        return tuple(self._decoded(part.split(mark, 1)[0]) for part in self.raw.split(self.reader.delimiters.component))

    def is_valued(self, number: int) -> bool:
        """True if a component has content, be it decodable or not."""
        return self._component(number).strip(f" {self.reader.delimiters.subcomponent}") not in ("", NULL)

    def _component(self, number: int) -> str:
        return _part(self.raw, self.reader.delimiters.component, number)

    def _decoded(self, raw: str, unusable: re.Pattern[str] = _UNUSABLE_IN_LINE) -> str:
        stripped = raw.strip(" ")
        if not stripped or stripped == NULL:
            return ""
        text = self.reader.delimiters.unescape(stripped, self.reader.charset.codec)
        if unusable.search(text):
            self.reader.note("text-unusable", self.place)
            return ""
        return text.strip()


@dataclass(frozen=True, slots=True)
class InboundSegment:
    """One segment with its place, such as `PID` or `OBR[2]`."""

    segment: Segment
    place: str
    reader: InboundReader

    @property
    def name(self) -> str:
        """Name of the segment."""
        return self.segment.name

    def field(self, number: int) -> InboundElement:
        """Return the first repetition of a field, empty if absent."""
        return InboundElement(self._repetitions(number)[0], f"{self.place}-{number}", self.reader)

    def repetitions(self, number: int) -> tuple[InboundElement, ...]:
        """Return the repetitions of a field that have content, of the first hundred."""
        raws = self._repetitions(number)
        place = f"{self.place}-{number}"
        if len(raws) > _MOST_REPETITIONS:
            self.reader.note("repetitions-too-many", place)
            del raws[_MOST_REPETITIONS:]
        return tuple(
            InboundElement(raw, place if len(raws) == 1 else f"{place}[{count}]", self.reader)
            for count, raw in enumerate(raws, 1)
            if raw and raw != NULL
        )

    def deleted(self, numbers: Iterable[int]) -> tuple[str, ...]:
        """Return the fields, such as `PV1-7`, that the message deletes with the null `""`."""
        return tuple(f"{self.name}-{number}" for number in numbers if self.segment.field(number).strip() == NULL)

    def _repetitions(self, number: int) -> list[str]:
        return self.segment.field(number).split(self.reader.delimiters.repetition)


def open_message(received: Received, source: SourceRules) -> tuple[InboundSegment, ...]:
    """Return the segments of a message, MSH first, each with its place."""
    reader = InboundReader(received.delimiters, source, msh_18_character_set(received, source.charset))
    if reader.charset.issue:
        reader.note(reader.charset.issue, "MSH-18")
    return tuple(
        InboundSegment(segment if segment is received.msh else safe_segment(segment, reader.charset), place, reader)
        for place, segment in placed(received)
    )


def _lines(text: str) -> tuple[str, ...]:
    return tuple(line.strip() for line in text.splitlines() if line.strip())


def _part(raw: str, delimiter: str, number: int) -> str:
    """Return part `number` of a text, counted from 1."""
    if delimiter not in raw:
        return raw if number == 1 else ""
    parts = raw.split(delimiter, number)
    return parts[number - 1] if number <= len(parts) else ""
