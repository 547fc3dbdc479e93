"""Parse JSON from an unknown sender strictly: no repeated keys, no NaN, no deep nesting.

RFC 8259 §4 (names should be unique): two readers may take different ones of two values, and so does an attacker.
Proved by tests/gateway/auth/test_client_assertion.py and tests/gateway/auth/test_key_set.py.
"""

from __future__ import annotations

import json
from typing import Any, Final

_MOST_BRACKETS: Final = 1_024


def strict_object(text: bytes) -> dict[str, Any]:
    """Parse a JSON object in UTF-8.

    Raises:
        ValueError: it is no JSON object, or has a key twice, NaN or an infinite number, or is nested too deeply.
    """
    if text.count(b"[") + text.count(b"{") > _MOST_BRACKETS:
        raise ValueError("too many brackets")
    try:
        made = json.loads(text.decode("utf-8"), object_pairs_hook=_once, parse_constant=_none, parse_float=_finite)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if isinstance(made, dict):
        return made
    raise ValueError("no JSON object")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("a key stands there twice")
    return made


def _none(_: str) -> Any:
    raise ValueError("a number that does not exist")


def _finite(text: str) -> float:
    number = float(text)
    if number in {float("inf"), float("-inf")}:
        raise ValueError("a number that does not exist")
    return number
