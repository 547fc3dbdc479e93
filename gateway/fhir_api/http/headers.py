"""Request and response headers: content negotiation, ETag and Last-Modified, Prefer handling.

https://hl7.org/fhir/R4/http.html#mime-type, #cread (ETag, If-None-Match, If-Modified-Since), #prefer; RFC 9110 §13.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from gateway.fhir_api.http.formats import FHIR_JSON, FHIR_XML, Format, in_format, preferred, ranges
from gateway.fhir_api.http.outcome import CONTENT_TYPE
from gateway.fhir_api.http.query import Parameters, value_of
from gateway.runtime.computing import computed, computed_apart
from gateway.runtime.request_errors import NotAcceptable

__all__ = [
    "FHIR_JSON",
    "FHIR_XML",
    "VARIES",
    "Format",
    "accepted",
    "answer",
    "converted",
    "etag",
    "fhir_answer",
    "fhir_conditional",
    "is_indented",
    "is_strict",
    "is_unchanged",
    "matches",
    "negotiated",
    "not_modified",
]

VARIES: Final = {"Vary": "Accept"}
LARGE: Final = 2**20  # bytes of JSON: to convert them takes 0.1 s
_STRICT: Final = re.compile(r"handling\s*=\s*\"?strict", re.IGNORECASE)
_ETAG: Final = re.compile(r'(?:W/)?"([^"]*)"')


def negotiated(request: Request, given: Parameters) -> Format:
    """Choose the answer's format from `_format`, else Accept. Call this before the request has any effect.

    Raises:
        NotAcceptable: the client accepts neither format.
    """
    form = preferred(_accept(request), value_of(given, "_format"))
    if form is None:
        raise NotAcceptable("only application/fhir+json and application/fhir+xml of FHIR 4.0 are offered")
    return form


def accepted(request: Request, given: Parameters) -> list[str]:
    """List the media types the client accepts, best first: from `_format`, else Accept, else `*/*`.

    FHIR media types with another version than 4.0 are left out.
    """
    return [one.media_type for one in ranges(_accept(request), value_of(given, "_format")) if one.quality > 0]


def is_strict(request: Request) -> bool:
    """True for `Prefer: handling=strict`: an unknown parameter is then an error."""
    return _STRICT.search(request.headers.get("prefer", "")) is not None


def matches(request: Request, tag: str, header_name: str = "if-none-match") -> bool:
    """True if the header (If-None-Match or If-Match) names this ETag, or is `*`; R4 compares ETags weakly."""
    header = ",".join(request.headers.getlist(header_name))
    return header.strip() == "*" or tag in {f'W/"{one}"' for one in _ETAG.findall(header)}


def is_unchanged(request: Request, headers: Mapping[str, str]) -> bool:
    """True if the client already has the answer with this ETag and Last-Modified.

    If-None-Match overrides If-Modified-Since. If-Modified-Since is in whole seconds, and is ignored if it is no date.
    """
    if "if-none-match" in request.headers:
        return matches(request, headers["ETag"])
    if "if-modified-since" not in request.headers:
        return False
    since = _instant(request.headers["if-modified-since"])
    changed = _instant(headers.get("Last-Modified", ""))
    return since is not None and changed is not None and changed <= since


def answer(
    request: Request,
    body: bytes | memoryview,
    status: int = 200,
    *,
    headers: Mapping[str, str] | None = None,
    media_type: str = CONTENT_TYPE,
) -> Response:
    """Build an answer with a body (empty for a HEAD)."""
    all_headers = {**VARIES, "Content-Length": str(len(body)), **(headers or {})}
    return Response(b"" if request.method == "HEAD" else body, status, all_headers, media_type=media_type)


async def fhir_answer(
    request: Request,
    given: Parameters,
    body: bytes | memoryview,
    status: int = 200,
    *,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Answer with a resource given as JSON bytes, in the negotiated format, indented if `_pretty` is true.

    Both formats share one ETag, which is weak.

    Raises:
        NotAcceptable: the client accepts neither format.
    """
    form = negotiated(request, given)
    body = await converted(body, form, is_indented(given))
    return answer(request, body, status, headers=headers, media_type=form.value)


async def converted(body: bytes | memoryview, form: Format, indented: bool) -> bytes | memoryview:
    """Convert JSON bytes to a format in a worker; large ones in a worker of their own, so that no other waits."""
    if form is Format.JSON and not indented:
        return body
    convert = computed if len(body) <= LARGE else computed_apart
    return await convert(in_format, bytes(body), form, indented)


async def fhir_conditional(request: Request, given: Parameters, body: bytes, headers: Mapping[str, str]) -> Response:
    """Answer as `fhir_answer` does; or with 304 if the client already has this version (ETag in `headers`).

    Raises:
        NotAcceptable: the client accepts neither format.
    """
    if is_unchanged(request, headers):
        return not_modified(headers)
    return await fhir_answer(request, given, body, headers=headers)


def etag(version_id: str, last_updated: datetime | None = None) -> dict[str, str]:
    """Return the headers ETag and, if a time is given, Last-Modified."""
    headers = {"ETag": f'W/"{version_id}"'}
    return headers if last_updated is None else {**headers, "Last-Modified": format_datetime(last_updated, usegmt=True)}


def is_indented(given: Parameters) -> bool:
    """True for `_pretty=true`: the answer has line breaks."""
    return value_of(given, "_pretty") == "true"


def _accept(request: Request) -> str:
    """Return the Accept header, joined if it was sent as several lines."""
    return b",".join([value for name, value in request.scope["headers"] if name == b"accept"]).decode("latin-1")


def not_modified(headers: Mapping[str, str]) -> Response:
    """Build the answer 304: the client already has the version with these headers."""
    return Response(None, 304, {**VARIES, **headers})


def _instant(http_date: str) -> datetime | None:
    """Parse an HTTP date in any of its three forms (RFC 9110 §5.6.7); None for anything else."""
    try:
        moment = parsedate_to_datetime(http_date)
    except (ValueError, OverflowError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
