"""Write the head of an answer together with the bytes that follow it, in one call of the system.

RFC 9112 §2.1: an answer is its head, then its body. uvicorn writes one after the other. Each write takes a call of the
system, and wakes the client.
"""

from __future__ import annotations

from asyncio import AbstractEventLoop, Transport
from typing import Final

_HEAD: Final = b"HTTP/1.1 "
_MOST: Final = 64 * 1024  # bytes that are worth a copy


class AnswerWriter:
    """Writer of answers to a transport. A head is kept until the next write, at most for one turn of the loop.

    An answer that is complete has to be flushed: nothing may be written to the transport before it.
    """

    def __init__(self, transport: Transport, loop: AbstractEventLoop) -> None:
        self._transport, self._loop = transport, loop
        self._head = b""
        self._is_over = False

    def is_closing(self) -> bool:
        """True if the transport is closing or closed."""
        return self._transport.is_closing()

    def write(self, data: bytes | memoryview) -> None:
        """Write the head of an answer, or a part of its body."""
        if self._is_over:
            return
        if self._head and len(data) <= _MOST:
            head, self._head = self._head, b""
            self._transport.write(head + data)
        elif data[: len(_HEAD)] == _HEAD:
            self.flush()
            self._head = bytes(data)
            self._loop.call_soon(self.flush)
        else:
            self.flush()
            self._transport.write(data)

    def end(self) -> None:
        """Write what is kept, and drop what comes later."""
        self.flush()
        self._is_over = True

    def close(self) -> None:
        """Close the transport behind what was written."""
        self.flush()
        self._transport.close()

    def flush(self) -> None:
        """Write a head that is kept."""
        if self._head:
            head, self._head = self._head, b""
            self._transport.write(head)
