"""Check a site's regular expression for valid MRNs; an expression that could be slow is refused.

https://docs.python.org/3/library/re.html#regular-expression-syntax, of which a small part is allowed; decision D11.
"""

from __future__ import annotations

import re
from typing import Final

from mappings.profile.table import Table

# Allowed pieces: a character, a class, a group's end or beginning, an alternative, a quantifier
_PIECE: Final = re.compile(
    r"(?P<often>[?*+]|\{[0-9]+(?:,[0-9]*)?\})|(?P<close>\))|(?P<branch>\|)|(?P<open>\((?:\?:)?)"
    r"|\\[dDwW]|\\[^A-Za-z0-9]|\[\^?\]?(?:\\.|[^\]\\])*\]|[^\\\[\](){}|?*+^$]"
)
_FIXED: Final = re.compile(r"\{([0-9]+)(?:,\1)?\}")
_MOST_CHOICES: Final = 4
_REMEDY: Final = (
    "Write characters, classes such as [A-Z] or \\d, and how often, such as \\d{7} or MRN-?\\d+; of parts that may be"
    " longer or shorter, optional or alternative, four at most, and no repeated groups. The whole number must match."
)


def read_pattern(table: Table, key: str) -> re.Pattern[str] | None:
    """Read the expression of a setting; one that could be slow on any number is refused."""
    text = table.text(key)
    if text is None:
        return None
    problem = _problem(text)
    if problem:
        table.refuse(key, problem, _REMEDY)
        return None
    return re.compile(text, re.ASCII)


def _problem(text: str) -> str:
    """Name the fault of an expression; empty without one.

    With few choices and no repeated group, 32 characters match in some ten thousand ways at most.
    """
    place, before, choices = 0, "", 0
    while place < len(text):
        piece = _PIECE.match(text, place)
        if piece is None:
            return "has something that is not allowed, such as ^ or $: the whole number must match anyway"
        kind = piece.lastgroup or ""
        if kind == "often" and (before in ("open", "often") or (before == "close" and piece[0] != "?")):
            return "repeats a group, or has a repeat sign (* + ? {}) with nothing in front of it"
        choices += kind == "branch" or (kind == "often" and not _FIXED.fullmatch(piece[0]))
        place, before = piece.end(), kind
    if choices > _MOST_CHOICES:
        return "has more than four choices"
    try:
        re.compile(text)
    except (re.error, OverflowError):
        return "not a regular expression"
    return "" if text else "empty"
