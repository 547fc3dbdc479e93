"""The body of a request as JSON, read no further than a limit.

https://hl7.org/fhir/R4/http.html#mime-type: a body is application/fhir+json here. XML is written and not read.
"""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.requests import Request

from gateway.errors import BadRequest, RequestTooLarge, UnsupportedMediaType
from gateway.fhir_api.formats import FHIR_JSON
from mappings.issues import WireError
from mappings.wire import loads


async def json_body(request: Request, most: int) -> Any:
    """The JSON in the body; None where there is no body.

    Raises:
        RequestTooLarge: it is over `most` bytes; no more than that is read.
        UnsupportedMediaType: it is of another type.
        BadRequest: it is no JSON.
    """
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > most:
            raise RequestTooLarge(f"the body is over {most} bytes")
    if not body:
        return None
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() not in FHIR_JSON:
        raise UnsupportedMediaType("a body must be application/fhir+json")
    try:
        return await asyncio.to_thread(loads, bytes(body))
    except WireError as error:
        raise BadRequest(f"the body: {error}") from None
