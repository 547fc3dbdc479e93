"""A line cut into lines that are short enough for a receiver.

https://www.unicode.org/reports/tr29/ (graphemes, in a rule of its own that is simpler). HL7 v2 knows no longest line:
VistA Radiology sends 75 characters (RAHLRPT1 wraps by ^DIWP, DIWR=75, and escapes what comes out) and takes 80.
"""

from __future__ import annotations

import re
from typing import Final
from unicodedata import category

from mappings.hl7v2.charset import spelled
from mappings.hl7v2.er7 import NOT_NULL, NULL

_TOKEN: Final = re.compile(r"\\[EFSRT]\\|.", re.DOTALL)
_JOINER: Final = "\u200d"
_SKIN_TONES: Final = range(0x1F3FB, 0x1F400)


def wrapped(row: str, width: int, codec: str) -> list[str]:
    """An escaped line as lines of at most `width` characters, counted before escaping and as the codec spells them.

    A line ends behind a blank where there is one, else anywhere between two graphemes: put together again, the lines
    are the row. A grapheme of more than `width` characters has a line to itself.
    """
    if len(row) <= width and (row.isascii() or codec == "utf-8"):
        return [row]
    written: list[str] = []
    line: list[str] = []
    sizes: list[int] = []
    total = 0
    for grapheme in _graphemes(row):
        size = len(_TOKEN.findall(spelled(grapheme, codec)[0]))
        while line and total + size > width:
            end = _end(line)
            written.append("".join(line[:end]))
            total -= sum(sizes[:end])
            del line[:end], sizes[:end]
        line.append(grapheme)
        sizes.append(size)
        total += size
    return [one if one != NULL else NOT_NULL for one in (*written, "".join(line))]


def _end(line: list[str]) -> int:
    """Where to end a full line: behind its last blank that follows anything else, else after all of it."""
    blanks = [number for number, grapheme in enumerate(line) if grapheme == " "]
    if blanks and "".join(line[: blanks[-1]]).strip():
        return blanks[-1] + 1
    return len(line)


def _graphemes(row: str) -> list[str]:
    """The row in pieces that a reader sees as one: escape sequences, letters with their marks, joined emoji."""
    found: list[str] = []
    for token in _TOKEN.findall(row):
        if found and (_continues(token) or found[-1][-1] == _JOINER):
            found[-1] += token
        else:
            found.append(token)
    return found


def _continues(token: str) -> bool:
    """True for what changes the character before it: combining marks, joiners, variation selectors, skin tones."""
    if token.isascii():
        return False
    return token == _JOINER or category(token) in ("Mn", "Mc", "Me") or ord(token) in _SKIN_TONES
