"""Receiver that delivers acknowledgements over a connection of its own, and the answers it gets."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from gateway.mllp.framing import Decoder, Frame, encode
from mappings.hl7v2.ack import Ack, parse


def ack(control_id: str = "ID1", code: str = "AA", *, asks: str = "AL", error: str = "") -> bytes:
    """Make an application acknowledgement with that MSA-1 and -2, MSH-15, and ERR-3."""
    err = f"ERR|||{error}^text^HL70357|E\r" if error else ""
    msh = f"MSH|^~\\&|EHR|B|GW|A|20260105||ACK^R01^ACK|BY-{control_id}|P|2.5.1|||{asks}\r"
    return f"{msh}MSA|{code}|{control_id}\r{err}".encode()


class Bringing:
    """Connection that delivers acknowledgements."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self.writer = reader, writer
        self._decoder, self._told = Decoder(10_000), list[Ack]()

    async def bring(self, *contents: bytes) -> None:
        """Write these contents as frames."""
        await self.write(b"".join(map(encode, contents)))

    async def write(self, data: bytes) -> None:
        """Write bytes unchanged."""
        self.writer.write(data)
        await self.writer.drain()

    async def told(self, within: float = 60) -> Ack | None:
        """Return the next answer; None if the connection is closed instead."""
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
    """Connect to the listener for acknowledgements, once it is up."""
    async with asyncio.timeout(60):  # a service starts slowly on a loaded machine
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
        if tls is not None:  # its end takes some turns of the loop, which may be the last ones of a test
            with suppress(OSError):
                await writer.wait_closed()
