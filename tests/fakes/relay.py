"""Connection between a client and a server that can be cut and restored: a server that goes away and comes back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from fakes.listening import listening


class Relay:
    """Relay of bytes to a server of this machine, from a port of its own."""

    def __init__(self, port: int) -> None:
        self._to, self.port = port, 0
        self._open: AsyncExitStack | None = None
        self._flows = asyncio.Event()
        self._flows.set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        await self.mend()
        try:
            yield
        finally:
            await self.cut()

    def freeze(self) -> None:
        """Stop relaying silently: connections are accepted and stay open."""
        self._flows.clear()

    def thaw(self) -> None:
        """Relay the bytes held back, and all later ones."""
        self._flows.set()

    async def mend(self) -> None:
        """Accept connections, always on the same port."""
        self._open = AsyncExitStack()
        self.port = await self._open.enter_async_context(listening(self._accept, self.port))

    async def cut(self) -> None:
        """Break all connections, and refuse new ones."""
        self.thaw()
        if self._open is not None:
            await self._open.aclose()
            self._open = None

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        behind, onward = await asyncio.open_connection("127.0.0.1", self._to)
        await asyncio.gather(self._pass(reader, onward), self._pass(behind, writer))

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                await self._flows.wait()
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.transport.abort()
