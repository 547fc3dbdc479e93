"""Check a value of a FHIR primitive type by the regular expressions of R4, never less strictly than the library does.

https://hl7.org/fhir/R4/datatypes.html#primitive, https://hl7.org/fhir/R4/formats.html#json, decision D45.
Proved by tests/mappings/fhir/test_shapes.py.
"""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Callable
from datetime import date
from functools import lru_cache
from typing import Any, Final

Check = Callable[[Any], Any]

_YEAR: Final = r"([0-9]([0-9]([0-9][1-9]|[1-9]0)|[1-9]00)|[1-9]000)"
_MONTH: Final = r"-(0[1-9]|1[0-2])"
_DAY: Final = r"-(0[1-9]|[1-2][0-9]|3[0-1])"
_TIME: Final = r"T([01][0-9]|2[0-3]):[0-5][0-9]:([0-5][0-9]|60)(\.[0-9]+)?(Z|(\+|-)((0[0-9]|1[0-3]):[0-5][0-9]|14:00))"
# Primitive type -> its regular expression in R4. Those of string and markdown allow any text: `is_text` checks them
REGULAR_EXPRESSIONS: Final = {
    "canonical": r"\S*",
    "code": r"[^\s]+(\s[^\s]+)*",
    "date": rf"{_YEAR}({_MONTH}({_DAY})?)?",
    "dateTime": rf"{_YEAR}({_MONTH}({_DAY}({_TIME})?)?)?",
    "decimal": r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?",
    "id": r"[A-Za-z0-9\-\.]{1,64}",
    "instant": rf"{_YEAR}{_MONTH}{_DAY}{_TIME}",
    "integer": r"[0]|[-+]?[1-9][0-9]*",
    "positiveInt": r"[1-9][0-9]*",
    "unsignedInt": r"[0]|([1-9][0-9]*)",
    "uri": r"\S*",
    # R4 allows any URL. Ours are relative: whether an absolute one is good is for the library to say
    "url": r"[A-Za-z0-9.-]+(/[A-Za-z0-9.-]+)*",
}
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_DAY_LENGTH: Final = len("YYYY-MM-DD")
_LONGEST_INSTANT: Final = len("YYYY-MM-DDThh:mm:ss.123456789+hh:mm")
_MOST: Final = 2_147_483_647  # R4's integers have 32 bits
_PRECISE: Final = 1e15


def is_text(value: str) -> bool:
    """True for a text that is more than white space, and that UTF-8 can hold."""
    return bool(value) and not value.isspace() and (value.isascii() or not _SURROGATE.search(value))


def _matching(kind: str) -> Check:
    """Return a check of short strings that occur again and again, such as codes; UTF-8 can hold them."""
    matches = re.compile(REGULAR_EXPRESSIONS[kind]).fullmatch

    @lru_cache(maxsize=512)
    def is_matching(value: str) -> bool:
        return matches(value) is not None and is_text(value)

    return is_matching


def _instant(kind: str) -> Check:
    """Return a check of a date, which must exist, or of an instant."""
    matches = re.compile(REGULAR_EXPRESSIONS[kind]).fullmatch

    def is_instant(value: str) -> bool:
        if matches(value) is None or len(value) > _LONGEST_INSTANT:
            return False
        return len(value) < _DAY_LENGTH or _is_day(value[:_DAY_LENGTH])

    return is_instant


@lru_cache(maxsize=512)
def _is_day(value: str) -> bool:
    try:
        date.fromisoformat(value)
    except ValueError:
        return False
    return True


def _number(kind: str) -> Check:
    """Return a check of a number, by its digits in JSON."""
    matches = re.compile(REGULAR_EXPRESSIONS[kind]).fullmatch
    most = _PRECISE if kind == "decimal" else _MOST
    return lambda value: -most <= value <= most and matches(repr(value)) is not None


def _is_base64(value: str) -> bool:
    try:
        return bool(b64decode(value, validate=True))
    except ValueError:
        return False


def _is_any(_: Any) -> bool:
    return True


# Primitive type and JSON type -> check. A pair that is not here is for the library to judge
CHECKS: Final[dict[tuple[str, type], Check]] = {
    **{(kind, str): _matching(kind) for kind in ("canonical", "code", "id", "uri", "url")},
    **{(kind, str): _instant(kind) for kind in ("date", "dateTime", "instant")},
    **{(kind, int): _number(kind) for kind in ("decimal", "integer", "positiveInt", "unsignedInt")},
    **{(kind, str): is_text for kind in ("markdown", "string", "xhtml")},
    ("base64Binary", str): _is_base64,
    ("boolean", bool): _is_any,
    ("decimal", float): _number("decimal"),
}
