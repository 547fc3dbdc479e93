"""Binary: a signed report's PDF, of the store or passed on from AutoScribe, and the bytes of its text.

https://hl7.org/fhir/R4/binary.html#rest, RFC 9110 §13 and §14, decisions D5, D16, D28: the presigned URL is never
shown, nor redirected to. Nothing is held in memory whole, a PDF in a Binary resource neither.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from gateway.fhir_api.facade import facade
from gateway.fhir_api.freshness import wants_newer
from gateway.fhir_api.http.byte_range import wanted_range
from gateway.fhir_api.http.formats import in_format
from gateway.fhir_api.http.headers import FHIR_JSON, FHIR_XML, PRIVATE, Format, accepted, etag, is_unchanged
from gateway.fhir_api.http.query import Parameters, parameters, value_of
from gateway.runtime.errors import NotAcceptable, ResourceNotFound, ResourceWithdrawn
from gateway.store.studies.pdfs import Pdfs
from gateway.store.studies.reports import stored_report
from gateway.store.studies.versions import CURRENT
from gateway.upstream.pdf_stream import PdfStream
from mappings.fhir.datatypes import TEXT_PLAIN
from mappings.fhir.rendering import json_bytes
from mappings.identifiers import upstream_id
from mappings.model import Report
from mappings.text import utf8

PDF: Final = "application/pdf"
_ID: Final = re.compile(r"(rep-[0-9a-f]{32})-(pdf|text)")
_FILE_TYPE: Final = {"pdf": "pdf", "text": "txt"}
_WITHDRAWN: Final = "entered-in-error"
_SHOWN_DRAFT: Final = "preliminary"
_DATA: Final = "+/+/"  # Base64 that stands where the data go

Chunks = AsyncGenerator[bytes, None]


@dataclass(frozen=True, slots=True)
class _Asked:
    """What a request asks for: the Binary of a report, as a resource in a format or, without one, as its bytes."""

    request: Request
    report_id: str
    kind: str
    form: Format | None
    is_pretty: bool

    @property
    def content_type(self) -> str:
        return PDF if self.kind == "pdf" else TEXT_PLAIN

    @property
    def headers(self) -> dict[str, str]:
        """Of the bytes: a file name without anything of the patient, and no guessing of the type from the bytes."""
        if self.form is not None:
            return dict(PRIVATE)
        return {
            **PRIVATE,
            "Content-Disposition": f'inline; filename="{self.report_id}.{_FILE_TYPE[self.kind]}"',
            "X-Content-Type-Options": "nosniff",
            "Content-Security-Policy": "default-src 'none'; sandbox",
        }

    def resource_around_data(self) -> tuple[bytes, bytes]:
        """The Binary resource before and behind its data."""
        resource: dict[str, Any] = {
            "resourceType": "Binary",
            "id": f"{self.report_id}-{self.kind}",
            "contentType": self.content_type,
            "securityContext": {"reference": f"DiagnosticReport/{self.report_id}"},
            "data": _DATA,
        }
        body = in_format(json_bytes(resource), self.form or Format.JSON, indented=self.is_pretty)
        before, _, behind = body.partition(_DATA.encode())
        return before, behind


@dataclass(frozen=True, slots=True)
class _Content:
    """Bytes of which everything is known; `read` gives those from one place to another, both included."""

    size: int
    sha1: str
    changed: datetime | None
    read: Callable[[int, int], Chunks]


async def binary(request: Request) -> Response:
    """GET [base]/Binary/rep-…-pdf and rep-…-text: the bytes, or the resource where a format of FHIR is asked for."""
    given = parameters(request)
    found = _ID.fullmatch(request.path_params["id"])
    if found is None:
        raise ResourceNotFound("no Binary can have this id: they are rep-<32 hex>-pdf and rep-<32 hex>-text")
    form = _form(request, given, PDF if found[2] == "pdf" else "text/plain")
    asked = _Asked(request, found[1], found[2], form, value_of(given, "_pretty") == "true")
    report, status = await _report(request, asked.report_id)
    if asked.kind == "text":
        return _answer(asked, _text(report, status))
    if report is None or not report.is_completed:
        raise ResourceNotFound("this report is not signed: its PDF is not given out")
    kept = await _kept(request, report.report_id)
    return _answer(asked, kept) if kept else await _passed_on(asked, report.report_id)


async def _report(request: Request, resource_id: str) -> tuple[Report | None, str]:
    """The report as it is kept, and the status of its DiagnosticReport; read through as `fetching.current` does it.

    A DiagnosticReport that is suppressed takes nothing from the bytes: they are the original.

    Raises:
        ResourceNotFound: there is no such report.
        ResourceWithdrawn: it was taken back, and must not be read as valid.
    """
    serving, address, report_id = facade(request), f"DiagnosticReport/{resource_id}", upstream_id(resource_id) or ""
    rows = await serving.engine.fetch(CURRENT, address=address)
    if not rows or wants_newer(request, rows[0][5]):
        await serving.reads.report(report_id, fresh=bool(rows))
        rows = await serving.engine.fetch(CURRENT, address=address)
    if not rows:
        raise ResourceNotFound("there is no such report")
    status = str(json.loads(rows[0][4])["status"])
    if status == _WITHDRAWN:
        raise ResourceWithdrawn("the report was withdrawn: neither its text nor its PDF is given out")
    return await stored_report(serving.engine, report_id), status


def _text(report: Report | None, status: str) -> _Content:
    """The text as AutoScribe holds it, byte for byte; of a draft where the site lets drafts out (D16)."""
    if report is None or not report.text or not (report.is_completed or status == _SHOWN_DRAFT):
        raise ResourceNotFound("this report has no text, or is not signed: an unsigned text is not given out")
    data = utf8(report.text)[0]

    async def read(first: int, last: int) -> Chunks:
        yield data[first : last + 1]

    return _Content(len(data), hashlib.sha1(data, usedforsecurity=False).hexdigest(), None, read)


async def _kept(request: Request, report_id: str) -> _Content | None:
    serving = facade(request)
    pdfs = Pdfs(serving.engine)
    found = await pdfs.current(report_id) if serving.keeps_pdfs else None
    if found is None:
        return None
    return _Content(found.size, found.sha1, found.kept, lambda first, last: pdfs.read(found, first, last))


def _form(request: Request, given: Parameters, content_type: str) -> Format | None:
    """The format of the resource, or None for the bytes: what the client likes best of them.

    Raises:
        NotAcceptable: it takes none of them.
    """
    for one in accepted(request, given):
        if one in FHIR_JSON:
            return Format.JSON
        if one in FHIR_XML:
            return Format.XML
        if one in {content_type, f"{content_type.partition('/')[0]}/*", "*/*"}:
            return None
    raise NotAcceptable(f"only {content_type}, application/fhir+json and application/fhir+xml are offered here")


def _answer(asked: _Asked, content: _Content) -> Response:
    """Everything is known: validators, length, and of the bytes their ranges. The resource has a tag of its own."""
    tag = content.sha1 if asked.form is None else f"{content.sha1}-fhir"
    validators = etag(tag, content.changed)
    headers = {**asked.headers, **validators}
    if asked.form is None:
        headers |= {"ETag": f'"{tag}"', "Accept-Ranges": "bytes"}
    if is_unchanged(asked.request, validators):
        return Response(None, 304, headers)
    if asked.form is None:
        return _whole_or_part(asked, content, headers)
    return _resource(asked, content.read(0, content.size - 1), content.size, headers)


def _whole_or_part(asked: _Asked, content: _Content, headers: Mapping[str, str]) -> Response:
    request = asked.request
    part = wanted_range(request.headers, content.size, headers["ETag"]) if request.method == "GET" else None
    if part is None:
        chunks = content.read(0, content.size - 1)
        return _Streamed(request, chunks, {**headers, **_length(content.size)}, asked.content_type)
    said = {"Content-Range": part.content_range(content.size), **_length(part.last - part.first + 1)}
    return _Streamed(request, content.read(*part), {**headers, **said}, asked.content_type, status=206)


async def _passed_on(asked: _Asked, report_id: str) -> Response:
    """A PDF that is not kept, while AutoScribe's store sends it: nothing is known of it but, perhaps, its length."""
    async with AsyncExitStack() as stack:
        pdf = await stack.enter_async_context(facade(asked.request).upstream.stream_pdf(report_id))
        headers = {**asked.headers, "Accept-Ranges": "none"}
        if asked.form is not None:
            return _resource(asked, _chunks(pdf), pdf.size, headers, stack.pop_all())
        return _Streamed(asked.request, _chunks(pdf), {**headers, **_length(pdf.size)}, PDF, source=stack.pop_all())


def _resource(
    asked: _Asked, chunks: Chunks, size: int | None, headers: Mapping[str, str], source: AsyncExitStack | None = None
) -> Response:
    """The Binary resource, with the data as they come."""
    before, behind = asked.resource_around_data()
    length = None if size is None else len(before) + 4 * -(-size // 3) + len(behind)
    data = _base64(chunks, before, behind)
    media_type = (asked.form or Format.JSON).value
    return _Streamed(asked.request, data, {**headers, **_length(length)}, media_type, source=source)


async def _base64(chunks: Chunks, before: bytes, behind: bytes) -> Chunks:
    rest = b""
    async with aclosing(chunks):
        yield before
        async for chunk in chunks:
            rest += chunk
            whole = len(rest) - len(rest) % 3
            yield base64.b64encode(rest[:whole])
            rest = rest[whole:]
    yield base64.b64encode(rest) + behind


async def _chunks(pdf: PdfStream) -> Chunks:
    async for chunk in pdf:
        yield chunk


def _length(size: int | None) -> dict[str, str]:
    return {} if size is None else {"Content-Length": str(size)}


class _Streamed(Response):
    """Bytes passed on chunk by chunk; their source is closed at the end, also when the client goes away."""

    def __init__(  # noqa: PLR0913 (what a response is made of)
        self,
        request: Request,
        chunks: Chunks,
        headers: Mapping[str, str],
        media_type: str,
        *,
        status: int = 200,
        source: AsyncExitStack | None = None,
    ) -> None:
        self._request, self._chunks, self._source = request, chunks, source or AsyncExitStack()
        super().__init__(None, status, headers, media_type=media_type)
        if "Content-Length" not in headers:
            del self.headers["Content-Length"]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it; of a HEAD nothing is read."""
        async with self._source, aclosing(self._chunks):
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            if scope["method"] != "HEAD":
                async for chunk in self._chunks:
                    if await self._request.is_disconnected():
                        return
                    await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
