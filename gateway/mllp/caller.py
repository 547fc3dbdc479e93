"""Incoming MLLP connection: read frames, write answers; listener.py closes it.

RFC 9293 (TCP): its end of stream and reset, as asyncio's protocol callbacks report them; the bytes go through the
framing of gateway/mllp/framing.py. Frames that came before a reset are still returned.
"""

from __future__ import annotations

import asyncio
import select
from collections import deque
from typing import Final, cast

from gateway.mllp.connection import CLOSE_WAIT
from gateway.mllp.framing import Decoder, Event
from gateway.mllp.link import link
from gateway.mllp.peer import abort, keep_alive
from gateway.runtime import clock

AHEAD: Final = 64  # frames that may wait here; beyond it, reading from the socket pauses
UNHEARD: Final = 65_536  # bytes of answers that the peer may leave unread


class Caller(asyncio.Protocol):
    """Protocol of one connection that a peer opened, usable once `connection_made` was called.

    `active` is when a byte last came or an answer was last written, by the monotonic clock.
    """

    _transport: asyncio.Transport | None = None

    def __init__(self, max_bytes: int) -> None:
        self._decoder = Decoder(max_bytes)
        self._brought: deque[Event] = deque()
        self._news = asyncio.Event()
        self._gone = asyncio.Event()
        self._is_over = False
        self.active = clock.monotonic()

    @property
    def is_between(self) -> bool:
        """True between two messages: none is arriving, and no answer waits to be read by the peer."""
        transport = self._transport
        if transport is None:
            return True
        if self._brought or self._decoder.is_inside or transport.get_write_buffer_size():
            return False
        return not _has_unread(transport.get_extra_info("socket").fileno())

    @property
    def where(self) -> str:
        """Description of the connection in JSON, stored with what came over it (gateway/mllp/link.py)."""
        return link(self._transport.get_extra_info, by="receiver") if self._transport is not None else ""

    async def next(self) -> Event | None:
        """Wait for the next frame or framing error and return it; None when the peer sends no more."""
        while not self._brought:
            if self._is_over:
                return None
            self._news.clear()
            await self._news.wait()
        event = self._brought.popleft()
        if self._transport is not None and not self._brought:
            self._transport.resume_reading()
        return event

    def say(self, data: bytes) -> bool:
        """Write to the peer; return False if the connection is closing or the peer leaves too many answers unread."""
        if self._transport is None or self._transport.is_closing():
            return False
        self._transport.write(data)
        self.active = clock.monotonic()
        return self._transport.get_write_buffer_size() <= UNHEARD

    async def close(self) -> None:
        """Close the connection gracefully; abort it if the peer takes longer than two seconds."""
        if self._transport is None:
            return
        self._transport.close()
        try:
            async with asyncio.timeout(CLOSE_WAIT):
                await self._gone.wait()
        except TimeoutError:
            abort(self._transport)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Store the new connection (asyncio callback)."""
        self._transport = cast(asyncio.Transport, transport)
        keep_alive(transport.get_extra_info("socket"))

    def data_received(self, data: bytes) -> None:
        """Decode received bytes, and pause reading while too many frames wait (asyncio callback)."""
        self.active = clock.monotonic()
        self._add(self._decoder.feed(data))
        if self._transport is not None and len(self._brought) > AHEAD:
            self._transport.pause_reading()

    def eof_received(self) -> bool:
        """Note that the peer sends no more (asyncio callback); return True if it can still be answered (no TLS)."""
        self._end()
        return self._transport is not None and self._transport.get_extra_info("sslcontext") is None

    def connection_lost(self, _: Exception | None) -> None:
        """Note that the connection is gone (asyncio callback)."""
        self._end()
        self._gone.set()

    def _end(self) -> None:
        self._is_over = True
        self._add(self._decoder.close())

    def _add(self, events: list[Event]) -> None:
        self._brought.extend(events)
        self._news.set()


def _has_unread(descriptor: int) -> bool:
    """Return True if the socket has bytes, an end or an error that the event loop has not read yet."""
    if descriptor < 0:
        return False
    arrivals = select.poll()
    arrivals.register(descriptor, select.POLLIN)
    return bool(arrivals.poll(0))
