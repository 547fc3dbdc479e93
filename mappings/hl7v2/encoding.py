r"""Encode a message in its receiver's character set; replace escape sequences that the receiver cannot decode.

HL7 v2.5.1 §2.7 (escape sequences), §2.15.9.18 (MSH-18). VistA Radiology does not decode `\F\` (RAHLTCPB), VistA Imaging
decodes no sequence at all (RAHLRPT). `no_F` and `strip` replace delimiters in values by plain characters.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from mappings.hl7v2.charset import spelled
from mappings.hl7v2.er7 import CHARSETS, SEGMENT_END
from mappings.issues import MappingIssue
from mappings.model import Mapped
from mappings.profile import Receiver

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
