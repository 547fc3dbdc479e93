"""HTTP client connections that stop writing when the permit (this process's right to send) ends.

https://www.encode.io/httpcore/network-backends/; RFC 9112 §8 (a request with an incomplete body is not processed);
decision D33. The permit is checked in the step that hands bytes to the network; large requests go in parts.
Proved by tests/gateway/feed/deliver/test_http_channel.py.
"""

from __future__ import annotations

import math
import socket
import ssl
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import httpcore
import httpx

from gateway.mllp.peer import PART, forget_unsent, give_up_after, unacknowledged
from gateway.mllp.permit import Permit

_IDLE: Final = 5.0  # seconds after which the library closes a connection that was not used


class Wire:
    """State of one request: how much was written, and whether the receiver's machine has all of it."""

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
        """Check the permit, then note that bytes go out on a socket while the block runs.

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
        """Note that the receiver answers, so that it must have the whole request."""
        self._is_taken = self._is_taken or self._permit.is_in_time

    def allow(self, left: float) -> bool:
        """Let the written bytes leave for `left` more seconds; at 0, drop the rest and return False if any remained."""
        is_out = self.has_written and not self.is_writing and not (self._socket and unacknowledged(self._socket))
        self._is_taken = self._is_taken or (is_out and self._permit.is_in_time)
        if left <= 0 and self._socket is not None and not is_out and not self._is_taken:
            forget_unsent(self._socket)
        return left > 0 or is_out or self._is_taken


class _Stream(httpcore.AsyncNetworkStream):
    """Connection wrapper: the library writes through it, and it checks the permit."""

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
    """Factory of the wrapped connections."""

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
    """Transport of the library over connections that write under a permit."""

    def __init__(self, context: ssl.SSLContext, wire: Wire) -> None:
        super().__init__(verify=context, trust_env=False)
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=context, network_backend=_Backend(wire), keepalive_expiry=_IDLE
        )
