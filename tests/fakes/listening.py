"""Servers of tests that leave no connection behind, not even one that came as they closed."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

_Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
_STEPS = 3  # of the loop, from the system's connection to the server's


@asynccontextmanager
async def listening(serve: _Serve, port: int = 0, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """Yield the port of a server; when left, it cancels what serves, and breaks each connection.

    A connection is known from its first moment, before `serve` runs: asyncio would cancel a task that has not begun,
    and leave its connection open.
    """
    open_now: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(serve(reader, writer))
        open_now[task] = writer

    server = await asyncio.start_server(accept, "127.0.0.1", port, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for _ in range(_STEPS):
            await asyncio.sleep(0)
        for task, writer in open_now.items():
            task.cancel()
            writer.transport.abort()
        ended = await asyncio.gather(*open_now, return_exceptions=True)
        await asyncio.sleep(0)
    for error in ended:
        if isinstance(error, Exception):
            raise error
