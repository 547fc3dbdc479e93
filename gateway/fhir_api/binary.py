"""Binary: a signed report's PDF, streamed while AutoScribe's store sends it, and the bytes of its text.

https://hl7.org/fhir/R4/binary.html#rest, decisions D5, D16, D28: the presigned URL is never shown, nor redirected to.
"""

from __future__ import annotations

import base64
import hashlib
import re
from contextlib import AsyncExitStack
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from gateway.errors import NotAcceptable, ResourceNotFound
from gateway.fhir_api.facade import Facade, facade
from gateway.fhir_api.headers import FHIR_JSON, PRIVATE, accepted, answer, conditional, etag, pretty
from gateway.fhir_api.query import Parameters, parameters
from gateway.upstream.pdf_stream import PdfStream
from mappings.fhir.datatypes import TEXT_PLAIN
from mappings.fhir.rendering import json_bytes
from mappings.identifiers import upstream_id
from mappings.model import Report

PDF: Final = "application/pdf"
MOST_AS_RESOURCE: Final = 20 * 2**20
_ID: Final = re.compile(r"(rep-[0-9a-f]{32})-(pdf|text)")
_FILE_TYPE: Final = {"pdf": "pdf", "text": "txt"}


async def binary(request: Request) -> Response:
    """GET [base]/Binary/rep-…-pdf and rep-…-text: the raw bytes, or a Binary resource where FHIR JSON is asked for."""
    given = parameters(request)
    found = _ID.fullmatch(request.path_params["id"])
    if found is None:
        raise ResourceNotFound("no Binary can have this id: they are rep-<32 hex>-pdf and rep-<32 hex>-text")
    report_id, kind = found[1], found[2]
    as_resource = _is_resource(request, given, PDF if kind == "pdf" else "text/plain")
    serving = facade(request)
    if kind == "text":
        return await _text(request, given, report_id, as_resource=as_resource)
    await _signed(serving, report_id)
    stack = AsyncExitStack()
    try:
        pdf = await stack.enter_async_context(serving.upstream.stream_pdf(upstream_id(report_id) or ""))
        if not as_resource:
            return _Streamed(request, pdf, stack.pop_all(), _file_headers(report_id, kind))
        data = await _whole(pdf)
    finally:
        await stack.aclose()
    return answer(request, pretty(json_bytes(_resource(report_id, kind, PDF, data)), given))


async def _text(request: Request, given: Parameters, report_id: str, *, as_resource: bool) -> Response:
    """The text as AutoScribe holds it, byte for byte."""
    reading = await facade(request).reads.report(upstream_id(report_id) or "")
    data = reading.rendered.text(report_id)
    if data is None:
        raise ResourceNotFound("this report has no text, or is not signed: an unsigned text is not given out")
    headers = {**_file_headers(report_id, "text"), **etag(hashlib.sha256(data).hexdigest()[:32])}
    if not as_resource:
        return conditional(request, data, headers, media_type=TEXT_PLAIN)
    del headers["Content-Disposition"]
    return conditional(request, pretty(json_bytes(_resource(report_id, "text", TEXT_PLAIN, data)), given), headers)


async def _signed(serving: Facade, report_id: str) -> Report:
    reading = await serving.reads.report(upstream_id(report_id) or "")
    report = reading.rendered.report(report_id)
    if report is None or not report.is_completed:
        raise ResourceNotFound("this report is not signed: its PDF is not given out")
    return report


def _is_resource(request: Request, given: Parameters, content_type: str) -> bool:
    """Whether the resource is wanted, or the raw bytes: what the client likes best of the two.

    Raises:
        NotAcceptable: it takes neither.
    """
    for one in accepted(request, given):
        if one in FHIR_JSON:
            return True
        main = content_type.partition("/")[0]
        if one in {content_type, f"{main}/*", "*/*"}:
            return False
    raise NotAcceptable(f"only {content_type} and application/fhir+json are offered here")


async def _whole(pdf: PdfStream) -> bytes:
    data = bytearray()
    async for chunk in pdf:
        data += chunk
        if len(data) > MOST_AS_RESOURCE:
            raise NotAcceptable(f"over {MOST_AS_RESOURCE} bytes it is not made a resource: ask for application/pdf")
    return bytes(data)


def _resource(report_id: str, kind: str, content_type: str, data: bytes) -> dict[str, Any]:
    return {
        "resourceType": "Binary",
        "id": f"{report_id}-{kind}",
        "contentType": content_type,
        "securityContext": {"reference": f"DiagnosticReport/{report_id}"},
        "data": base64.b64encode(data).decode(),
    }


def _file_headers(report_id: str, kind: str) -> dict[str, str]:
    """A file name without anything of the patient, and no guessing of the type from the bytes."""
    return {
        "Content-Disposition": f'inline; filename="{report_id}.{_FILE_TYPE[kind]}"',
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "default-src 'none'; sandbox",
    }


class _Streamed(Response):
    """A PDF passed on chunk by chunk; its source is closed at the end, also when the client goes away."""

    def __init__(self, request: Request, pdf: PdfStream, source: AsyncExitStack, headers: dict[str, str]) -> None:
        self._request, self._pdf, self._source = request, pdf, source
        length = {} if pdf.size is None else {"Content-Length": str(pdf.size)}
        super().__init__(None, 200, {**PRIVATE, **headers, **length}, media_type=PDF)
        if pdf.size is None:
            del self.headers["Content-Length"]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        async with self._source:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            if scope["method"] != "HEAD":
                async for chunk in self._pdf:
                    if await self._request.is_disconnected():
                        return
                    await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
