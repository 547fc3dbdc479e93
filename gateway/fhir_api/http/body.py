"""The body of a request as JSON, read no further than a limit.

https://hl7.org/fhir/R4/http.html#mime-type: a body is application/fhir+json here. XML is written and not read.
"""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.requests import Request

from gateway.fhir_api.http.formats import FHIR_JSON
from gateway.runtime.errors import BadRequest, RequestTooLarge, UnsupportedMediaType
from mappings.issues import WireError
from mappings.wire import loads


async def json_body(request: Request, most: int) -> Any:
    """The JSON in the body; None where there is no body.

    Raises:
        RequestTooLarge: it is over `most` bytes; no more than that is read.
        UnsupportedMediaType: it is of another type.
        BadRequest: it is no JSON.
    """
    return await json_of(request, await whole_body(request, most))


async def whole_body(request: Request, most: int) -> bytes:
    """The body as it came.

    Raises:
        RequestTooLarge: it is over `most` bytes; no more than that is read.
    """
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > most:
            raise RequestTooLarge(f"the body is over {most} bytes")
    return bytes(body)


async def json_of(request: Request, body: bytes) -> Any:
    """The JSON in this body of the request; None where there is none.

    Raises:
        UnsupportedMediaType: it is of another type.
        BadRequest: it is no JSON.
    """
    if not body:
        return None
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() not in FHIR_JSON:
        raise UnsupportedMediaType("a body must be application/fhir+json")
    try:
        return await asyncio.to_thread(loads, body)
    except WireError as error:
        raise BadRequest(f"the body: {error}") from None
