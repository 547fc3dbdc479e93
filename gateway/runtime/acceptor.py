"""Accept HTTP connections on a listening socket, as many as the process has file descriptors for, and no more.

https://docs.python.org/3/library/asyncio-eventloop.html#asyncio.loop.connect_accepted_socket; decision D40. A new
connection takes the place of the one that has waited longest for its client: in a TLS handshake, or for a request.
"""

from __future__ import annotations

import asyncio
import resource
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from gateway.runtime import clock
from gateway.runtime.http_connection import Connections, LimitedHttp
from gateway.runtime.log import get_logger

SPARED: Final = 256  # file descriptors for the feed, AutoScribe, the database and files
MOST: Final = 8_192  # connections: each takes some 20 kB
HANDSHAKE_TIME: Final = 10.0  # seconds
SHUTDOWN_TIME: Final = 2.0  # seconds for a client to agree that a TLS connection ends
_AGAIN: Final = 0.1  # seconds until the next try, after the system refused a connection
_SAY_AGAIN: Final = 60.0  # seconds between two log lines about that


def most_connections() -> int:
    """Raise this process's limit of open files as far as it may; return how many connections fit below it."""
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
        """Give up the oldest connection that waits for its client; False if all are busy."""
        if (oldest := next(iter(self._opening), None)) is not None:
            return oldest.cancel()
        return self._connections.make_room()

    async def _open(self, accepted: socket.socket, *, is_one_too_many: bool) -> None:
        """Make a connection of an accepted socket, and count it until it is closed."""
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
