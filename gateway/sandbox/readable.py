"""Format an HL7 v2 message for a person: one segment per line, named fields, unescaped text.

HL7 v2.5.1 chapters 2, 3, 4 and 7 name the fields; the layout is our own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from mappings.hl7v2.received import Received, Segment, Unreadable, read

# HL7 v2.5.1 names of common fields; other fields are shown by number only
FIELD_NAMES: Final[dict[str, dict[int, str]]] = {
    "MSH": {
        3: "sending application",
        4: "sending facility",
        5: "receiving application",
        6: "receiving facility",
        7: "time of message",
        9: "message type",
        10: "control id",
        11: "processing id",
        12: "version",
        18: "character set",
    },
    "MSA": {1: "acknowledgment code", 2: "control id", 3: "text"},
    "ERR": {2: "location", 3: "error code", 4: "severity", 8: "message"},
    "PID": {3: "patient identifiers", 5: "patient name", 7: "date of birth", 8: "sex"},
    "PV1": {2: "class", 3: "location", 8: "referring doctor", 19: "visit number"},
    "ORC": {1: "order control", 2: "placer order", 3: "filler order", 5: "order status", 12: "ordering provider"},
    "OBR": {
        2: "placer order",
        3: "filler order",
        4: "service",
        5: "priority",
        7: "observation time",
        13: "clinical information",
        16: "ordering provider",
        18: "accession",
        22: "result time",
        24: "section",
        25: "result status",
        27: "quantity/timing",
        31: "reason",
        32: "result interpreter",
        44: "procedure",
    },
    "TQ1": {9: "priority"},
    "OBX": {6: "units", 8: "abnormal flags", 11: "status", 14: "time", 15: "producer", 16: "observer"},
    "NTE": {3: "comment"},
    "ZDS": {1: "study instance UID"},
}

# Value types of OBX-2 whose OBX-5 is one text, not components
_TEXT_TYPES: Final = frozenset({"TX", "FT", "ST"})
_INDENT: Final = " " * 5
_LONG_VALUE: Final = 20_000


def readable(message: bytes, width: int = 110) -> str:
    """Format the message in lines of at most `width`; for bytes that are no HL7 v2, a line that says so.

    The result holds patient data: it is for a person's screen, never for a log.
    """
    try:
        received = read(message)
    except Unreadable as error:
        return f"not HL7 v2: {error}, {len(message)} bytes"
    pairs = zip(received.segments, (None, *received.segments), strict=False)
    return "\n".join(line for segment, before in pairs for line in _segment(segment, before, received, width))


def _segment(segment: Segment, before: Segment | None, received: Received, width: int) -> Iterator[str]:
    if segment.name == "OBX":
        yield from _observation(segment, received, width, goes_on=before is not None and _all_but_text(before, segment))
    else:
        first = 3 if segment.name == "MSH" else 1
        yield from _filled(plain(segment.name), _fields(segment, first, received), width)


def _fields(segment: Segment, first: int, received: Received) -> Iterator[str]:
    names = FIELD_NAMES.get(segment.name, {})
    for number, value in enumerate(segment.fields[first:], first):
        if value:
            name = f"{number} {names[number]}" if number in names else str(number)
            yield f"[{name}] {_value(value, received)}"


def _all_but_text(one: Segment, other: Segment) -> bool:
    """True for two text OBX that differ only in number and text: lines of one report, shown under one title."""
    parts = [(segment.name, segment.fields[2:5], segment.fields[6:]) for segment in (one, other)]
    return parts[0] == parts[1] and one.field(2) in _TEXT_TYPES


def _observation(segment: Segment, received: Received, width: int, *, goes_on: bool) -> Iterator[str]:
    value_type = segment.field(2)
    head = [segment.field(1), value_type, segment.field(3), f"({segment.field(4)})" if segment.field(4) else ""]
    title = "OBX  " + " ".join(_value(part, received) for part in head if part)
    if not goes_on:
        yield from _filled(title, _fields(segment, 6, received), width)
    if value_type in _TEXT_TYPES:
        text = "\n".join(map(received.delimiters.unescape, segment.field(5).split(received.delimiters.repetition)))
        for line in text.split("\n"):
            yield from _wrapped(plain(line), width, "    | ")
    elif segment.field(5):
        yield from _wrapped(_value(segment.field(5), received), width, "    = ")


def _value(value: str, received: Received) -> str:
    parts = [
        f"({len(part)} characters)" if len(part) > _LONG_VALUE else received.delimiters.unescape(part)
        for part in received.components(value)
    ]
    return plain("^".join(parts))


def plain(text: str) -> str:
    """Replace unprintable characters by their codes, so that the text cannot control a terminal."""
    if text.isprintable():
        return text
    return re.sub(r"[^\x20-\x7e]", lambda match: _shown(match.group()), text)


def _shown(character: str) -> str:
    return character if character.isprintable() else f"<{ord(character):02X}>"


def _filled(line: str, fields: Iterator[str], width: int) -> Iterator[str]:
    """Yield lines with as many fields as fit."""
    for field in fields:
        if len(line) + 2 + len(field) > width - len(_INDENT) and line.strip():
            yield from _wrapped(line, width)
            line = _INDENT[2:]
        line = f"{line}  {field}"
    yield from _wrapped(line, width)


def _wrapped(line: str, width: int, lead: str = "") -> Iterator[str]:
    room = max(width - max(len(lead), len(_INDENT)), 20)
    position = 0
    prefix = lead
    while len(line) - position > room:
        space = line.rfind(" ", position + room // 2, position + room)
        end = space if space > position else position + room
        yield prefix + line[position:end]
        position = end + (1 if end == space else 0)
        prefix = lead or _INDENT
    yield (prefix + line[position:]).rstrip()
