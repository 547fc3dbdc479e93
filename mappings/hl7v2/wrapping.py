"""Wrap a long line of report text into lines short enough for a receiver.

https://www.unicode.org/reports/tr29/ (graphemes, by a simpler rule of our own). HL7 v2 has no maximum line length:
VistA Radiology sends 75 characters (RAHLRPT1 wraps by ^DIWP, DIWR=75, and then escapes) and accepts 80.
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
    """Wrap an escaped line to at most `width` characters, counted before escaping and in the codec's spelling.

    A line ends after a blank if it has one, else between any two graphemes; joined again, the lines are the row. A
    grapheme of more than `width` characters gets a line of its own.
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
    """Index of the end of a full line: after its last blank that follows other text, else its length."""
    blanks = [number for number, grapheme in enumerate(line) if grapheme == " "]
    if blanks and "".join(line[: blanks[-1]]).strip():
        return blanks[-1] + 1
    return len(line)


def _graphemes(row: str) -> list[str]:
    """Split the row into graphemes that a reader sees as one: escape sequences, letters with marks, joined emoji."""
    graphemes: list[str] = []
    for token in _TOKEN.findall(row):
        if graphemes and (_continues(token) or graphemes[-1][-1] == _JOINER):
            graphemes[-1] += token
        else:
            graphemes.append(token)
    return graphemes


def _continues(token: str) -> bool:
    """True for a token that changes the character before it: combining marks, joiners, variation selectors."""
    if token.isascii():
        return False
    return token == _JOINER or category(token) in ("Mn", "Mc", "Me") or ord(token) in _SKIN_TONES
