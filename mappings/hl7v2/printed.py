r"""Show a message's or acknowledgement's bytes as printable lines, none shortened (operator/shown.py shortens them).

HL7 v2.5.1 §2.15.9.18 (MSH-18 Character Set). Bytes outside the character set and control characters are shown as
`\xNN` or `\uNNNN`: an answer can hold anything.
"""

from __future__ import annotations

import re
from typing import Final

from mappings.hl7v2.er7 import CHARSETS
from mappings.hl7v2.received import Unreadable, read
from mappings.values.printable import printable

_ENDS: Final = re.compile(r"[\r\n]+")
_CHARSET: Final = 18


def segments(data: bytes) -> list[str]:
    """Split a message, or any bytes received in place of one, into printable lines."""
    try:
        named = read(data).msh.field(_CHARSET)
    except Unreadable:
        named = ""
    text = data.decode(CHARSETS.get(named, "utf-8"), "backslashreplace")
    return [printable(line) for line in _ENDS.split(text) if line]
