"""Answer of a few bytes that decode to 64 MB, a server that gives it, and a limit of the memory that reading takes."""

from __future__ import annotations

import asyncio
import gzip
import tracemalloc
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache

from fakes.listening import listening

DECODED = 64 * 2**20
_PART = 16_384
MOST = 2**20  # bytes of memory that reading any answer may take


@cache
def bomb() -> bytes:
    """Return zeros, compressed with gzip twice."""
    packed = gzip.compress(gzip.compress(bytes(DECODED)))
    assert len(packed) < 1_000
    return packed


@dataclass
class Bomber:
    """Port of the server, the heads of its requests, and the head and body of each answer."""

    head: bytes
    body: bytes
    port: int = 0
    asked: list[bytes] = field(default_factory=list)
    closed: asyncio.Event = field(default_factory=asyncio.Event)

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.asked.append(await reader.readuntil(b"\r\n\r\n"))
        with suppress(ConnectionError):  # the client closed it with bytes left to read
            for part in (self.head, b"\r\n\r\n", self.body):
                for start in range(0, len(part), _PART):
                    writer.write(part[start : start + _PART])
                    await writer.drain()
            while await reader.read(_PART):
                pass
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()
        self.closed.set()


@asynccontextmanager
async def bombing(status: str = "200 OK", head: str = "", body: bytes | None = None) -> AsyncIterator[Bomber]:
    """Run a server that answers a request with a bomb, or else with that head and body, until the client closes it."""
    packed = bomb() if body is None else body
    lines = [f"HTTP/1.1 {status}", head or f"Content-Encoding: gzip, gzip\r\nContent-Length: {len(packed)}"]
    bomber = Bomber("\r\n".join(lines).encode(), packed)
    async with listening(bomber.answer) as bomber.port:
        yield bomber
        await asyncio.wait_for(bomber.closed.wait(), 60)


@contextmanager
def memory_stays() -> Iterator[None]:
    """Fail if the block takes more than `MOST` bytes at any time."""
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        yield
        taken = tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
    assert taken <= MOST, f"{taken / 2**20:.1f} MB"
