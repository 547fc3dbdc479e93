"""Raw TCP connection of the test receiver: write, reset, half-close, or stay silent, as a behavior says.

RFC 9293 (TCP): reset (§3.5.2), half-close (§3.6), a window that stays shut (§3.8.6). With TLS, the operations apply to
the TCP connection below it.
Proved by tests/gateway/sandbox/test_answer_manners.py.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import Final, cast

from gateway.mllp.peer import abort
from gateway.runtime import clock

READ_BYTES: Final = 65_536
CLOSE_WAIT: Final = 1.0

# Smallest receive buffer; the kernel doubles the value. Further bytes stay in the sender's buffer.
SMALL_WINDOW: Final = 1_024

# l_onoff = 1, l_linger = 0: closing drops unsent bytes and sends RST, instead of FIN after the last byte.
_LINGER_NOT: Final = struct.pack("ii", 1, 0)


class RawConnection:
    """Connection that reads and writes raw bytes; `over` is True once this side has ended it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._transport = cast(asyncio.Transport, writer.transport)
        self._said_all = False
        self.over = False

    @property
    def writable(self) -> bool:
        """True if this side may still write and, as far as is known, the sender is still connected."""
        return not (self.over or self._said_all or self._transport.is_closing())

    async def read(self, most: int = READ_BYTES) -> bytes:
        """Read the next bytes; b"" if the sender has finished or the connection is over.

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
        """Send FIN and keep reading; with TLS, where asyncio has no half-close, close the connection."""
        self._said_all = True
        if self._writer.can_write_eof():
            self._writer.write_eof()
        else:
            self.over = True

    def reset(self) -> None:
        """Send RST at once."""
        self.over = True
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
        abort(self._transport)

    def narrow(self) -> None:
        """Shrink the receive buffer, so that the sender's window shuts soon when nothing is read."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_WINDOW)

    async def fall_silent(self, seconds: float) -> None:
        """Neither read nor write for `seconds`, so that not even FIN is noticed; then send RST."""
        self._transport.pause_reading()
        await clock.sleep(seconds)
        self.reset()

    async def close(self) -> None:
        """Send FIN after the last byte; wait at most a second for the sender."""
        self.over = True
        self._writer.close()
        try:
            async with asyncio.timeout(CLOSE_WAIT):
                await self._writer.wait_closed()
        except (OSError, TimeoutError):
            abort(self._transport)

    def abort(self) -> None:
        """Drop the connection without waiting."""
        self.over = True
        abort(self._transport)

    @property
    def _socket(self) -> socket.socket:
        return cast(socket.socket, self._writer.get_extra_info("socket"))
