r"""Bytes of a message, or of what answered it, as lines for a screen: a line a segment, nothing that a terminal obeys.

HL7 v2.5.1 §2.15.9.18 (MSH-18 Character Set). What is no character of the set, or a control character, is shown as
`\xNN` or `\uNNNN`: an answer can hold anything.
"""

from __future__ import annotations

import re
from typing import Final

from mappings.hl7v2.er7 import CHARSETS
from mappings.hl7v2.received import Unreadable, read

_ENDS: Final = re.compile(r"[\r\n]+")
_MOST_UNDER_256: Final = 0xFF
_CHARSET: Final = 18


def segments(data: bytes) -> list[str]:
    """The lines of a message, or of whatever came in place of one."""
    try:
        named = read(data).msh.field(_CHARSET)
    except Unreadable:
        named = ""
    text = data.decode(CHARSETS.get(named, "utf-8"), "backslashreplace")
    return [printable(line) for line in _ENDS.split(text) if line]


def printable(text: str) -> str:
    """A text in which every character can be shown as it is."""
    return text if text.isprintable() else "".join(one if one.isprintable() else _escaped(one) for one in text)


def _escaped(character: str) -> str:
    number = ord(character)
    if 0xDC80 <= number <= 0xDCFF:  # a byte that was no UTF-8 (`surrogateescape`)
        number -= 0xDC00
    return f"\\x{number:02x}" if number <= _MOST_UNDER_256 else f"\\u{number:04x}"
