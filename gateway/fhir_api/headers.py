"""What a request's headers ask for and an answer's headers say: format, validators, handling.

https://hl7.org/fhir/R4/http.html#mime-type, #cread (ETag, If-None-Match), #prefer; RFC 9110 §12.5.1 and §13.1.2.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import datetime
from email.utils import format_datetime
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from gateway.errors import NotAcceptable
from gateway.fhir_api.outcome import CONTENT_TYPE
from gateway.fhir_api.query import Parameters, value_of
from gateway.store.seen import Version

FHIR_JSON: Final = frozenset({"application/fhir+json", "application/json", "text/json", "json"})
FHIR_XML: Final = frozenset({"application/fhir+xml", "application/xml", "text/xml", "xml"})
_ANY: Final = frozenset({"*/*", "application/*"})
_OTHER_VERSION: Final = re.compile(r";\s*fhirversion=\"?(?!4\.0\b)", re.IGNORECASE)
_QUALITY: Final = re.compile(r";\s*q=([^;]*)", re.IGNORECASE)
_ETAG: Final = re.compile(r'(?:W/)?"([^"]*)"')
PRIVATE: Final = {"Cache-Control": "private, no-cache", "Vary": "Accept"}


def accepted(request: Request, given: Parameters) -> list[str]:
    """The media types the client takes, best first: `_format`, else Accept; `*/*` where it says nothing.

    A FHIR type of another version than 4.0 is not among them.
    """
    wanted = value_of(given, "_format")
    ranges = [wanted.replace(" ", "+")] if wanted else request.headers.get("accept", "*/*").lower().split(",")
    ranked = [(_quality(one), -place, one) for place, one in enumerate(ranges)]
    return [
        one.partition(";")[0].strip().lower()
        for quality, _, one in sorted(ranked, reverse=True)
        if quality > 0 and not _OTHER_VERSION.search(one)
    ]


def require_json(request: Request, given: Parameters) -> None:
    """See that the client takes FHIR JSON, the only format there is for now.

    Raises:
        NotAcceptable: it takes none that is offered.
    """
    if not any(one in FHIR_JSON or one in _ANY for one in accepted(request, given)):
        raise NotAcceptable("only application/fhir+json of FHIR 4.0 is offered; XML is not, for now")


def is_strict(request: Request) -> bool:
    """True for `Prefer: handling=strict`: a parameter that is not known is then an error."""
    return re.search(r"handling\s*=\s*\"?strict", request.headers.get("prefer", ""), re.IGNORECASE) is not None


def matches(request: Request, tag: str) -> bool:
    """True if If-None-Match names that entity tag, compared weakly, or is `*`."""
    header = request.headers.get("if-none-match", "")
    return header.strip() == "*" or tag in {f'W/"{one}"' for one in _ETAG.findall(header)}


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


def conditional(
    request: Request, body: bytes, headers: Mapping[str, str], *, media_type: str = CONTENT_TYPE
) -> Response:
    """An answer whose headers have an ETag, or a 304 to a client that has it already."""
    if matches(request, headers["ETag"]):
        return Response(None, 304, {**PRIVATE, **headers})
    return answer(request, body, headers=headers, media_type=media_type)


def etag(version_id: str, last_updated: datetime | None = None) -> dict[str, str]:
    """ETag and, where a time is given, Last-Modified."""
    headers = {"ETag": f'W/"{version_id}"'}
    return headers if last_updated is None else {**headers, "Last-Modified": format_datetime(last_updated, usegmt=True)}


def resource_answer(request: Request, version: Version, given: Parameters) -> Response:
    """A version of a resource."""
    return conditional(request, pretty(version.body, given), etag(version.version_id, version.last_updated))


def pretty(body: bytes, given: Parameters) -> bytes:
    """The JSON with line breaks and indents if `_pretty=true` asks for them."""
    if value_of(given, "_pretty") != "true":
        return body
    return json.dumps(json.loads(body), indent=2, ensure_ascii=False).encode()


def _quality(media_range: str) -> float:
    found = _QUALITY.search(media_range)
    try:
        return float(found[1]) if found else 1.0
    except ValueError:
        return 0.0
