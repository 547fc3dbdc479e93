"""Find the character set of an inbound message, by the names of HL7 alone.

HL7 v2.5.1 §2.15.9.18 (MSH-18, table 0211). A name outside the table is not guessed: what is not ASCII is not read.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, Literal

from mappings.hl7v2.received import Received, Segment

# HL7 table 0211 Alternate Character Sets: those in which no byte of a delimiter is part of another character
CODECS: Final[dict[str, str]] = {
    "ASCII": "ascii",
    "ISO IR6": "ascii",
    "8859/1": "iso8859-1",
    "8859/2": "iso8859-2",
    "8859/3": "iso8859-3",
    "8859/4": "iso8859-4",
    "8859/5": "iso8859-5",
    "8859/6": "iso8859-6",
    "8859/7": "iso8859-7",
    "8859/8": "iso8859-8",
    "8859/9": "iso8859-9",
    "8859/15": "iso8859-15",
    "UNICODE UTF-8": "utf-8",
}
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
    return InboundCharset(CODECS.get(first, "ascii"), "" if known <= CODECS.keys() else "charset-unknown")


def safe_segment(segment: Segment, charset: InboundCharset) -> Segment:
    """Leave out what the character set makes uncertain: in a set that shifts, all from the first byte beyond ASCII."""
    if charset.is_wide:
        return replace(segment, fields=segment.fields[:1])
    if not charset.is_shifting:
        return segment
    fault = next((n for n, text in enumerate(segment.fields) if not text.isascii() or "\x1b" in text), None)
    return segment if fault is None else replace(segment, fields=segment.fields[:fault])
