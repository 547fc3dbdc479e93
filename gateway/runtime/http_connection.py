"""Accept HTTP/1.1 connections with limits: on their number, on a request's head, and on the times of body and answer.

https://docs.python.org/3/library/asyncio-eventloop.html#asyncio.loop.connect_accepted_socket, RFC 6585 §5 (431), RFC
9110 §15.5.9 (408) and §15.6.4 (503); decision D40. uvicorn parses and answers. There are as many connections as the
process has file descriptors for, and no more. A new connection takes the place of the one that has waited longest for
its client, in a TLS handshake or for a request, so that idle connections never keep a probe out.
"""

from __future__ import annotations

import asyncio
import resource
import socket
import ssl
from asyncio import TimerHandle, Transport
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final, Literal

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from gateway.runtime import clock
from gateway.runtime.log import get_logger

Refusal = Literal["head-too-large", "head-too-slow", "body-too-slow", "not-http", "not-read", "crowded", "tls-failed"]

MOST_HEAD: Final = 32 * 1024  # bytes of the request line and all header lines
MOST_LINES: Final = 100  # header lines
MOST_PIPELINED: Final = 100  # requests of one connection that wait for the answer before them
KEEP_ALIVE: Final = 75  # seconds: longer than the load balancers in front of a gateway keep an idle connection
_PIECE: Final = 16 * 1024  # bytes for the parser at a time: a large head is noticed early
_SHORTEST: Final = 0.001  # seconds of a timer: uvloop runs a shorter one as a callback that has no time
_LINGER: Final = 2.0  # seconds for a refused client to read the reason
# FHIR IssueType of each refusal
_CODES: Final = {
    HTTPStatus.BAD_REQUEST: "invalid",
    HTTPStatus.REQUEST_TIMEOUT: "timeout",
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE: "too-long",
    HTTPStatus.SERVICE_UNAVAILABLE: "transient",
}


def _uncounted(_: Refusal) -> None:
    """Count nothing."""


@dataclass(slots=True)
class Connections:
    """Open connections of a server and their limits; times in seconds.

    `refused` counts refusals by reason. `waiting` are the connections that wait for their client, the longest first.
    """

    most: int = 1_000
    head_time: float = 10.0
    body_time: float = 30.0
    refused: Callable[[Refusal], None] = _uncounted
    number: int = 0
    waiting: dict[LimitedHttp, None] = field(default_factory=dict)

    def make_room(self) -> bool:
        """Close the connection that has waited longest for its client, to make room; False if none waits."""
        oldest = next(iter(self.waiting), None)
        if oldest is not None:
            oldest.give_way()
        return oldest is not None


class LimitedHttp(HttpToolsProtocol):
    """HTTP connection that answers a request over a limit with 431, 408, 400 or 503, and then closes.

    `is_one_too_many`: its first and only answer is 503.
    """

    def __init__(self, connections: Connections, *given: Any, is_one_too_many: bool = False, **named: Any) -> None:
        super().__init__(*given, **named)
        self._connections, self._is_one_too_many = connections, is_one_too_many
        self._is_in_head, self._head, self._lines, self._unparsed, self._unread = False, 0, 0, 0, 0
        self._is_over = False
        self._until: float | None = None
        self._timer: TimerHandle | None = None

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        """Wait for a request."""
        super().connection_made(transport)
        if self._is_one_too_many:
            self._refuse(HTTPStatus.SERVICE_UNAVAILABLE, "crowded", "too many requests are under way")
            return
        self._connections.waiting[self] = None
        self._wait(self._connections.head_time)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop everything that belongs to the connection."""
        super().connection_lost(exc)
        self._connections.number -= 1
        self._connections.waiting.pop(self, None)
        if self._timer is not None:
            self._timer.cancel()

    def give_way(self) -> None:
        """Close the connection at once, for another client."""
        self._end("crowded")
        self.transport.abort()

    def data_received(self, data: bytes) -> None:
        """Parse received bytes until a limit is passed; drop further ones."""
        self._unset_keepalive_if_required()
        for start in range(0, len(data), _PIECE):
            if self._is_over:
                return
            self._parse(data[start : start + _PIECE] if len(data) > _PIECE else data)

    def _parse(self, piece: bytes) -> None:
        self._unparsed += len(piece)
        try:
            self.parser.feed_data(piece)
        except httptools.HttpParserUpgrade:
            return  # no upgrade is offered: the request is answered as it stands (RFC 9110 §7.8)
        except httptools.HttpParserError:
            self._refuse(HTTPStatus.BAD_REQUEST, "not-http", "this is not HTTP/1.1")
            return
        if self._is_in_head and self._unparsed > MOST_HEAD:
            self._refuse_head()

    def on_message_begin(self) -> None:
        """Begin a request, whose head has a limited size and time."""
        super().on_message_begin()
        self._is_in_head, self._head, self._lines, self._unparsed = True, 0, 0, 0
        self._wait(self._connections.head_time)

    def on_url(self, url: bytes) -> None:
        """Take a piece of the request target."""
        if self._fits(len(url)):
            super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header line."""
        self._lines += 1
        if self._fits(len(name) + len(value)):
            super().on_header(name, value)

    def _fits(self, more: int) -> bool:
        self._head += more
        if self._head > MOST_HEAD or self._lines > MOST_LINES:
            self._refuse_head()
        return not self._is_over

    def on_headers_complete(self) -> None:
        """Start the request; its body has a limited time."""
        self._is_in_head = False
        if not self._is_over and len(self.pipeline) >= MOST_PIPELINED:
            self.give_way()
        if not self._is_over:
            self._wait(self._connections.body_time)
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Take a piece of the body."""
        if not self._is_over:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """End the wait for the client: the request is complete."""
        if not self._is_over:
            super().on_message_complete()
            if not self.flow.write_paused:  # else it still waits for its client to read
                self._rest()

    def on_response_complete(self) -> None:
        """Wait for the client again, unless it sent the next request already."""
        super().on_response_complete()
        if self.cycle.response_complete and not self.transport.is_closing():
            self._connections.waiting[self] = None

    def pause_writing(self) -> None:
        """Start to wait for a client that does not read its answer."""
        super().pause_writing()
        self._connections.waiting[self] = None
        self._unread = self.transport.get_write_buffer_size()
        self._wait(self._connections.body_time)

    def resume_writing(self) -> None:
        """Wait for the rest of the request if there is one; else stop waiting."""
        super().resume_writing()
        if self._is_in_head:
            self._wait(self._connections.head_time)
        elif self.cycle.more_body:
            self._wait(self._connections.body_time)
        else:
            self._rest()

    def _wait(self, seconds: float) -> None:
        """Wait at most so long for the client. A running timer is kept if it ends sooner, which is cheaper."""
        self._until = self.loop.time() + seconds
        if self._timer is not None:
            if self._timer.when() <= self._until:
                return
            self._timer.cancel()
        self._timer = self.loop.call_at(self._until, self._look)

    def _rest(self) -> None:
        """Stop waiting for the client while its request is answered."""
        self._until = None
        if self.cycle is not None and not self.cycle.response_complete:
            self._connections.waiting.pop(self, None)

    def _look(self) -> None:
        self._timer = None
        if self._until is None or self.transport.is_closing():
            return
        left = self._until - self.loop.time()
        if left > 0:
            self._timer = self.loop.call_later(max(left, _SHORTEST), self._look)
        elif self._is_over:
            self.transport.abort()
        else:
            self._too_late()

    def _too_late(self) -> None:
        if self.flow.write_paused:
            unread, self._unread = self._unread, self.transport.get_write_buffer_size()
            if self._unread < unread:
                self._wait(self._connections.body_time)
                return
            self._end("not-read")
            self.transport.abort()
        elif self._is_in_head:
            self._refuse(HTTPStatus.REQUEST_TIMEOUT, "head-too-slow", "the head of the request did not come in time")
        elif self.cycle is None:
            self.transport.close()  # it never asked for anything
        else:
            self._refuse(HTTPStatus.REQUEST_TIMEOUT, "body-too-slow", "the body of the request did not come in time")

    def _refuse_head(self) -> None:
        reason = f"the head of the request has more than {MOST_HEAD} bytes, or than {MOST_LINES} lines"
        self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "head-too-large", reason)

    def _refuse(self, status: HTTPStatus, reason: Refusal, diagnostics: str) -> None:
        """Refuse the request with an OperationOutcome, then close; without an answer if one has begun."""
        if self._is_over:
            return
        is_under_way = self.cycle is not None and not self.cycle.response_complete
        is_answering = is_under_way and (self.cycle.response_started or self._is_in_head)
        self._end(reason)
        if is_answering or self.pipeline:
            self.transport.abort()
            return
        self.transport.write(_refusal(status, diagnostics))
        if self.transport.can_write_eof():  # closed at once, a client that still sends would read a reset only
            self.transport.write_eof()
            self._wait(_LINGER)
        else:
            self.transport.close()

    def _end(self, reason: Refusal) -> None:
        """Stop the connection's work: a request in progress learns that its client is gone."""
        self._is_over = True
        self._connections.waiting.pop(self, None)
        self._connections.refused(reason)
        self._rest()
        if self.cycle is not None:
            self.cycle.disconnected = True
            self.cycle.message_event.set()


def _refusal(status: HTTPStatus, diagnostics: str) -> bytes:
    """Build the answer; its texts are fixed and need no escaping."""
    body = (
        '{"resourceType":"OperationOutcome","issue":[{"severity":"error",'
        f'"code":"{_CODES[status]}","diagnostics":"{diagnostics}"}}]}}'
    )
    again = "retry-after: 1\r\n" if status == HTTPStatus.SERVICE_UNAVAILABLE else ""
    return (
        f"HTTP/1.1 {status.value} {status.phrase}\r\ncontent-type: application/fhir+json\r\n"
        f"content-length: {len(body)}\r\ncache-control: no-store\r\nx-content-type-options: nosniff\r\n"
        f"cross-origin-resource-policy: same-origin\r\n{again}connection: close\r\n\r\n{body}"
    ).encode("ascii")


SPARED: Final = 256  # file descriptors for the feed, AutoScribe, the database and files
MOST: Final = 8_192  # connections: each takes some 20 kB
HANDSHAKE_TIME: Final = 10.0  # seconds
SHUTDOWN_TIME: Final = 2.0  # seconds for a client to agree that a TLS connection ends
_AGAIN: Final = 0.1  # seconds until the next try, after the system refused a connection
_SAY_AGAIN: Final = 60.0  # seconds between two log lines about that


def most_connections() -> int:
    """Raise this process's limit of open files as far as allowed; return how many connections it leaves."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MOST if soft == resource.RLIM_INFINITY else max(SPARED // 4, min(MOST, soft - SPARED))


class Acceptor:
    """Loop that accepts connections while it runs; uvicorn closes it as one of its servers.

    `tls` returns what a new connection is served with, which may change; None serves without TLS.
    """

    def __init__(
        self,
        listener: socket.socket,
        protocol: Callable[..., LimitedHttp],
        connections: Connections,
        tls: Callable[[], ssl.SSLContext] | None = None,
    ) -> None:
        self._listener, self._protocol, self._connections, self._tls = listener, protocol, connections, tls
        self._opening: dict[asyncio.Task[None], None] = {}
        self._said = -_SAY_AGAIN
        listener.setblocking(False)
        self._loop = asyncio.get_running_loop().create_task(self._run())

    def close(self) -> None:
        """Accept no more."""
        self._loop.cancel()
        for task in self._opening:
            task.cancel()

    async def wait_closed(self) -> None:
        """Wait until the loop has ended."""
        await asyncio.gather(self._loop, *self._opening, return_exceptions=True)

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                accepted, _ = await loop.sock_accept(self._listener)
                await self._admit(accepted)
            except Exception as error:  # a server that accepts nobody any more would look alive
                self._say(error)
                await clock.sleep(_AGAIN)

    async def _admit(self, accepted: socket.socket) -> None:
        self._connections.number += 1
        is_one_too_many = self._connections.number > self._connections.most and not self._make_room()
        opening = self._open(accepted, is_one_too_many=is_one_too_many)
        if self._tls is None:
            await opening  # it waits for nobody
        else:
            task = asyncio.get_running_loop().create_task(opening)
            self._opening[task] = None
            task.add_done_callback(self._opening.pop)
            await asyncio.sleep(0)

    def _make_room(self) -> bool:
        """Drop the oldest connection that waits for its client; False if all are busy."""
        if (oldest := next(iter(self._opening), None)) is not None:
            return oldest.cancel()
        return self._connections.make_room()

    async def _open(self, accepted: socket.socket, *, is_one_too_many: bool) -> None:
        """Create the connection for an accepted socket, and count it until it is closed."""
        loop = asyncio.get_running_loop()

        made = self._protocol(is_one_too_many=is_one_too_many)
        tls = self._tls and self._tls()
        times = {"ssl_handshake_timeout": HANDSHAKE_TIME, "ssl_shutdown_timeout": SHUTDOWN_TIME}
        try:
            await loop.connect_accepted_socket(lambda: made, accepted, ssl=tls, **(times if tls else {}))
        except (OSError, asyncio.CancelledError) as error:  # ssl.SSLError and TimeoutError are OSErrors
            if made.transport is None:  # else the connection was made, and counts until it is lost
                accepted.close()
                self._connections.number -= 1
                self._connections.refused("tls-failed")
            if isinstance(error, asyncio.CancelledError):
                raise

    def _say(self, error: Exception) -> None:
        if clock.monotonic() - self._said >= _SAY_AGAIN:
            self._said = clock.monotonic()
            get_logger().error("connection-not-accepted", exc_info=error)
