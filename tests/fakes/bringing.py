"""A receiver that opens a connection of its own and brings acknowledgements over it; what it is told in turn."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from gateway.mllp.framing import Decoder, Frame, encode
from mappings.hl7v2.ack import Ack, parse


def free_address() -> tuple[str, int]:
    """An address of this machine on which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return "127.0.0.1", int(listener.getsockname()[1])


def ack(control_id: str = "ID1", code: str = "AA", *, asks: str = "AL", error: str = "") -> bytes:
    """An application acknowledgement with that MSA-1 and -2, MSH-15, and ERR-3."""
    err = f"ERR|||{error}^text^HL70357|E\r" if error else ""
    msh = f"MSH|^~\\&|EHR|B|GW|A|20260105||ACK^R01^ACK|BY-{control_id}|P|2.5.1|||{asks}\r"
    return f"{msh}MSA|{code}|{control_id}\r{err}".encode()


class Bringing:
    """A connection on which acknowledgements are brought."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self.writer = reader, writer
        self._decoder, self._told = Decoder(10_000), list[Ack]()

    async def bring(self, *contents: bytes) -> None:
        """Write these as frames."""
        await self.write(b"".join(map(encode, contents)))

    async def write(self, data: bytes) -> None:
        """Write bytes as they are."""
        self.writer.write(data)
        await self.writer.drain()

    async def told(self, within: float = 10.0) -> Ack | None:
        """The next answer; None where the connection is closed instead."""
        async with asyncio.timeout(within):
            while not self._told:
                try:
                    data = await self._reader.read(65_536)
                except ConnectionResetError:  # it was closed while bytes were on their way
                    return None
                if not data:
                    return None
                self._told += [parse(one.payload) for one in self._decoder.feed(data) if isinstance(one, Frame)]
        return self._told.pop(0)


@asynccontextmanager
async def bringing(address: tuple[str, int], tls: ssl.SSLContext | None = None) -> AsyncIterator[Bringing]:
    """A connection to where acknowledgements are taken, once somebody listens there."""
    async with asyncio.timeout(10):
        while True:
            try:
                reader, writer = await asyncio.open_connection(*address, ssl=tls)
                break
            except ConnectionRefusedError:
                await asyncio.sleep(0.02)
    try:
        yield Bringing(reader, writer)
    finally:
        writer.close()
