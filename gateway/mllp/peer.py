"""One open socket to a receiver: what came from it, and what became of what was written to it.

RFC 9293 (TCP): its end of stream, reset and keep-alive, as asyncio's protocol callbacks report them; RFC 5482 (user
timeout); the bytes go through the framing of gateway/mllp/framing.py. A permit says whether they may go out (D33).
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

# How many frames that nobody has taken are held before the peer counts as flooding.
UNASKED_LIMIT: Final = 64

# Idle time in seconds before TCP asks whether the peer is still there: well under the 10 minutes after which firewalls
# and cloud networks drop an idle connection without a word. Then one probe every 15 s, dead after 4.
KEEPALIVE_IDLE: Final = 180
KEEPALIVE_INTERVAL: Final = 15
KEEPALIVE_PROBES: Final = 4
# Bytes that are handed to the network at a time: all that can still leave by itself when a process goes on that slept
PART: Final = 65_536
# SO_LINGER of 0 seconds: what the kernel has not sent yet is forgotten, and the peer sees a reset instead of an end
_FOR_EVER: Final = 86_400.0
_RESET: Final = struct.pack("ii", 1, 0)
_UNLIMITED: Final = Permit()


class Peer(asyncio.Protocol):
    """The receiver at the other end of one connection, once `connection_made` was called.

    Frames that come while an answer is awaited and the whole message has been handed to the network go to `answers`;
    everything else goes to `unasked`, so that it can never be taken for the answer to what is sent next.
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
        """Whether something can be written, as far as is known."""
        return self.lost is None and not self._transport.is_closing()

    @property
    def unwritten(self) -> bool:
        """True if some of what is to be written still waits in this process."""
        return self._is_full or bool(self._rest)

    @property
    def is_late(self) -> bool:
        """True if some of what was written may have left when that was no longer permitted."""
        return self._begun > 0 and not self._is_taken and not self._permit.is_in_time

    @property
    def is_heard(self) -> bool:
        """Whether something has come that the loop has not read yet: bytes, an end or a failure. Only while usable."""
        return bool(self._arrivals.poll(0))

    def extra(self, name: str) -> Any:
        """Return what the transport knows of the connection (asyncio's `get_extra_info`)."""
        return self._transport.get_extra_info(name)

    def write(self, data: bytes, permit: Permit = _UNLIMITED) -> None:
        """Hand bytes to the network, in the same step in which it is seen that they may go.

        `unwritten` says whether some of them still wait here; what is large goes in parts, each for itself.

        Raises:
            PermitEnded: they may not, and none was handed over.
        """
        self._begun, self._is_taken, self._permit = 0.0, False, permit
        permit.check()
        self._begun, self._rest = clock.monotonic(), memoryview(data)
        self.allow(permit.left)
        self._hand_over()

    def allow(self, left: float) -> None:
        """Let what was written go on for `left` seconds; at 0, stop whatever has not left yet."""
        if self.lost is not None or self._is_taken:
            return
        if not self.unwritten and not unacknowledged(self._socket):
            self._is_taken = self._permit.is_in_time
        elif left <= 0:
            self.abort("the lease was over")
        elif left < _FOR_EVER:
            give_up_after(self._socket, clock.monotonic() - self._begun + left)

    def answered(self) -> None:
        """The peer has answered what was written, so it had all of it."""
        self._is_taken = self._is_taken or self._permit.is_in_time

    def abort(self, why: str) -> None:
        """Drop the connection; what is still unsent is forgotten, here and in the kernel.

        Without SO_LINGER the kernel would send all that it has, and then a FIN.
        """
        self.lost = self.lost or why
        if not self._transport.is_closing():
            forget_unsent(self._socket)
        self._transport.abort()
        self.news.set()

    def close(self) -> None:
        """Close in good order; `gone` is set when that is done."""
        self.lost = self.lost or "closed here"
        if not self._transport.is_closing():
            self._transport.close()

    def set_aside(self) -> None:
        """The wait for an answer is over: what else has come is nobody's answer."""
        self.expecting = False
        self.unasked.extend(self.answers)
        self.answers.clear()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Callback of asyncio: the connection is there."""
        self._transport = cast(asyncio.Transport, transport)
        # So that pause_writing and resume_writing tell when the last byte has left this process; 1 and not 0, because
        # TLS transports compare with >= and would never be done.
        self._transport.set_write_buffer_limits(high=1, low=0)
        self._socket = transport.get_extra_info("socket")
        keep_alive(self._socket, self._keepalive)
        self._arrivals = select.poll()
        self._arrivals.register(self._socket.fileno(), select.POLLIN)

    def data_received(self, data: bytes) -> None:
        """Callback of asyncio: bytes have come."""
        self._sort(self.decoder.feed(data))

    def _sort(self, events: list[Event]) -> None:
        asked = self.expecting and not self.unwritten
        room = UNASKED_LIMIT - len(self.answers) - len(self.unasked)
        (self.answers if asked else self.unasked).extend(events[:room])
        if len(events) > room:
            self.abort("too many frames that nothing had asked for")
        self.news.set()

    def eof_received(self) -> None:
        """Callback of asyncio: the peer will send no more, so no answer can come; asyncio then closes."""
        self._sort(self.decoder.close())
        self.lost = self.lost or "closed by the peer"

    def connection_lost(self, exc: Exception | None) -> None:
        """Callback of asyncio: the connection is gone."""
        self._sort(self.decoder.close())
        self.lost = self.lost or (reason(exc) if exc else "closed by the peer")
        self.gone.set()
        self.news.set()

    def pause_writing(self) -> None:
        """Callback of asyncio: bytes wait to be written."""
        self._is_full = True

    def resume_writing(self) -> None:
        """Callback of asyncio: all bytes are written that were handed over."""
        self._is_full = False
        self._hand_over()

    def _hand_over(self) -> None:
        """Hand over what may go and fits; the last part only when all before it has left this process."""
        while self._rest and not self._is_full and self.lost is None:
            if self._permit.left <= 0:
                self.abort("the lease was over")
                return
            part, self._rest = self._rest[:PART], self._rest[PART:]
            self._transport.write(part)


def keep_alive(sock: socket.socket, idle: int = KEEPALIVE_IDLE) -> None:
    """Have TCP notice a peer that is gone without a word (RFC 9293 §3.8.4) after so many idle seconds; 0: do not.

    Options that a system lacks are left out.
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


def unacknowledged(sock: socket.socket) -> int:
    """Bytes that the kernel has of what was sent and the peer's has not, as far as it says (TIOCOUTQ, tcp(7))."""
    try:
        return int.from_bytes(fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, bytes(4)), sys.byteorder)
    except OSError:
        return 0


def forget_unsent(sock: socket.socket) -> None:
    """Have the kernel reset the connection when it is closed, instead of sending what it still has."""
    with suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)


def give_up_after(sock: socket.socket, seconds: float) -> None:
    """Have the kernel drop the connection when what was sent is not taken for so long (RFC 5482), where it can."""
    with suppress(OSError, AttributeError):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, max(1, int(seconds * 1000)))


def reason(error: BaseException) -> str:
    """Why a connection failed, in words that hold no payload."""
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
