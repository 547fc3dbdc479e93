r"""Encode a message in its receiver's character set, and replace what the set or the receiver lacks.

HL7 v2.5.1 §2.7 (escape sequences), §2.15.9.18 (MSH-18, table 0211), https://www.unicode.org/reports/tr15/ (NFC, NFKD).
No spelling changes a number or reverses a meaning: ten to the sixth is spelled 10^6, one and a half 1 1/2, not equal
<>. VistA Radiology does not decode `\F\` (RAHLTCPB), VistA Imaging decodes no sequence at all (RAHLRPT). `no_F` and
`strip` replace delimiters in values by plain characters.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from typing import Final
from unicodedata import category, combining, decomposition, normalize

from mappings.codes import CHARSETS
from mappings.hl7v2.er7 import NOT_NULL, NULL, SEGMENT_END, escape
from mappings.issues import MappingIssue
from mappings.model import Mapped
from mappings.profile import Receiver

UNKNOWN: Final = "?"
# Codec -> the characters that it lacks
_NOT_HELD: Final[dict[str, re.Pattern[str]]] = {
    "ascii": re.compile("[^\x00-\x7f]"),
    "iso-8859-1": re.compile("[^\x00-\xff]"),
}
_ELEMENT: Final = re.compile(r"[^|^~&\r]+")
# Superscript digits, and subscript digits after a digit: without a mark they would extend the number before them
_OFF_THE_LINE: Final = re.compile("[\u00b2\u00b3\u00b9\u2070\u2074-\u207b]+|(?<=[0-9])[\u2080-\u2089]+")
# The ordinal sign (N\u00ba 5) where it is typed for the degree sign, which looks alike
_DEGREE: Final = re.compile("(?<=[0-9])\u00ba|\u00ba(?=[CF]\\b)")
_OVERLAY: Final = 1  # combining class of a stroke through its letter: it may mean `not`

# Characters with a spelling in common use; the others are decomposed
SPELLING: Final[dict[str, str]] = {
    **dict.fromkeys("\u201c\u201d\u201e\u201f\u00ab\u00bb\u2033", '"'),
    **dict.fromkeys("\u2018\u2019\u201a\u201b\u2039\u203a\u2032\u00b4", "'"),
    **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212\u207b\ufe63", "-"),
    **dict.fromkeys("\u2022\u2023\u2043\u25aa\u25cf\u25e6\u25a0\u00b7\u2219\u22c5", "*"),
    **dict.fromkeys("\u00b0\u02da", "deg"),
    **dict.fromkeys("\u00b5\u03bc", "u"),
    "\u2026": "...",
    **dict.fromkeys("\u2265\u2267\u2a7e", ">="),
    **dict.fromkeys("\u2264\u2266\u2a7d", "<="),
    "\u2260": "<>",
    **dict.fromkeys("\u2248\u2245\u2243\u223c", "~"),
    "\u00b1": "+/-",
    "\u00d7": "x",
    "\u00f7": "/",
    "\u2044": "/",
    "\u2192": "->",
    "\u2190": "<-",
    "\u2191": "(up)",
    "\u2193": "(down)",
    "\u00df": "ss",
    "\u1e9e": "SS",
    "\u00e6": "ae",
    "\u00c6": "AE",
    "\u0153": "oe",
    "\u0152": "OE",
    "\u00f8": "o",
    "\u00d8": "O",
    "\u0142": "l",
    "\u0141": "L",
    "\u0111": "d",
    "\u0110": "D",
    "\u00f0": "d",
    "\u00d0": "D",
    "\u00fe": "th",
    "\u00de": "Th",
    "\u0131": "i",
    "\u2122": "(TM)",
    "\u00ae": "(R)",
    "\u00a9": "(C)",
    "\u20ac": "EUR",
}


def spelled(text: str, codec: str) -> tuple[str, int]:
    """Spell out the characters of ER7 text that the codec lacks, escaped; return the text and their number.

    A character becomes its spelling in the table, else its compatibility decomposition without combining marks, else
    `?`; invisible characters are dropped. An element with content never becomes empty, or the null `""`.
    """
    missing = _NOT_HELD.get(codec)
    if missing is None or not missing.search(text):
        return text, 0
    count = 0

    def spell(element: re.Match[str]) -> str:
        nonlocal count
        if not missing.search(element[0]):
            return element[0]
        composed = normalize("NFC", element[0])
        count += len(missing.findall(composed))
        on_the_line = _OFF_THE_LINE.sub(lambda run: _marked(run[0], missing), composed)
        if missing.match("\u00ba"):
            on_the_line = _DEGREE.sub("\u00b0", on_the_line)
        made = missing.sub(lambda character: escape(_spelling(character[0], missing)), on_the_line)
        if made == NULL:
            return NOT_NULL
        return made if made.strip() or composed.isspace() else UNKNOWN

    return _ELEMENT.sub(spell, text), count


def _marked(run: str, missing: re.Pattern[str]) -> str:
    """Write superscripts after `^` and subscripts after `_`, if the codec lacks one of them."""
    if not missing.search(run):
        return run
    mark = "_" if "\u2080" <= run[0] <= "\u2089" else "^"
    return escape(mark + normalize("NFKD", run).replace("\u2212", "-"))


@cache
def _spelling(character: str, missing: re.Pattern[str]) -> str:
    """Spell one character that the codec lacks with characters that it has; "" for an invisible one."""
    if character in SPELLING:
        return SPELLING[character]
    if character.isspace():
        return " "
    kind = decomposition(character).partition(" ")[0]
    parts = normalize("NFKD", character)
    if any(combining(part) == _OVERLAY for part in parts):
        return UNKNOWN
    if parts == character:
        return "" if category(character) in ("Cf", "Mn", "Me") else UNKNOWN
    made = "".join(part if not missing.match(part) else _spelling(part, missing) for part in parts)
    if kind == "<fraction>":
        return f" {made}"
    return f"({made})" if kind == "<circle>" else made


# Matched from left to right: `\E\F\E\` is the text `\F\` of a value, not a `|`
_SEQUENCE: Final = re.compile(r"\\(\.br|[EFSRT])\\")
# Escape sequence -> its replacement, `R` for `about`; `**` is a power, since `*` alone would multiply
PLAIN: Final[dict[str, dict[str, str]]] = {
    "no_F": {"F": "/"},
    "strip": {"E": "/", "F": "/", "S": "**", "T": "+", "R": "approx."},
}
_TILDE: Final = r"\R"
_OPENING: Final = " ([|^~&\r"  # no blank is needed at the start, or after one of these


def encoded(segments: Iterable[str], receiver: Receiver) -> Mapped[bytes]:
    r"""Encode the segments as bytes, each ended by CR, with an issue for each change that the receiver requires.

    Base64 and the line breaks of formatted text (`\.br\`) do not change.
    """
    text = SEGMENT_END.join(segments) + SEGMENT_END
    codec = CHARSETS[receiver.charset]
    issues = []
    text, count = spelled(text, codec)
    if count:
        action = f"{count} characters that {receiver.charset} has not are spelled with others"
        issues.append(MappingIssue("characters-transliterated", "warning", "", action))
    text, count = _plain(text, receiver.escape)
    if count:
        action = f"{count} delimiters in values became plain characters (escape = {receiver.escape})"
        issues.append(MappingIssue("delimiters-replaced", "warning", "", action))
    return Mapped(text.encode(codec), tuple(issues))


def _plain(text: str, switch: str) -> tuple[str, int]:
    """Replace escape sequences that the switch rules out by plain characters; return the text and their number."""
    table = PLAIN.get(switch)
    if table is None:
        return text, 0
    count = 0

    def replaced(sequence: re.Match[str]) -> str:
        nonlocal count
        if sequence[1] not in table:
            return sequence[0]
        count += 1
        return _tilde(sequence, table["R"]) if sequence[1] == "R" else table[sequence[1]]

    return _SEQUENCE.sub(replaced, text), count


def _tilde(sequence: re.Match[str], about: str) -> str:
    """Replace a tilde: `-` in a range (`5~10`, `L4~L5`), `=` in a row of them, else the word, set off by blanks."""
    text, start, end = sequence.string, sequence.start(), sequence.end()
    before, after = text[max(0, start - 1) : start], text[end : end + 1]
    if text.endswith(_TILDE, 0, max(0, start - 1)) or text.startswith(_TILDE, end):
        return "="
    if before.isalnum() and after.isalnum() and (before.isdigit() or after.isalpha()):
        return "-"
    return ("" if before in _OPENING else " ") + about + ("" if after == " " else " ")
