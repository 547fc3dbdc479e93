"""Split a signed JWT into its parts and read its times; nothing of it is verified here.

RFC 7515 §2 (base64url) and §3.1 (compact form), RFC 7519 §2 (NumericDate), RFC 8725 §2.4 and §3.
Proved by tests/gateway/auth/test_client_assertion.py and tests/gateway/auth/test_external_token.py.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from typing import Any, Final

from gateway.auth.strict_json import strict_object

_FORM: Final = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)")
_LARGEST_INSTANT: Final = 2**40


def taken_apart(compact: str, most: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return header and claims of a JWT of at most so many characters, unverified.

    Raises:
        ValueError: it is no such JWT; the message says why, without any of it.
    """
    if len(compact) > most or (match := _FORM.fullmatch(compact)) is None:
        raise ValueError("no signed JWT in compact form, or is too long")
    try:
        return strict_object(_decoded(match[1])), strict_object(_decoded(match[2]))
    except ValueError:
        raise ValueError("no JWT whose header and claims are JSON objects with each key once") from None


def numeric_date(claims: Mapping[str, Any], name: str) -> float | None:
    """Return a time in seconds since 1970, None if it is absent.

    Raises:
        ValueError: it is no number of seconds; the message says so.
    """
    value = claims.get(name)
    if name in claims and (isinstance(value, bool) or not isinstance(value, int | float)):
        raise ValueError(f"{name} must be a number of seconds")
    if value is not None and not 0 <= value < _LARGEST_INSTANT:
        raise ValueError(f"{name} is no time of this age")
    return value


def _decoded(part: str) -> bytes:
    """Decode base64url without padding (RFC 7515 §2); each text has one form.

    Raises:
        ValueError: it is not that form.
    """
    decoded = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    if base64.urlsafe_b64encode(decoded).rstrip(b"=").decode() != part:
        raise ValueError("another form of base64url")
    return decoded
