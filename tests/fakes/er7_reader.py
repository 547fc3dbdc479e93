"""Small reader of HL7 v2 messages for tests, written from the standard, independent of the encoder it checks."""

from __future__ import annotations

import re

_SEQUENCE = re.compile(r"\\([A-Z.][^\\]*)\\")
_KNOWN = {"E": "\\", "F": "|", "S": "^", "R": "~", "T": "&"}


def segments(message: bytes) -> list[list[str]]:
    """Segments as fields, index = field number (MSH-1 is the separator); the message must be CR-ended."""
    assert message.endswith(b"\r")
    rows = [segment.split("|") for segment in message.decode("utf-8").split("\r")[:-1]]
    return [["MSH", "|", *row[1:]] if row[0] == "MSH" else row for row in rows]


def all_of(message: bytes, name: str) -> list[list[str]]:
    """Segments with one name."""
    return [row for row in segments(message) if row[0] == name]


def field(message: bytes, path: str) -> str:
    """`PID-5` as sent, of the first such segment; "" if there is none."""
    name, _, number = path.partition("-")
    rows = all_of(message, name)
    return rows[0][int(number)] if rows and int(number) < len(rows[0]) else ""


def unescape(text: str) -> str:
    """Decode the escape sequences of a value."""
    return _SEQUENCE.sub(lambda match: _KNOWN[match[1]], text)


def lines(message: bytes) -> list[str]:
    """Lines of all OBX of type TX; one blank stands for an empty line."""
    values = [row[5] for row in all_of(message, "OBX") if row[2] == "TX"]
    return ["" if text == " " else unescape(text) for text in values]
