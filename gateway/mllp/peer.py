"""Outgoing connection to an MLLP receiver: read frames, write bytes, and track how much has been written.

RFC 9293 (TCP): its end of stream, reset and keep-alive, as asyncio's protocol callbacks report them; RFC 5482 (user
timeout); the bytes go through the framing of gateway/mllp/framing.py. Bytes are written only under a permit (D33).
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import re
import select
import socket
import ssl
import struct
import sys
import termios
from collections import deque
from contextlib import suppress
from typing import Any, Final, cast

from gateway.mllp.framing import Decoder, Event
from gateway.mllp.permit import Permit
from gateway.runtime import clock

# Most frames that may wait here; a peer that sends more counts as flooding.
UNASKED_LIMIT: Final = 64

# Idle time in seconds before TCP probes whether the peer is still there: well under the 10 minutes after which
# firewalls and cloud networks silently drop an idle connection. Then one probe every 15 s; after 4 the peer is dead.
KEEPALIVE_IDLE: Final = 180
KEEPALIVE_INTERVAL: Final = 15
KEEPALIVE_PROBES: Final = 4
# Bytes handed to the network at a time: the most that can still leave late after this process was suspended
PART: Final = 65_536
_FOR_EVER: Final = 86_400.0
# SO_LINGER of 0 seconds: the kernel drops what it has not sent yet, and the peer sees a reset instead of an end
_RESET: Final = struct.pack("ii", 1, 0)
_UNLIMITED: Final = Permit()


class Peer(asyncio.Protocol):
    """Protocol of one connection to a receiver, usable once `connection_made` was called.

    A frame goes to `answers` if an answer is awaited and the whole message has been handed to the network. Any other
    frame goes to `unasked`, so that it cannot be taken for the answer to the next message.
    """

    _transport: asyncio.Transport

    def __init__(self, max_ack_bytes: int, keepalive: int = KEEPALIVE_IDLE) -> None:
        self._keepalive = keepalive
        self._permit, self._begun = _UNLIMITED, 0.0
        self._rest = memoryview(b"")
        self._is_full = self._is_taken = False
        self.decoder = Decoder(max_ack_bytes)
        self.answers: deque[Event] = deque()
        self.unasked: deque[Event] = deque()
        self.expecting = False
        self.lost: str | None = None
        self.news = asyncio.Event()
        self.gone = asyncio.Event()

    @property
    def usable(self) -> bool:
        """True if bytes can be written, as far as this side knows."""
        return self.lost is None and not self._transport.is_closing()

    @property
    def unwritten(self) -> bool:
        """True if bytes wait in this process to be written."""
        return self._is_full or bool(self._rest)

    @property
    def is_late(self) -> bool:
        """True if some of the written bytes may have left after the permit ended."""
        return self._begun > 0 and not self._is_taken and not self._permit.is_in_time

    @property
    def is_heard(self) -> bool:
        """True if the socket has received bytes, an end or an error that the loop has not read. Only while usable."""
        return bool(self._arrivals.poll(0))

    def extra(self, name: str) -> Any:
        """Return what the transport knows of the connection (asyncio's `get_extra_info`)."""
        return self._transport.get_extra_info(name)

    def write(self, data: bytes, permit: Permit = _UNLIMITED) -> None:
        """Check the permit and hand bytes to the network in the same step.

        Large data goes in parts, each checked on its own. `unwritten` is True while some bytes still wait here.

        Raises:
            PermitEnded: the permit is over; no byte was handed over.
        """
        self._begun, self._is_taken, self._permit = 0.0, False, permit
        permit.check()
        self._begun, self._rest = clock.monotonic(), memoryview(data)
        self.allow(permit.left)
        self._hand_over()

    def allow(self, left: float) -> None:
        """Let the written bytes leave for `left` more seconds; at 0, drop those that have not left."""
        if self.lost is not None or self._is_taken:
            return
        if not self.unwritten and not unacknowledged(self._socket):
            self._is_taken = self._permit.is_in_time
        elif left <= 0:
            self.abort("the lease was over")
        elif left < _FOR_EVER:
            give_up_after(self._socket, clock.monotonic() - self._begun + left)

    def answered(self) -> None:
        """Note that the peer has answered, so that it must have received all bytes."""
        self._is_taken = self._is_taken or self._permit.is_in_time

    def abort(self, why: str) -> None:
        """Drop the connection and all unsent bytes, here and in the kernel.

        Without SO_LINGER the kernel would still send its buffered bytes, and then a FIN.
        """
        self.lost = self.lost or why
        if not self._transport.is_closing():
            forget_unsent(self._socket)
        abort(self._transport)
        self.news.set()

    def close(self) -> None:
        """Close the connection gracefully; `gone` is set once it is closed."""
        self.lost = self.lost or "closed here"
        if not self._transport.is_closing():
            self._transport.close()

    def set_aside(self) -> None:
        """Stop waiting for an answer; move the remaining frames to `unasked`."""
        self.expecting = False
        self.unasked.extend(self.answers)
        self.answers.clear()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Store the new connection and set up its socket (asyncio callback)."""
        self._transport = cast(asyncio.Transport, transport)
        # With these limits pause_writing and resume_writing tell when the last byte has left this process. The high
        # limit is 1 and not 0: TLS transports compare with >= and would never resume.
        self._transport.set_write_buffer_limits(high=1, low=0)
        self._socket = transport.get_extra_info("socket")
        keep_alive(self._socket, self._keepalive)
        self._arrivals = select.poll()
        self._arrivals.register(self._socket.fileno(), select.POLLIN)

    def data_received(self, data: bytes) -> None:
        """Decode received bytes (asyncio callback)."""
        self._sort(self.decoder.feed(data))

    def _sort(self, events: list[Event]) -> None:
        asked = self.expecting and not self.unwritten
        room = UNASKED_LIMIT - len(self.answers) - len(self.unasked)
        (self.answers if asked else self.unasked).extend(events[:room])
        if len(events) > room:
            self.abort("too many frames that nothing had asked for")
        self.news.set()

    def eof_received(self) -> None:
        """Note that the peer sends no more, so that no answer can come (asyncio callback); asyncio then closes."""
        self._sort(self.decoder.close())
        self.lost = self.lost or "closed by the peer"

    def connection_lost(self, exc: Exception | None) -> None:
        """Note that the connection is gone, and why (asyncio callback)."""
        self._sort(self.decoder.close())
        self.lost = self.lost or (reason(exc) if exc else "closed by the peer")
        self.gone.set()
        self.news.set()

    def pause_writing(self) -> None:
        """Note that bytes wait in the transport (asyncio callback)."""
        self._is_full = True

    def resume_writing(self) -> None:
        """Hand over more bytes, since the transport's buffer is empty (asyncio callback)."""
        self._is_full = False
        self._hand_over()

    def _hand_over(self) -> None:
        """Hand over the next parts under the permit; each part only after the one before has left this process."""
        while self._rest and not self._is_full and self.lost is None:
            if self._permit.left <= 0:
                self.abort("the lease was over")
                return
            part, self._rest = self._rest[:PART], self._rest[PART:]
            self._transport.write(part)


def keep_alive(sock: socket.socket, idle: int = KEEPALIVE_IDLE) -> None:
    """Have TCP detect a peer that vanished (RFC 9293 §3.8.4) after `idle` seconds; 0: do not.

    Options that the system lacks are left out.
    """
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, int(idle > 0))
    if idle <= 0:
        return
    options = {
        "TCP_KEEPIDLE": idle,
        "TCP_KEEPINTVL": min(idle, KEEPALIVE_INTERVAL),
        "TCP_KEEPCNT": KEEPALIVE_PROBES,
    }
    for name, value in options.items():
        if hasattr(socket, name):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def abort(transport: asyncio.Transport) -> None:
    """Drop the connection at once, unless it is already lost.

    `Transport.abort` raises AttributeError after a graceful close has ended. A wait for that end can time out in the
    very step of the loop in which the end comes.
    """
    sock = transport.get_extra_info("socket")
    if sock is not None and sock.fileno() != -1:
        transport.abort()


def unacknowledged(sock: socket.socket) -> int:
    """Return the number of sent bytes that the peer's kernel has not acknowledged (TIOCOUTQ, tcp(7)); 0 if unknown."""
    try:
        return int.from_bytes(fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, bytes(4)), sys.byteorder)
    except OSError:
        return 0


def forget_unsent(sock: socket.socket) -> None:
    """Have the kernel reset the connection on close, instead of sending its buffered bytes."""
    with suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)


def give_up_after(sock: socket.socket, seconds: float) -> None:
    """Have the kernel drop the connection if sent bytes stay unacknowledged that long (RFC 5482), where supported."""
    with suppress(OSError, AttributeError):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, max(1, int(seconds * 1000)))


def reason(error: BaseException) -> str:
    """Return why a connection failed, in words that hold no payload."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"TLS: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"TLS: {getattr(error, 'reason', None) or 'failed'}"
    if isinstance(error, socket.gaierror):
        return "the host name is not known"
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno)
    # asyncio joins the errors of a host's several addresses into one text without a number of its own.
    numbers = sorted({int(number) for number in re.findall(r"\[Errno (\d+)\]", str(error))})
    return ", ".join(os.strerror(number) for number in numbers) or type(error).__name__
