r"""Escape unprintable characters of a text as `\xNN` or `\uNNNN`, so that a terminal shows but never obeys the text.

Carries out no clause of a standard; decision D39.
"""

from __future__ import annotations

from typing import Final

_MOST_UNDER_256: Final = 0xFF


def printable(text: str) -> str:
    """Escape the characters of a text that are not printable."""
    return text if text.isprintable() else "".join(one if one.isprintable() else _escaped(one) for one in text)


def _escaped(character: str) -> str:
    number = ord(character)
    if 0xDC80 <= number <= 0xDCFF:  # a byte that was no UTF-8 (`surrogateescape`)
        number -= 0xDC00
    return f"\\x{number:02x}" if number <= _MOST_UNDER_256 else f"\\u{number:04x}"
