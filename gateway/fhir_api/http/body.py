"""Read a FHIR request body up to a size limit, check its media type, and parse its JSON strictly, by study/wire.py.

https://hl7.org/fhir/R4/http.html#mime-type: the gateway accepts application/fhir+json bodies only, not XML.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

from starlette.requests import Request

from gateway.fhir_api.http.formats import FHIR_JSON
from gateway.runtime.request_errors import BadRequest, RequestTooLarge, UnsupportedMediaType
from mappings.issues import WireError
from mappings.study.wire import loads

LARGE: Final = 32 * 1024  # bytes: parsing the worst body of this size takes 13 ms


async def json_body(request: Request, most: int) -> Any:
    """Read the body and parse it as JSON; None for an empty body.

    Raises:
        RequestTooLarge: the body is over `most` bytes; reading stops there.
        UnsupportedMediaType: the body is of another media type.
        BadRequest: the body is no JSON.
    """
    return await json_of(request, await whole_body(request, most))


async def whole_body(request: Request, most: int) -> bytes:
    """Read the body as bytes.

    Raises:
        RequestTooLarge: the body is over `most` bytes; reading stops there.
    """
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > most:
            raise RequestTooLarge(f"the body is over {most} bytes")
    return bytes(body)


async def json_of(request: Request, body: bytes) -> Any:
    """Parse a body that is already read as JSON; None for an empty body.

    Raises:
        UnsupportedMediaType: the body is of another media type.
        BadRequest: the body is no JSON.
    """
    check_media_type(request, body)
    return await asyncio.to_thread(parsed, body)


def check_media_type(request: Request, body: bytes) -> None:
    """Check that the media type of a body is supported here; an empty body needs none.

    Raises:
        UnsupportedMediaType: it is not.
    """
    if body and request.headers.get("content-type", "").partition(";")[0].strip().lower() not in FHIR_JSON:
        raise UnsupportedMediaType("a body must be application/fhir+json")


def parsed(body: bytes) -> Any:
    """Parse a body as JSON; None for an empty body. A worker parses a body over `LARGE`.

    Raises:
        BadRequest: the body is no JSON.
    """
    try:
        return loads(body) if body else None
    except WireError as error:
        raise BadRequest(f"the body: {error}") from None
