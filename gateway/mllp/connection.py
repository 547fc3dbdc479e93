"""Open an MLLP connection, send one message at a time, wait for each acknowledgement; channel.py closes idle ones.

HL7 v2.5.1 §2.9.2 (acknowledgements) over HL7 Transport Specification: MLLP, Release 1: the sender waits for the answer
before it sends the next message.

What a caller can rely on:

- After any failure the connection is closed. A late acknowledgement therefore cannot be taken for the next message's.
- A frame that came before the message was fully written is never its answer; it waits for `take_unasked`.
- The errors tell how much the receiver can have. `ConnectFailed`, `PermitEnded` and `FrameInvalid`: nothing;
  `SendFailed`: a part; `AckTimeout`, `ConnectionLost` and `AckUnreadable`: the whole message.
- No byte is handed to the network once the permit is over. Bytes that have not left by then are dropped by a reset; if
  the whole message has left, its answer is still awaited (D33).

The caller decides whether an answer belongs to the message (MSA-2), with mappings/hl7v2/ack.py.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

from gateway.mllp.framing import Event, Frame, FramingError, encode
from gateway.mllp.link import link
from gateway.mllp.peer import KEEPALIVE_IDLE, Peer, reason
from gateway.mllp.permit import Permit
from gateway.runtime import clock
from gateway.runtime.errors import AckTimeout, AckUnreadable, ConnectFailed, ConnectionLost, FeedError, SendFailed
from gateway.runtime.tls import SHOWN, TlsSettings, tls_context

CONNECT_TIMEOUT: Final = 10.0
CLOSE_WAIT: Final = 2.0
MAX_ACK_BYTES: Final = 65_536
# Seconds that a new connection is watched, at least and at most, before it counts as open
_LOOK_AT_LEAST: Final = 0.02
_LOOK_AT_MOST: Final = 1.0


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Address of a receiver, and its timeouts; times in seconds, sizes in bytes.

    `keepalive` is the idle time after which TCP probes whether the peer is still there; 0: never.
    """

    host: str
    port: int
    tls: TlsSettings | None = None
    connect_timeout: float = CONNECT_TIMEOUT
    ack_timeout: float = 30.0
    max_ack_bytes: int = MAX_ACK_BYTES
    keepalive: int = KEEPALIVE_IDLE

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def _any(_: bytes) -> bool:
    return True


class Connection:
    """One open connection. Concurrent callers wait for each other: one message is sent at a time."""

    def __init__(self, endpoint: Endpoint, peer: Peer, permit: Permit) -> None:
        self.endpoint = endpoint
        self._peer, self._permit = peer, permit
        self._turn = asyncio.Lock()
        self.where = link(peer.extra)

    @classmethod
    async def open(cls, endpoint: Endpoint, permit: Permit | None = None) -> Self:
        """Connect within `connect_timeout` and while `permit` stands, with a TLS handshake if the endpoint uses TLS.

        A peer may accept and then close one round trip later: a proxy with no server behind it, or a TLS 1.3 server
        that wants a client certificate (RFC 8446 §4.4.2.4). The new connection is watched for that long, so that such a
        close puts no message in doubt.

        Raises:
            ConnectFailed: refused, unknown host, no answer in time, TLS failure, or closed at once by the peer.
            PermitEnded: the permit ended first.
            ConfigError: a TLS file cannot be used.
        """
        permit = permit or Permit()
        permit.check()
        peer = Peer(endpoint.max_ack_bytes, endpoint.keepalive)
        context = tls_context(endpoint.tls, str(endpoint)) if endpoint.tls else None
        begun = clock.monotonic()
        try:
            async with asyncio.timeout(endpoint.connect_timeout) as timeout:
                with permit.limited(timeout):
                    await _connect(endpoint, peer, context)
        except TimeoutError:
            permit.check()
            raise ConnectFailed(str(endpoint), f"no connection after {endpoint.connect_timeout:g} s") from None
        except OSError as error:
            raise ConnectFailed(str(endpoint), reason(error)) from None
        SHOWN.note(str(endpoint), peer.extra("ssl_object"))  # noqa: S610 (no database)
        connection = cls(endpoint, peer, permit)
        if await connection._ends(clock.monotonic() - begun):
            await connection.close()
            raise ConnectFailed(str(endpoint), f"{peer.lost}; nothing was sent")
        return connection

    @property
    def usable(self) -> bool:
        """True if a message can be sent; False for good once the peer has closed or an exchange has failed."""
        return self._peer.usable

    @property
    def is_late(self) -> bool:
        """True if some of the last message may have left after the permit ended."""
        return self._peer.is_late

    @property
    def stray(self) -> bytes:
        """The latest frame that answered no message, or empty bytes; `take_unasked` still returns it."""
        return next((event.payload for event in reversed(self._peer.unasked) if isinstance(event, Frame)), b"")

    def take_unasked(self) -> tuple[Event, ...]:
        """Return and forget the frames and framing errors that answered no message, oldest first.

        Among them are late and repeated acknowledgements, application acknowledgements of the two-phase mode, and
        frames that `answers` refused.
        """
        taken = tuple(self._peer.unasked)
        self._peer.unasked.clear()
        return taken

    async def exchange(self, message: bytes, *, answers: Callable[[bytes], bool] = _any) -> bytes:
        """Send one message and return the content of the frame that answers it, within the endpoint's `ack_timeout`.

        Args:
            message: the message as it is, without block characters.
            answers: returns True if a frame's content can be the answer. Other frames are kept for `take_unasked`, and
                the wait goes on. Without it the first frame is the answer.

        Raises:
            FrameInvalid: the message cannot be framed; nothing was sent, the connection stays.
            ConnectFailed: the peer had already closed; nothing was sent.
            PermitEnded: the permit was over; nothing was sent, the connection stays.
            SendFailed: the connection broke, or time ran out, before everything was written.
            AckTimeout: everything was written, no answer came in time.
            ConnectionLost: everything was written, the connection broke before an answer came.
            AckUnreadable: everything was written, the answer is over the size limit or not framed.
        """
        frame = encode(message)
        async with self._turn:
            if self._peer.usable and self._peer.is_heard:
                # Two turns of the loop read a FIN that has already arrived, so that it puts no message in doubt.
                await asyncio.sleep(0)
                await asyncio.sleep(0)
            if not self._peer.usable:
                raise ConnectFailed(str(self.endpoint), f"{self._peer.lost or 'closed'}; nothing was sent")
            self._peer.write(frame, self._permit)
            self._peer.expecting = True
            with self._permit.watched(self._peer.allow):
                answer = await self._answer(answers)
            self._peer.answered()
            return answer

    async def close(self) -> None:
        """Close the connection gracefully; abort it if the peer takes longer than two seconds."""
        self._peer.close()
        try:
            async with asyncio.timeout(CLOSE_WAIT):
                await self._peer.gone.wait()
        except TimeoutError:
            self._peer.abort("closed here")

    async def _ends(self, seconds: float) -> bool:
        """True if the peer ends the connection within about that many seconds."""
        try:
            async with asyncio.timeout(min(max(seconds, _LOOK_AT_LEAST), _LOOK_AT_MOST)):
                await self._peer.gone.wait()
        except TimeoutError:
            return not self.usable
        except BaseException:
            self._peer.abort("given up here")
            raise
        return True

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _answer(self, answers: Callable[[bytes], bool]) -> bytes:
        seconds = self.endpoint.ack_timeout
        try:
            async with asyncio.timeout(seconds):
                return await self._next_frame(answers)
        except TimeoutError:
            error = self._out_of_time(seconds)
            self._peer.abort("given up here")
            raise error from None
        except BaseException:
            self._peer.abort("given up here")
            raise
        finally:
            self._peer.set_aside()

    async def _next_frame(self, answers: Callable[[bytes], bool]) -> bytes:
        peer = self._peer
        while True:
            peer.news.clear()
            while peer.answers:
                event = peer.answers.popleft()
                if isinstance(event, Frame) and answers(event.payload):
                    return event.payload
                peer.unasked.append(event)
                self._refuse_unreadable(event)
            if peer.lost is not None:
                raise self._broken(peer.lost)
            await peer.news.wait()

    def _refuse_unreadable(self, event: Event) -> None:
        if isinstance(event, FramingError) and event.code in ("frame-too-large", "frame-not-opened"):
            detail = f"{event.code} at offset {event.offset}, {event.count} bytes"
            raise AckUnreadable(str(self.endpoint), detail)

    def _broken(self, why: str) -> FeedError:
        kind = SendFailed if self._peer.unwritten else ConnectionLost
        return kind(str(self.endpoint), why)

    def _out_of_time(self, seconds: float) -> FeedError:
        if self._peer.unwritten:
            return SendFailed(str(self.endpoint), f"not written out after {seconds:g} s")
        pending = self._peer.decoder.pending
        detail = f"after {seconds:g} s" + (f", {pending} bytes of no whole frame had come" if pending else "")
        return AckTimeout(str(self.endpoint), detail)


async def _connect(endpoint: Endpoint, peer: Peer, context: ssl.SSLContext | None) -> None:
    loop = asyncio.get_running_loop()
    if context is None or endpoint.tls is None:
        await loop.create_connection(lambda: peer, endpoint.host, endpoint.port)
        return
    await loop.create_connection(
        lambda: peer,
        endpoint.host,
        endpoint.port,
        ssl=context,
        server_hostname=endpoint.tls.server_hostname or endpoint.host,
        ssl_handshake_timeout=endpoint.connect_timeout,
        ssl_shutdown_timeout=CLOSE_WAIT,
    )
