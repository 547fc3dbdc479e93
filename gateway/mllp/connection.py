"""A kept-open MLLP connection to one receiver: one message out, its acknowledgement back, by a deadline.

HL7 v2.5.1 §2.9.2 (acknowledgements) over HL7 Transport Specification: MLLP, Release 1: the sender waits for the answer
before it sends the next message.

What a caller can rely on:

- After any failure the connection is closed. A late acknowledgement can therefore not meet the next message.
- A frame that came before the message was written out is never the answer; it waits in `unasked`.
- The errors tell what the receiver can have: `ConnectFailed`, `PermitEnded` and `FrameInvalid`: nothing; `SendFailed`:
  a part; `AckTimeout`, `ConnectionLost` and `AckUnreadable`: the whole message.
- No byte is handed to the network when the permit is over. What had not left by then is reset; an answer to what had is
  waited for (D33).

Whether the answer belongs to the message (MSA-2) is for the caller to say, with mappings/hl7v2/ack.py.
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
from gateway.mllp.tls import TlsSettings, tls_context
from gateway.runtime import clock
from gateway.runtime.errors import AckTimeout, AckUnreadable, ConnectFailed, ConnectionLost, FeedError, SendFailed

CLOSE_WAIT: Final = 2.0
MAX_ACK_BYTES: Final = 65_536
# Seconds that a connection is looked at, at least and at most, before it counts as open
_LOOK_AT_LEAST: Final = 0.02
_LOOK_AT_MOST: Final = 1.0


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a receiver listens and how long it is waited for; times in seconds, sizes in bytes.

    `keepalive` is for how long nothing is said until TCP asks whether the peer is still there; 0: it never does.
    """

    host: str
    port: int
    tls: TlsSettings | None = None
    connect_timeout: float = 10.0
    ack_timeout: float = 30.0
    max_ack_bytes: int = MAX_ACK_BYTES
    keepalive: int = KEEPALIVE_IDLE

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def _any(_: bytes) -> bool:
    return True


class Connection:
    """One open connection. Messages are sent one after the other, whoever asks."""

    def __init__(self, endpoint: Endpoint, peer: Peer, permit: Permit) -> None:
        self.endpoint = endpoint
        self._peer, self._permit = peer, permit
        self._turn = asyncio.Lock()
        self.where = link(peer.extra)

    @classmethod
    async def open(cls, endpoint: Endpoint, permit: Permit | None = None) -> Self:
        """Connect, and shake hands where TLS is asked for, within `connect_timeout` and while `permit` stands.

        A peer that accepts and then ends (a proxy with nobody behind it, TLS 1.3 without the client certificate that is
        wanted: RFC 8446 §4.4.2.4) says so a round trip later. That long it is looked at, so that this puts no message
        in doubt.

        Raises:
            ConnectFailed: refused, no such host, no answer in time, TLS not agreed, or ended at once.
            PermitEnded: the permit was over first.
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
        connection = cls(endpoint, peer, permit)
        if await connection._ends(clock.monotonic() - begun):
            await connection.close()
            raise ConnectFailed(str(endpoint), f"{peer.lost}; nothing was sent")
        return connection

    @property
    def usable(self) -> bool:
        """Whether a message can be sent. False for ever once the peer has closed or an exchange has failed."""
        return self._peer.usable

    @property
    def is_late(self) -> bool:
        """True if some of the last message may have left when that was no longer permitted."""
        return self._peer.is_late

    @property
    def stray(self) -> bytes:
        """The last frame that came without being the answer to a message; it waits in `take_unasked`."""
        return next((event.payload for event in reversed(self._peer.unasked) if isinstance(event, Frame)), b"")

    def take_unasked(self) -> tuple[Event, ...]:
        """What came without being the answer to a message, oldest first, and forget it.

        Among it are late and second acknowledgements, the application acknowledgement of the two-phase mode, frames
        that `answers` refused, and stretches that are no frame.
        """
        taken = tuple(self._peer.unasked)
        self._peer.unasked.clear()
        return taken

    async def exchange(
        self, message: bytes, *, within: float | None = None, answers: Callable[[bytes], bool] = _any
    ) -> bytes:
        """Send one message and return the content of the frame that answers it.

        Args:
            message: the message as it is, without block characters.
            within: seconds for writing and for the answer together; the endpoint's `ack_timeout` where not said.
            answers: says of a frame's content whether it can be the answer. What it refuses waits in `unasked`, and the
                wait goes on. Without it the first frame is the answer.

        Raises:
            FrameInvalid: the message cannot be framed; nothing was sent, the connection stays.
            ConnectFailed: the peer had closed before; nothing was sent.
            PermitEnded: it was not permitted any more; nothing was sent, the connection stays.
            SendFailed: the connection broke, or time ran out, before everything was written.
            AckTimeout: everything was written, no answer came in time.
            ConnectionLost: everything was written, the connection broke before an answer came.
            AckUnreadable: everything was written, what came is over the size limit or not framed.
        """
        frame = encode(message)
        async with self._turn:
            if self._peer.usable and self._peer.is_heard:
                # Two turns of the loop: a FIN that is already here is then known, and costs no doubtful delivery.
                await asyncio.sleep(0)
                await asyncio.sleep(0)
            if not self._peer.usable:
                raise ConnectFailed(str(self.endpoint), f"{self._peer.lost or 'closed'}; nothing was sent")
            self._peer.write(frame, self._permit)
            self._peer.expecting = True
            with self._permit.watched(self._peer.allow):
                answer = await self._answer(within, answers)
            self._peer.answered()
            return answer

    async def receive(self, *, within: float, answers: Callable[[bytes], bool] = _any) -> bytes:
        """Wait for a frame without sending: the application acknowledgement that follows a commit acknowledgement.

        What had come before is in `take_unasked`. Raises as `exchange` does.
        """
        async with self._turn:
            self._peer.expecting = True
            return await self._answer(within, answers)

    async def close(self) -> None:
        """Close in good order, waiting for the peer no longer than two seconds."""
        self._peer.close()
        try:
            async with asyncio.timeout(CLOSE_WAIT):
                await self._peer.gone.wait()
        except TimeoutError:
            self._peer.abort("closed here")

    async def _ends(self, seconds: float) -> bool:
        """Whether the peer ends the connection within about that time."""
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

    async def _answer(self, within: float | None, answers: Callable[[bytes], bool]) -> bytes:
        seconds = self.endpoint.ack_timeout if within is None else within
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
