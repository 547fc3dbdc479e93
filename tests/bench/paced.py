"""Load at a fixed rate: each request has a scheduled time, independent of earlier answers.

RFC 9112 over connections that stay open; what a client waits for that has no say in how busy the server is. The client
shares the machine with the gateway, so it is a thread over bare sockets, which costs a tenth of a read.
"""

from __future__ import annotations

import asyncio
import select
import socket
import time
from collections import deque
from collections.abc import Sequence
from contextlib import ExitStack, nullcontext
from urllib.parse import urlsplit

from bench.machine import ASKING, on_core

CONNECTIONS, PATIENCE = 16, 30.0  # and seconds for an answer


class _Connection:
    """Connection that carries one request at a time, with the moment at which it became free."""

    def __init__(self, host: str, port: int) -> None:
        self._socket = socket.create_connection((host, port), timeout=PATIENCE)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._answer, self._size = b"", 0
        self.due, self.free_since = 0.0, 0.0

    def fileno(self) -> int:
        return self._socket.fileno()

    def ask(self, request: bytes, due: float) -> None:
        self._answer, self._size, self.due = b"", 0, due
        self._socket.sendall(request)

    def is_answered(self) -> bool:
        """Read what has come; tell whether the answer is whole."""
        more = self._socket.recv(1 << 18)
        assert more, "the gateway closed a connection"
        self._answer += more
        if not self._size and (end := self._answer.find(b"\r\n\r\n")) > 0:
            head = self._answer[:end].lower()
            assert head.startswith(b"http/1.1 200"), head
            self._size = end + 4 + int(head.partition(b"content-length:")[2].partition(b"\r")[0])
        return bool(self._size) and len(self._answer) >= self._size

    def close(self) -> None:
        self._socket.close()


def _ask(base: str, targets: Sequence[str], rate: float, seconds: float, own: list[float]) -> list[float]:
    url = urlsplit(base)
    end = f" HTTP/1.1\r\nHost: {url.netloc}\r\nAccept: application/fhir+json\r\n\r\n"
    requests = [f"GET {url.path}/{target}{end}".encode() for target in targets]
    with ExitStack() as stack:
        every = [_Connection(str(url.hostname), int(url.port or 80)) for _ in range(CONNECTIONS)]
        for connection in every:
            stack.callback(connection.close)
        return _times(every, requests, rate, int(rate * seconds), own)


def _times(
    every: Sequence[_Connection], requests: Sequence[bytes], rate: float, count: int, own: list[float]
) -> list[float]:
    """Send so many requests at the rate; return the time of each, counted from its scheduled time."""
    free, asked, late, sent = deque(every), set[_Connection](), list[float](), 0
    begun = time.perf_counter()
    while len(late) < count:
        while free and sent < count and (due := sent / rate) <= (now := time.perf_counter() - begun):
            connection = free.popleft()
            own.append(now - max(due, connection.free_since))
            connection.ask(requests[sent % len(requests)], due)
            asked.add(connection)
            sent += 1
        wait = max(0.0, sent / rate - (time.perf_counter() - begun)) if free and sent < count else PATIENCE
        ready = select.select(asked, (), (), wait)[0]
        assert ready or wait < PATIENCE, f"no answer for {PATIENCE:g} s"
        for connection in ready:
            if connection.is_answered():
                connection.free_since = time.perf_counter() - begun
                late.append(connection.free_since - connection.due)
                asked.remove(connection)
                free.append(connection)
    return late


async def latencies(
    base: str,
    targets: Sequence[str],
    rate: float,
    seconds: float,
    *,
    is_pinned: bool = True,
    own: list[float] | None = None,
) -> list[float]:
    """Return the latency of each request in seconds, counted from its scheduled time.

    Unless it `is_pinned` to a core, this client uses every core. `own` gets by how much the client itself was late.
    """

    def ask() -> list[float]:
        with on_core(ASKING) if is_pinned else nullcontext():
            return _ask(base, targets, rate, seconds, [] if own is None else own)

    return await asyncio.to_thread(ask)
