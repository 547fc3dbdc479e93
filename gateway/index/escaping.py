r"""Split a raw search value at commas and bars that have no backslash before them, and remove the backslashes.

https://hl7.org/fhir/R4/search.html#escaping: `\,` `\|` `\$` and `\\` stand for the characters themselves.
"""

from __future__ import annotations

import re
from typing import Final

_ALTERNATIVE: Final = re.compile(r"(?:[^\\,]|\\.|\\\Z)+", re.DOTALL)
_BEFORE_BAR: Final = re.compile(r"((?:[^\\|]|\\.)*)\|", re.DOTALL)
_ESCAPED: Final = re.compile(r"\\(.)", re.DOTALL)


def alternatives(value: str) -> list[str]:
    r"""Split a value at unescaped commas into its alternatives; they stay escaped, and empty ones are dropped."""
    return _ALTERNATIVE.findall(value) if "\\" in value else [one for one in value.split(",") if one]


def unescaped(value: str) -> str:
    """Remove the escapes from a value."""
    return _ESCAPED.sub(r"\1", value) if "\\" in value else value


def parts(value: str, most: int) -> list[str]:
    """Split at unescaped bars and unescape: at most `most` parts, the last with the remaining bars."""
    if "\\" not in value:
        return value.split("|", most - 1)
    pieces: list[str] = []
    while len(pieces) < most - 1 and (before := _BEFORE_BAR.match(value)):
        pieces.append(unescaped(before[1]))
        value = value[before.end() :]
    return [*pieces, unescaped(value)]


def token(value: str) -> tuple[str | None, str]:
    r"""Split `system|code`; the system is None if there is no bar, and empty for `|code`."""
    pieces = parts(value, 2)
    return (pieces[0], pieces[1]) if len(pieces) == 2 else (None, pieces[0])
