r"""The query string of a request, taken apart strictly and within limits.

https://url.spec.whatwg.org/#urlencoded-parsing, but bytes that are no UTF-8 are refused;
https://hl7.org/fhir/R4/search.html#escaping for `\,` and `\|`.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import parse_qsl

from starlette.requests import Request

from gateway.errors import BadRequest

MAX_QUERY_BYTES: Final = 16_384
MAX_PARAMETERS: Final = 100
MAX_VALUE_LENGTH: Final = 1_000
MAX_NAME_LENGTH: Final = 64
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.:-]*")
_ALTERNATIVE: Final = re.compile(r"(?:[^\\,]|\\.|\\$)+")
_SYSTEM: Final = re.compile(r"((?:[^\\|]|\\.)*)\|")
_ESCAPED: Final = re.compile(r"\\(.)", re.DOTALL)

Parameters = tuple[tuple[str, str], ...]


def parameters(request: Request) -> Parameters:
    """The parameters in their order, those without a value left out (R4 ignores them).

    Raises:
        BadRequest: over a limit, no UTF-8, a control character, or a name that no parameter can have.
    """
    query: bytes = request.scope["query_string"]
    if len(query) > MAX_QUERY_BYTES:
        raise BadRequest(f"the query string is longer than {MAX_QUERY_BYTES} bytes")
    try:
        pairs = parse_qsl(query.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=MAX_PARAMETERS)
    except UnicodeDecodeError:
        raise BadRequest("the query string is not percent-encoded UTF-8") from None
    except ValueError:
        raise BadRequest(f"more than {MAX_PARAMETERS} parameters") from None
    for name, value in pairs:
        if len(name) > MAX_NAME_LENGTH or not _NAME.fullmatch(name):
            raise BadRequest("a parameter has a name that no search parameter can have")
        if len(value) > MAX_VALUE_LENGTH:
            raise BadRequest(f"a value is longer than {MAX_VALUE_LENGTH} characters", expression=f"http.{name}")
        if not value.isprintable():
            raise BadRequest("a value holds a character that cannot be printed", expression=f"http.{name}")
    return tuple((name, value) for name, value in pairs if value)


def value_of(given: Parameters, name: str) -> str | None:
    """The last value of a parameter that has one value."""
    return next((value for key, value in reversed(given) if key == name), None)


def alternatives(value: str) -> list[str]:
    r"""The values between unescaped commas, any of which is asked for; they are still escaped."""
    return _ALTERNATIVE.findall(value)


def unescaped(value: str) -> str:
    r"""A value with `\,`, `\|`, `\$` and `\\` as the characters they stand for."""
    return _ESCAPED.sub(r"\1", value)


def token(value: str) -> tuple[str | None, str]:
    r"""`system|code` as both; the system is None where none is named, empty for `|code`."""
    system = _SYSTEM.match(value)
    if system is None:
        return None, unescaped(value)
    return unescaped(system[1]), unescaped(value[system.end() :])
