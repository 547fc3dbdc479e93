"""One open connection from a sender, with what a peer that misbehaves does to it.

RFC 9293 (TCP): reset (§3.5.2), half-close (§3.6), a window that stays shut (§3.8.6); under TLS the same is done to the
connection beneath.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import Final, cast

from gateway.runtime import clock

READ_BYTES: Final = 65_536
CLOSE_WAIT: Final = 1.0

# The least that the kernel takes; it doubles it. What a sender writes beyond stays with the sender.
SMALL_WINDOW: Final = 1_024

# l_onoff = 1, l_linger = 0: closing sends RST and drops what is unsent, where else FIN would follow the last byte.
_LINGER_NOT: Final = struct.pack("ii", 1, 0)


class Line:
    """Reads and writes bytes as they are; `over` says whether this side has ended the connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._transport = cast(asyncio.Transport, writer.transport)
        self._said_all = False
        self.over = False

    @property
    def writable(self) -> bool:
        """Whether this side may still say something and, as far as is known, the sender is there to hear it."""
        return not (self.over or self._said_all or self._transport.is_closing())

    async def read(self, most: int = READ_BYTES) -> bytes:
        """The next bytes; b"" if the sender sends no more or the connection is over.

        Raises:
            OSError: the connection is lost.
        """
        return b"" if self.over else await self._reader.read(most)

    async def send(self, data: bytes) -> None:
        """Write bytes, unless this side has closed.

        Raises:
            OSError: the connection is lost.
        """
        if not self.over and not self._said_all:
            self._writer.write(data)
            await self._writer.drain()

    def half_close(self) -> None:
        """Send FIN and read on. TLS has no such thing in asyncio: there the connection is closed."""
        self._said_all = True
        if self._writer.can_write_eof():
            self._writer.write_eof()
        else:
            self.over = True

    def reset(self) -> None:
        """Send RST, at once."""
        self.over = True
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
        self._transport.abort()

    def narrow(self) -> None:
        """Have the kernel take as little as it can of what nobody reads, so that the sender's window shuts soon."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_WINDOW)

    async def fall_silent(self, seconds: float) -> None:
        """Keep the socket and neither read nor write, so that not even FIN is noticed; RST when the time is up."""
        self._transport.pause_reading()
        await clock.sleep(seconds)
        self.reset()

    async def close(self) -> None:
        """Send FIN after the last byte, waiting for the sender no longer than a second."""
        self.over = True
        self._writer.close()
        try:
            async with asyncio.timeout(CLOSE_WAIT):
                await self._writer.wait_closed()
        except (OSError, TimeoutError):
            self._transport.abort()

    def abort(self) -> None:
        """Drop the connection without waiting."""
        self.over = True
        self._transport.abort()

    @property
    def _socket(self) -> socket.socket:
        return cast(socket.socket, self._writer.get_extra_info("socket"))
