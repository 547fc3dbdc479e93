"""Send messages by HTTP POST; the answer is an HL7 acknowledgement or only an HTTP status.

https://hapifhir.github.io/hapi-hl7v2/hapi-hl7overhttp/specification.html §2 (request), §3 (response); RFC 9110 §15;
https://www.encode.io/httpcore/network-backends/; RFC 9112 §8 (a request with an incomplete body is not processed);
decision D33. A status without an acknowledgement is read as one: AR if the server may accept the message later, AE if
the message is at fault. The permit (this process's right to send) is checked in the step that hands bytes to the
network; large requests go in parts.
"""

from __future__ import annotations

import asyncio
import base64
import math
import socket
import ssl
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from http import HTTPStatus
from typing import Any, Final

import httpcore
import httpx

from gateway.feed.payload import Acknowledgement, PayloadKind, acknowledged
from gateway.mllp.link import link, towards
from gateway.mllp.peer import PART, forget_unsent, give_up_after, reason, unacknowledged
from gateway.mllp.permit import Permit, PermitEnded
from gateway.routing import Basic, Bearer, Http
from gateway.runtime.errors import AckTimeout, AckUnreadable, ConnectFailed, ConnectionLost, FeedError, SendFailed
from gateway.runtime.tls import SHOWN, tls_context
from gateway.store.feed.messages import Head
from mappings.profile import Receiver

_IDLE: Final = 5.0  # seconds after which the library closes a connection that was not used


class Wire:
    """Progress of one request: what was written, and if the receiver's machine has all of it."""

    def __init__(self, permit: Permit) -> None:
        self._permit = permit
        self._socket: socket.socket | None = None
        self._is_taken = False
        self.has_written = self.is_writing = False

    @property
    def is_late(self) -> bool:
        """True if some of the request may have left after the permit ended."""
        return self.has_written and not self._is_taken and not self._permit.is_in_time

    def begin(self) -> None:
        """Reset the state for a new request."""
        self.has_written = self.is_writing = self._is_taken = False

    @contextmanager
    def writing(self, sock: socket.socket | None) -> Iterator[None]:
        """Check the permit; then note that bytes are being written while the block runs.

        Raises:
            PermitEnded: the permit is over.
        """
        left = self._permit.left
        self._permit.check()
        self._socket, self._is_taken = sock, False
        self.has_written = self.is_writing = True
        if sock is not None and not math.isinf(left):
            give_up_after(sock, left)
        yield
        self.is_writing = False

    def answered(self) -> None:
        """Note that the receiver answers, which means that it has the whole request."""
        self._is_taken = self._is_taken or self._permit.is_in_time

    def allow(self, left: float) -> bool:
        """Let the written bytes leave for `left` more seconds; at 0, drop the rest and return False if any remained."""
        is_out = self.has_written and not self.is_writing and not (self._socket and unacknowledged(self._socket))
        self._is_taken = self._is_taken or (is_out and self._permit.is_in_time)
        if left <= 0 and self._socket is not None and not is_out and not self._is_taken:
            forget_unsent(self._socket)
        return left > 0 or is_out or self._is_taken


class _Stream(httpcore.AsyncNetworkStream):
    """Network stream for the HTTP library that writes only under the permit."""

    def __init__(self, inner: httpcore.AsyncNetworkStream, wire: Wire) -> None:
        self._inner, self._wire = inner, wire

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return await self._inner.read(max_bytes, timeout)

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        for start in range(0, len(buffer), PART):
            with self._wire.writing(self.get_extra_info("socket")):
                await self._inner.write(buffer[start : start + PART], timeout)

    async def aclose(self) -> None:
        await self._inner.aclose()

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.AsyncNetworkStream:
        return _Stream(await self._inner.start_tls(ssl_context, server_hostname, timeout), self._wire)

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


class _Backend(httpcore.AsyncNetworkBackend):
    """Open network streams for the HTTP library that write only under the permit."""

    def __init__(self, wire: Wire) -> None:
        self._inner, self._wire = httpcore.AnyIOBackend(), wire

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        return _Stream(await self._inner.connect_tcp(host, port, timeout, local_address, socket_options), self._wire)


class WireTransport(httpx.AsyncHTTPTransport):
    """Transport for the HTTP library whose connections write only under the permit."""

    def __init__(self, context: ssl.SSLContext, wire: Wire) -> None:
        super().__init__(verify=context, trust_env=False)
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=context, network_backend=_Backend(wire), keepalive_expiry=_IDLE
        )


_MOST: Final = 65_536
_LATER: Final = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS})
# Error of the client library -> our error, which says how much of the message the receiver may have
_FAILURES: Final[tuple[tuple[type[httpx.HTTPError], type[FeedError]], ...]] = (
    (httpx.ConnectTimeout, ConnectFailed),
    (httpx.PoolTimeout, ConnectFailed),
    (httpx.ConnectError, ConnectFailed),
    (httpx.WriteTimeout, SendFailed),
    (httpx.WriteError, SendFailed),
    (httpx.ReadTimeout, AckTimeout),
    (httpx.HTTPError, ConnectionLost),
)


class HttpChannel:
    """Channel to one URL; it follows no redirects, and ignores proxies that the environment names."""

    def __init__(self, transport: Http, receiver: Receiver, payload: PayloadKind, permit: Permit) -> None:
        self._transport, self._payload, self._permit, self._wire = transport, payload, permit, Wire(permit)
        content_type = payload.content_type(transport.style, receiver)
        self._headers = {"Content-Type": content_type, "Accept-Encoding": "identity", **_authorization(transport)}
        self._client: httpx.AsyncClient | None = None
        self.where, self.received = towards(str(transport)), b""

    @property
    def is_late(self) -> bool:
        """True if some of the request may have left after the permit ended, as `Channel.is_late`."""
        return self._wire.is_late

    async def exchange(self, head: Head) -> Acknowledgement | None:
        """Post a message and return its acknowledgement, as `Channel.exchange`."""
        client = self._client = self._client or self._opened()
        where = str(self._transport.endpoint)
        seconds = self._transport.connect_timeout + self._transport.ack_timeout
        self.where, self.received = towards(str(self._transport)), b""
        self._wire.begin()
        try:
            async with asyncio.timeout(seconds) as timeout:
                with self._permit.watched(partial(self._allow, timeout)):
                    request = client.stream("POST", self._transport.url, content=head.body, headers=self._headers)
                    async with request as answer:
                        self._wire.answered()
                        stream = answer.extensions["network_stream"]
                        SHOWN.note(where, stream.get_extra_info("ssl_object"))
                        self.where = link(stream.get_extra_info)
                        body = self.received = b"".join([part async for part in _bounded(answer, where)])
        except PermitEnded:  # the server does not process an incomplete request
            self._wire.begin()
            await self.close()
            raise
        except TimeoutError:  # for the whole exchange; the library's own timeouts run between two bytes
            await self.close()
            if not self._wire.has_written:
                self._permit.check()
            late = f"after {seconds:g} s"
            raise (SendFailed if self._wire.is_writing else AckTimeout)(where, late) from None
        except httpx.HTTPError as error:
            kind = next(made for raised, made in _FAILURES if isinstance(error, raised))
            await self.close()
            raise kind(where, reason(error)) from None
        return self._read(head, answer.status_code, body, where)

    def _allow(self, timeout: asyncio.Timeout, left: float) -> None:
        """Let written bytes leave for `left` more seconds; at 0, stop the exchange if the request has not left."""
        if not self._wire.allow(left) and not timeout.expired():
            timeout.reschedule(0)

    async def rest(self) -> None:
        """Do nothing: the library closes idle connections."""

    async def close(self) -> None:
        """Close the connections."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    def _opened(self) -> httpx.AsyncClient:
        transport = self._transport
        verify = tls_context(transport.tls, transport.url) if transport.tls else ssl.create_default_context()
        timeout = httpx.Timeout(transport.ack_timeout, connect=transport.connect_timeout)
        by = WireTransport(verify, self._wire)
        return httpx.AsyncClient(transport=by, timeout=timeout, trust_env=False, follow_redirects=False)

    def _read(self, head: Head, status: int, body: bytes, where: str) -> Acknowledgement | None:
        """Read the acknowledgement in the answer; without one, make it from the HTTP status."""
        ack = acknowledged(self._payload, body)
        if ack is not None and ack.control_id == head.control_id:
            return ack
        if not HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
            is_later = status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in _LATER
            return Acknowledgement("AR" if is_later else "AE", head.control_id, errors=(str(status),))
        if self._transport.style == "hoh" or ack is not None:
            raise AckUnreadable(where, "no acknowledgement of this message in the answer")
        return None


async def _bounded(answer: httpx.Response, where: str) -> AsyncIterator[bytes]:
    """Yield the body undecoded, up to a limit: decoded, a few bytes of gzip could fill the memory."""
    size = 0
    async for part in answer.aiter_raw():
        size += len(part)
        if size > _MOST:
            raise AckUnreadable(where, f"more than {_MOST} bytes")
        yield part


def _authorization(transport: Http) -> dict[str, str]:
    auth = transport.auth
    if isinstance(auth, Bearer):
        return {"Authorization": f"Bearer {auth.token}"}
    if isinstance(auth, Basic):
        secret = base64.b64encode(f"{auth.user}:{auth.password}".encode()).decode()  # RFC 7617 §2
        return {"Authorization": f"Basic {secret}"}
    return {}
