r"""A value of a search parameter taken apart at what is not escaped.

https://hl7.org/fhir/R4/search.html#escaping: `\,` `\|` `\$` and `\\` stand for the characters themselves.
"""

from __future__ import annotations

import re
from typing import Final

_ALTERNATIVE: Final = re.compile(r"(?:[^\\,]|\\.|\\\Z)+", re.DOTALL)
_BEFORE_BAR: Final = re.compile(r"((?:[^\\|]|\\.)*)\|", re.DOTALL)
_ESCAPED: Final = re.compile(r"\\(.)", re.DOTALL)


def alternatives(value: str) -> list[str]:
    r"""The values between unescaped commas, any of which is asked for; they are still escaped, none is empty."""
    return _ALTERNATIVE.findall(value)


def unescaped(value: str) -> str:
    """A value with what is escaped as the characters it stands for."""
    return _ESCAPED.sub(r"\1", value)


def parts(value: str, most: int) -> list[str]:
    """What stands between unescaped bars, unescaped: at most so many parts, the last with the bars that are left."""
    found: list[str] = []
    while len(found) < most - 1 and (before := _BEFORE_BAR.match(value)):
        found.append(unescaped(before[1]))
        value = value[before.end() :]
    return [*found, unescaped(value)]


def token(value: str) -> tuple[str | None, str]:
    r"""`system|code` as both; the system is None where none is named, empty for `|code`."""
    found = parts(value, 2)
    return (found[0], found[1]) if len(found) == 2 else (None, found[0])
