"""Run the GETs of a FHIR batch (parsed by batch_entries.py), each as if sent by itself, and build the batch-response.

https://hl7.org/fhir/R4/http.html#transaction, https://hl7.org/fhir/R4/bundle.html#batch (bdl-3, bdl-4, bdl-7: no
fullUrl, since one resource may be read twice). Each entry calls the facade in this process, without a socket.
Headers of the batch request apply to its entries too, except those about its own body and its own conditions.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any, Final

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Scope

from gateway.fhir_api.batch_entries import MOST_BYTES, BatchEntry, entries_in
from gateway.fhir_api.facade import MOUNT, base
from gateway.fhir_api.http.body import LARGE, check_media_type, whole_body
from gateway.fhir_api.http.budget import Budget, paid
from gateway.fhir_api.http.bundle import batch_response
from gateway.fhir_api.http.formats import Format
from gateway.fhir_api.http.headers import fhir_answer, negotiated
from gateway.fhir_api.http.outcome import canonical_of, issue_of_error, outcome
from gateway.fhir_api.http.query import parameters
from gateway.runtime.computing import computed_apart
from gateway.runtime.errors import PdfInterrupted
from gateway.runtime.request_errors import NotAcceptable, RequestError, RequestTooLarge
from mappings.fhir.datatypes import json_bytes
from mappings.values.dates import fhir_instant

# Bytes of all answers together: to join more would hold the loop for over 20 ms
MOST_ANSWERED: Final = 16 * 2**20
_OTHER_FORMAT: Final = "in a batch each answer is a resource, in the format of the batch"
_OWN_HEADERS: Final = ("content-", "accept", "transfer-encoding", "expect", "if-", "range")


@dataclass(slots=True)
class _BytesLeft:
    """Bytes left for the remaining answers of one batch, and the base URL of the site's own definitions."""

    canonical: str
    left: int = MOST_ANSWERED


@dataclass(slots=True)
class _Answer:
    """The facade's answer to one entry, collected as an ASGI `send`."""

    room: _BytesLeft
    status: int = 0
    headers: Headers = field(default_factory=Headers)
    body: bytearray = field(default_factory=bytearray)
    is_whole: bool = False

    async def take(self, message: Message) -> None:
        """Collect one ASGI message of the answer; drop bytes beyond the room left."""
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], Headers(raw=message["headers"])
            return
        chunk = message.get("body", b"")
        self.room.left -= len(chunk)
        if self.room.left >= 0:
            self.body += chunk
        self.is_whole = not message.get("more_body", False)

    def entry(self) -> bytes:
        """Build the entry of the batch-response."""
        if self.room.left < 0:
            error = RequestTooLarge(f"the answers are over {MOST_ANSWERED} bytes: ask for this one alone")
            return _refused(error, self.room.canonical)
        if not self.is_whole:
            return _refused(PdfInterrupted("GET Binary"), self.room.canonical)
        if self.body and self.headers["content-type"] != Format.JSON.value:
            return _refused(NotAcceptable(_OTHER_FORMAT), self.room.canonical)
        return _entry(self.status, bytes(self.body), self._validators())

    def _validators(self) -> dict[str, str]:
        made = {"etag": self.headers["etag"]} if "etag" in self.headers else {}
        if "last-modified" in self.headers:
            made["lastModified"] = fhir_instant(parsedate_to_datetime(self.headers["last-modified"]))
        return made


def batch(app: ASGIApp, budget: Budget) -> Callable[[Request], Awaitable[Response]]:
    """Make the handler of POST [base]; `app` answers each entry, and each counts in the client's budget.

    Raises:
        BadRequest: the body is no batch; the expression says where.
        NotSupported: the Bundle is a transaction.
        RequestTooLarge: the batch is over a limit.
        Throttled: the client has too many requests under way.
    """

    async def handle(request: Request) -> Response:
        given = parameters(request)
        negotiated(request, given)
        with budget.booked(request.scope) as turns:
            async with turns:
                requests = await _entries(request)
        room = _BytesLeft(canonical_of(request.scope))

        async def answered(entry: BatchEntry | RequestError) -> bytes:
            if isinstance(entry, RequestError):
                return _refused(entry, room.canonical)
            async with turns:
                answer = _Answer(room)
                await app(_scope(request.scope, entry), _empty_body, answer.take)
            return answer.entry()

        with budget.booked(request.scope, len(requests)) as turns:
            return await fhir_answer(request, given, await _answer_all(requests, answered))

    return handle


async def _entries(request: Request) -> list[BatchEntry | RequestError]:
    body = await whole_body(request, MOST_BYTES)
    check_media_type(request, body)
    if len(body) <= LARGE:
        return entries_in(body, base(request))
    return await computed_apart(entries_in, body, base(request))


async def _answer_all(requests: Sequence[Any], answer: Callable[[Any], Awaitable[bytes]]) -> memoryview:
    return await batch_response(await asyncio.gather(*map(answer, requests)))


async def _empty_body() -> Message:
    """Act as ASGI `receive` of a GET: give an empty body."""
    return {"type": "http.request", "body": b"", "more_body": False}


def _scope(outer: Scope, entry: BatchEntry) -> Scope:
    """Build the ASGI scope of an entry, as if it were a request of its own."""
    kept = [(name, value) for name, value in outer["headers"] if not name.decode().startswith(_OWN_HEADERS)]
    return {
        **paid(outer),
        "method": "GET",
        "path": MOUNT + entry.path,
        "raw_path": MOUNT.encode() + entry.raw_path,
        "query_string": entry.query,
        "headers": [*kept, (b"accept", Format.JSON.value.encode()), *entry.headers],
        "path_params": {},
    }


def _refused(error: Exception, canonical: str) -> bytes:
    status, issue = issue_of_error(error)
    return _entry(status, json_bytes(outcome([issue], canonical)), {})


def _entry(status: int, body: bytes, validators: dict[str, str]) -> bytes:
    """Build an entry of the batch-response: a resource, or the OperationOutcome of its failure."""
    response = json_bytes({"status": f"{int(status)} {HTTPStatus(status).phrase}", **validators})
    if not body:
        return b'{"response":' + response + b"}"
    if status < HTTPStatus.MULTIPLE_CHOICES:
        return b'{"resource":' + body + b',"response":' + response + b"}"
    return b'{"response":' + response[:-1] + b',"outcome":' + body + b"}}"
