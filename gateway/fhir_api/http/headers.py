"""What a request's headers ask for and an answer's headers say: format, validators, handling.

https://hl7.org/fhir/R4/http.html#mime-type, #cread (ETag, If-None-Match, If-Modified-Since), #prefer; RFC 9110 §13.
"""

from __future__ import annotations

import asyncio
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
from gateway.runtime.errors import NotAcceptable

__all__ = [
    "FHIR_JSON",
    "FHIR_XML",
    "PRIVATE",
    "Format",
    "accepted",
    "answer",
    "etag",
    "fhir_answer",
    "fhir_conditional",
    "is_strict",
    "is_unchanged",
    "matches",
    "negotiated",
]

PRIVATE: Final = {"Cache-Control": "private, no-cache", "Vary": "Accept"}
_STRICT: Final = re.compile(r"handling\s*=\s*\"?strict", re.IGNORECASE)
_ETAG: Final = re.compile(r'(?:W/)?"([^"]*)"')


def negotiated(request: Request, given: Parameters) -> Format:
    """The format of the answer: what `_format`, else Accept, likes best. To be asked before anything is done.

    Raises:
        NotAcceptable: the client takes neither.
    """
    form = preferred(_accept(request), value_of(given, "_format"))
    if form is None:
        raise NotAcceptable("only application/fhir+json and application/fhir+xml of FHIR 4.0 are offered")
    return form


def accepted(request: Request, given: Parameters) -> list[str]:
    """The media types the client takes, best first: `_format`, else Accept; `*/*` where it says nothing.

    A FHIR type of another version than 4.0 is not among them.
    """
    return [one.media_type for one in ranges(_accept(request), value_of(given, "_format")) if one.quality > 0]


def is_strict(request: Request) -> bool:
    """True for `Prefer: handling=strict`: a parameter that is not known is then an error."""
    return _STRICT.search(request.headers.get("prefer", "")) is not None


def matches(request: Request, tag: str, header_name: str = "if-none-match") -> bool:
    """True if If-None-Match, or If-Match, names that entity tag, compared weakly as R4 has it, or is `*`."""
    header = ",".join(request.headers.getlist(header_name))
    return header.strip() == "*" or tag in {f'W/"{one}"' for one in _ETAG.findall(header)}


def is_unchanged(request: Request, headers: Mapping[str, str]) -> bool:
    """True if the client has already what an answer with these ETag and Last-Modified would give it.

    If-None-Match stands above If-Modified-Since. That counts whole seconds, and one that is no date says nothing.
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
    body: bytes,
    status: int = 200,
    *,
    headers: Mapping[str, str] | None = None,
    media_type: str = CONTENT_TYPE,
) -> Response:
    """An answer with a body, which a HEAD does not get; nobody but the client may keep it."""
    said = {**PRIVATE, "Content-Length": str(len(body)), **(headers or {})}
    return Response(b"" if request.method == "HEAD" else body, status, said, media_type=media_type)


async def fhir_answer(
    request: Request, given: Parameters, body: bytes, status: int = 200, *, headers: Mapping[str, str] | None = None
) -> Response:
    """A resource, given as JSON bytes, in the format that is negotiated, with line breaks if `_pretty` asks for them.

    What is not served as it stands is made in a worker thread. Both formats may have the same ETag, for it is weak.

    Raises:
        NotAcceptable: the client takes neither format.
    """
    form = negotiated(request, given)
    if form is not Format.JSON or _is_pretty(given):
        body = await asyncio.to_thread(in_format, body, form, indented=_is_pretty(given))
    return answer(request, body, status, headers=headers, media_type=form.value)


async def fhir_conditional(request: Request, given: Parameters, body: bytes, headers: Mapping[str, str]) -> Response:
    """As `fhir_answer`, with an ETag among the headers; a 304 to a client that has it already.

    Raises:
        NotAcceptable: the client takes neither format.
    """
    if is_unchanged(request, headers):
        return _not_modified(headers)
    return await fhir_answer(request, given, body, headers=headers)


def etag(version_id: str, last_updated: datetime | None = None) -> dict[str, str]:
    """ETag and, where a time is given, Last-Modified."""
    headers = {"ETag": f'W/"{version_id}"'}
    return headers if last_updated is None else {**headers, "Last-Modified": format_datetime(last_updated, usegmt=True)}


def _is_pretty(given: Parameters) -> bool:
    return value_of(given, "_pretty") == "true"


def _accept(request: Request) -> str:
    """The Accept header, whole where it was sent in several lines."""
    return ",".join(request.headers.getlist("accept"))


def _not_modified(headers: Mapping[str, str]) -> Response:
    return Response(None, 304, {**PRIVATE, **headers})


def _instant(http_date: str) -> datetime | None:
    """An HTTP date of any of the three forms (RFC 9110 §5.6.7); None for anything else."""
    try:
        found = parsedate_to_datetime(http_date)
    except (ValueError, OverflowError):
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
