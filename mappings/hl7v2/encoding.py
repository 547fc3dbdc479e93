r"""The last step: segments as the bytes of a message, in the character set and with the escapes its receiver can read.

HL7 v2.5.1 §2.7 (escape sequences), §2.15.9.18 (MSH-18). VistA Radiology does not decode `\F\` (RAHLTCPB), VistA Imaging
no sequence at all (RAHLRPT): `no_F` and `strip` put plain characters in place of delimiters that stand in values.
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

# From left to right: `\E\F\E\` is a value's `\F\`, no `|`
_SEQUENCE: Final = re.compile(r"\\(\.br|[EFSRT])\\")
# Escape sequence -> what stands for it; `*` is the power of UCUM (10*6), `=` no minus sign before a number
PLAIN: Final[dict[str, dict[str, str]]] = {
    "no_F": {"F": "/"},
    "strip": {"E": "/", "F": "/", "S": "*", "T": "+", "R": "="},
}


def encoded(segments: Iterable[str], receiver: Receiver) -> Mapped[bytes]:
    r"""The message as bytes, each segment ended by CR, with an issue for what the receiver cannot be sent as it is.

    Base64 and the line breaks of formatted text (`\.br\`) stay as they are.
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
    """The text with escape sequences that the switch rules out as plain characters, and how many those were."""
    table = PLAIN.get(switch)
    if table is None:
        return text, 0
    count = 0

    def replaced(sequence: re.Match[str]) -> str:
        nonlocal count
        count += sequence[1] in table
        return table.get(sequence[1], sequence[0])

    return _SEQUENCE.sub(replaced, text), count
