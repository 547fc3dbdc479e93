"""Serve Binary resources: the PDF of a signed report (stored, or streamed from AutoScribe), and the report text.

https://hl7.org/fhir/R4/binary.html#rest, RFC 9110 §13 and §14, decisions D5, D16, D28: a client never sees the
presigned URL and is never redirected to it. A PDF is streamed, never held whole in memory, even inside a resource.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from gateway.fhir_api.audit.shown import show
from gateway.fhir_api.facade import facade
from gateway.fhir_api.fetching import newest
from gateway.fhir_api.http.formats import in_format
from gateway.fhir_api.http.headers import FHIR_JSON, FHIR_XML, VARIES, Format, accepted, etag, is_unchanged
from gateway.fhir_api.http.permission import sight_of
from gateway.fhir_api.http.query import Parameters, parameters, value_of
from gateway.fhir_api.served import OF_REPORTS
from gateway.runtime.request_errors import NotAcceptable, RangeNotSatisfiable, ResourceNotFound, ResourceWithdrawn
from gateway.store.stored_reports import Pdfs, stored_report
from gateway.upstream.pdf_stream import PdfStream
from mappings.fhir.datatypes import TEXT_PLAIN, json_bytes
from mappings.model import Report
from mappings.patient.identifiers import upstream_id
from mappings.values.text import utf8

_RANGES: Final = re.compile(r"\s*bytes\s*=(.*)", re.IGNORECASE | re.DOTALL)
_RANGE: Final = re.compile(r"([0-9]{0,18})-([0-9]{0,18})")


class ByteRange(NamedTuple):
    """First and last byte to serve, counted from 0, both included."""

    first: int
    last: int

    def content_range(self, size: int) -> str:
        """Value of the Content-Range header; `size` is the length of the whole content."""
        return f"bytes {self.first}-{self.last}/{size}"


def wanted_range(headers: Headers, size: int, tag: str) -> ByteRange | None:
    """Return the byte range to serve from content of `size` bytes (at least one); None to serve all of it.

    `tag` is the strong ETag of the content; an If-Range with any other value asks for the whole content.

    Raises:
        RangeNotSatisfiable: the range begins after the last byte.
    """
    if headers.get("if-range", tag).strip() != tag:
        return None
    listed = _RANGES.fullmatch(",".join(headers.getlist("range")))
    ranges = [one.strip() for one in listed[1].split(",") if one.strip()] if listed else []
    parts = _RANGE.fullmatch(ranges[0]) if len(ranges) == 1 else None
    return _resolve(parts[1], parts[2], size) if parts else None


def _resolve(first: str, last: str, size: int) -> ByteRange | None:
    """Resolve `first-last`, `first-` or `-length` against the size; None for an invalid range."""
    if not first:
        length = int(last) if last else None
        if length == 0:
            raise RangeNotSatisfiable(size)
        return None if length is None else ByteRange(max(size - length, 0), size - 1)
    if last and int(last) < int(first):
        return None
    if int(first) >= size:
        raise RangeNotSatisfiable(size)
    return ByteRange(int(first), min(int(last or size), size - 1))


PDF: Final = "application/pdf"
_ID: Final = re.compile(r"(rep-[0-9a-f]{32})-(pdf|text)")
_FILE_TYPE: Final = {"pdf": "pdf", "text": "txt"}
_WITHDRAWN: Final = "entered-in-error"
_SHOWN_DRAFT: Final = "preliminary"
_DATA: Final = "+/+/"  # Base64 placeholder for the data

Chunks = AsyncGenerator[bytes, None]


@dataclass(frozen=True, slots=True)
class _Asked:
    """Request for the Binary of a report: as a resource in format `form`, or as raw bytes if `form` is None."""

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
        """Response headers; for raw bytes also a file name without patient data, and a sandbox in a browser."""
        if self.form is not None:
            return dict(VARIES)
        return {
            **VARIES,
            "Content-Disposition": f'inline; filename="{self.report_id}.{_FILE_TYPE[self.kind]}"',
            "Content-Security-Policy": "default-src 'none'; sandbox",
        }

    def resource_around_data(self) -> tuple[bytes, bytes]:
        """Split the rendered Binary resource into the bytes before and after its data."""
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
    """Stored bytes with size and hash; `read(first, last)` streams a range, both ends included."""

    size: int
    sha1: str
    changed: datetime | None
    read: Callable[[int, int], Chunks]


async def binary(request: Request) -> Response:
    """Answer GET [base]/Binary/rep-…-pdf and rep-…-text: raw bytes, or the resource if a FHIR format is asked for."""
    given = parameters(request)
    matched = _ID.fullmatch(request.path_params["id"])
    if matched is None:
        raise ResourceNotFound("no Binary can have this id: they are rep-<32 hex>-pdf and rep-<32 hex>-text")
    form = _form(request, given, PDF if matched[2] == "pdf" else "text/plain")
    asked = _Asked(request, matched[1], matched[2], form, value_of(given, "_pretty") == "true")
    report, status = await _report(request, asked.report_id)
    if asked.kind == "text":
        return _answer(asked, _text(report, status))
    if report is None or not report.is_completed:
        raise ResourceNotFound("this report is not signed: its PDF is not given out")
    kept = await _stored_pdf(request, report.report_id)
    return _answer(asked, kept) if kept else await _stream_pdf(asked, report.report_id)


async def _report(request: Request, resource_id: str) -> tuple[Report | None, str]:
    """Return the stored report and the status of its DiagnosticReport; ask AutoScribe first if it is not fresh enough.

    A suppressed DiagnosticReport does not block the bytes: they are the original, not the mapping.

    Raises:
        ResourceNotFound: there is no such report.
        ResourceWithdrawn: the report was withdrawn, and must not be read as valid.
    """
    limits = (await sight_of(request)).limits_of_report("Binary", "r")
    stored = await newest(request, OF_REPORTS, resource_id, limits, keeps_dropped=False)
    if stored is None:
        raise ResourceNotFound("there is no such report")
    show(request.scope, (stored.version,))
    status = str(stored.version.resource["status"])
    if status == _WITHDRAWN:
        raise ResourceWithdrawn("the report was withdrawn: neither its text nor its PDF is given out")
    return await stored_report(facade(request).engine, upstream_id(resource_id) or ""), status


def _text(report: Report | None, status: str) -> _Content:
    """Return the report text byte for byte; the text of a draft only if the site serves drafts (D16).

    Raises:
        ResourceNotFound: there is no text, or it is an unsigned text that the site does not serve.
    """
    if report is None or not report.text or not (report.is_completed or status == _SHOWN_DRAFT):
        raise ResourceNotFound("this report has no text, or is not signed: an unsigned text is not given out")
    data = utf8(report.text)[0]

    async def read(first: int, last: int) -> Chunks:
        yield data[first : last + 1]

    return _Content(len(data), hashlib.sha1(data, usedforsecurity=False).hexdigest(), None, read)


async def _stored_pdf(request: Request, report_id: str) -> _Content | None:
    serving = facade(request)
    pdfs = Pdfs(serving.engine)
    pdf = await pdfs.current(report_id) if serving.keeps_pdfs else None
    if pdf is None:
        return None
    return _Content(pdf.size, pdf.sha1, pdf.kept, lambda first, last: pdfs.read(pdf, first, last))


def _form(request: Request, given: Parameters, content_type: str) -> Format | None:
    """Choose what the client prefers: a FHIR format of the resource, or None for the raw bytes.

    Browsers and HTTP libraries accept XML or JSON of any kind before anything else: these ask for the resource only
    where the bytes are not accepted.

    Raises:
        NotAcceptable: the client accepts none of them.
    """
    of_any_kind = None
    for media_type in accepted(request, given):
        if media_type in {content_type, f"{content_type.partition('/')[0]}/*", "*/*"}:
            return None
        form = Format.JSON if media_type in FHIR_JSON else Format.XML if media_type in FHIR_XML else None
        if form and media_type.startswith("application/fhir+"):
            return of_any_kind or form
        of_any_kind = of_any_kind or form
    if of_any_kind is None:
        raise NotAcceptable(f"only {content_type}, application/fhir+json and application/fhir+xml are offered here")
    return of_any_kind


def _answer(asked: _Asked, content: _Content) -> Response:
    """Answer with stored content: validators, length, and byte ranges of raw bytes. The resource has its own ETag."""
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
        return Streamed(request, chunks, {**headers, **_length(content.size)}, asked.content_type)
    part_headers = {"Content-Range": part.content_range(content.size), **_length(part.last - part.first + 1)}
    return Streamed(request, content.read(*part), {**headers, **part_headers}, asked.content_type, status=206)


async def _stream_pdf(asked: _Asked, report_id: str) -> Response:
    """Stream a PDF that is not stored from AutoScribe; only its length may be known beforehand."""
    async with AsyncExitStack() as stack:
        pdf = await stack.enter_async_context(facade(asked.request).upstream.stream_pdf(report_id))
        headers = {**asked.headers, "Accept-Ranges": "none"}
        if asked.form is not None:
            return _resource(asked, _chunks(pdf), pdf.size, headers, stack.pop_all())
        return Streamed(asked.request, _chunks(pdf), {**headers, **_length(pdf.size)}, PDF, source=stack.pop_all())


def _resource(
    asked: _Asked, chunks: Chunks, size: int | None, headers: Mapping[str, str], source: AsyncExitStack | None = None
) -> Response:
    """Stream the Binary resource, encoding the data to Base64 chunk by chunk."""
    before, behind = asked.resource_around_data()
    length = None if size is None else len(before) + 4 * -(-size // 3) + len(behind)
    data = _base64(chunks, before, behind)
    media_type = (asked.form or Format.JSON).value
    return Streamed(asked.request, data, {**headers, **_length(length)}, media_type, source=source)


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


class Streamed(Response):
    """Response that passes bytes on chunk by chunk; closes their source at the end, or when the client disconnects."""

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

    async def abandon(self) -> None:
        """Close the source of a response that must not be sent."""
        async with self._source, aclosing(self._chunks):
            pass

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the response; for a HEAD, send the headers and read nothing from the source."""
        async with self._source, aclosing(self._chunks):
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            if scope["method"] != "HEAD":
                async for chunk in self._chunks:
                    if await self._request.is_disconnected():
                        return
                    await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
