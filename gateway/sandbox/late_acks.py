"""Send late application acknowledgements: on the same connection, the sender's next connection, or a new connection.

HL7 v2.5.1 §2.9.3 (enhanced mode): the commit acknowledgement comes at once. The application acknowledgement is a
message of its own, at any time and over any connection.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Final, Self

from gateway.mllp.framing import Decoder, Frame
from gateway.mllp.peer import reason
from gateway.runtime import clock
from gateway.runtime.errors import ConfigError
from gateway.sandbox.raw_connection import READ_BYTES, RawConnection
from gateway.settings.values import host_and_port

# Seconds: between two attempts to connect, for connecting, and for the sender's answer to the acknowledgement.
RETRY_AFTER: Final = 1.0
CONNECT_WAIT: Final = 5.0
ANSWER_WAIT: Final = 5.0
_ANSWER_BYTES: Final = 65_536


@dataclass(frozen=True, slots=True)
class AckAddress:
    """Address where a sender accepts acknowledgements over connections that it did not open."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str, source: str = "--reply-to") -> Self:
        """Parse `HOST:PORT`, or `[::1]:PORT` for IPv6.

        Raises:
            ConfigError: the text has another form.
        """
        try:
            return cls(*host_and_port(text))
        except ValueError:
            raise ConfigError(source, text, "no address", "Write HOST:PORT, such as 127.0.0.1:2576.") from None


class LateAckSender:
    """Sender of late acknowledgements; `say` gets a line, without payload, for each failed delivery."""

    def __init__(self, reply_to: AckAddress | None, say: Callable[[str], object]) -> None:
        self._reply_to, self._say = reply_to, say
        self._owed: deque[bytes] = deque()
        self._tasks: set[asyncio.Task[None]] = set()

    def over(self, line: RawConnection, frame: bytes, seconds: float) -> None:
        """Send the frame over this connection after `seconds`; if it is closed by then, over the next one."""
        self._start(self._say_later(line, frame, seconds))

    def over_own_connection(self, frame: bytes, seconds: float) -> None:
        """Connect to the sender after `seconds`, with retries, and send the frame; `next_time` without an address."""
        if self._reply_to is None:
            self.next_time(frame)
        else:
            self._start(self._call(self._reply_to, frame, seconds))

    def next_time(self, frame: bytes) -> None:
        """Queue the frame for the sender's next connection."""
        self._owed.append(frame)

    async def pay(self, line: RawConnection) -> None:
        """Send all queued frames over a new connection."""
        owed, self._owed = self._owed, deque()
        for frame in owed:
            await self._write(line, frame)

    async def stop(self) -> None:
        """Cancel deliveries that are under way; frames for the next connection stay queued."""
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _start(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _say_later(self, line: RawConnection, frame: bytes, seconds: float) -> None:
        await clock.sleep(seconds)
        await self._write(line, frame)

    async def _write(self, line: RawConnection, frame: bytes) -> None:
        try:
            if line.writable:
                await line.send(frame)
                return
        except OSError as error:
            self._say(f"late acknowledgement not delivered: {reason(error)}")
        self.next_time(frame)

    async def _call(self, address: AckAddress, frame: bytes, seconds: float) -> None:
        await clock.sleep(seconds)
        while True:
            try:
                await _deliver(address, frame)
            except OSError as error:
                self._say(f"late acknowledgement not delivered: {reason(error)}")
                await clock.sleep(RETRY_AFTER)
            else:
                return


async def _deliver(address: AckAddress, frame: bytes) -> None:
    """Send the frame over a new connection, and wait a while for an answer to it.

    Raises:
        OSError: the frame could not be sent (TimeoutError is an OSError).
    """
    async with asyncio.timeout(CONNECT_WAIT):
        line = RawConnection(*await asyncio.open_connection(address.host, address.port))
    try:
        await line.send(frame)
        await _answered(line)
    finally:
        await line.close()


async def _answered(line: RawConnection) -> None:
    """Wait until the sender answers, closes, or the time is up; it need not answer an acknowledgement."""
    decoder = Decoder(_ANSWER_BYTES)
    try:
        async with asyncio.timeout(ANSWER_WAIT):
            while data := await line.read(READ_BYTES):
                if any(isinstance(event, Frame) for event in decoder.feed(data)):
                    return
    except (OSError, TimeoutError):
        return
