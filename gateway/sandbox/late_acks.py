"""Application acknowledgements that a receiver owes: given later on the same connection, the next one, or its own.

HL7 v2.5.1 §2.9.3 (enhanced mode): the commit acknowledgement comes at once, the application acknowledgement is a
message by itself, whenever and over whichever connection.
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
from gateway.sandbox.line import READ_BYTES, Line
from gateway.settings.values import host_and_port

# Seconds: between two tries to connect, for connecting, and for what the sender says to the acknowledgement.
RETRY_AFTER: Final = 1.0
CONNECT_WAIT: Final = 5.0
ANSWER_WAIT: Final = 5.0
_ANSWER_BYTES: Final = 65_536


@dataclass(frozen=True, slots=True)
class Address:
    """Where a sender takes acknowledgements over connections that it did not open."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str, source: str = "--reply-to") -> Self:
        """Read `HOST:PORT`, `[::1]:PORT` for IPv6.

        Raises:
            ConfigError: it is not of that form.
        """
        try:
            return cls(*host_and_port(text))
        except ValueError:
            raise ConfigError(source, text, "no address", "Write HOST:PORT, such as 127.0.0.1:2576.") from None


class LateAckSender:
    """Keeps the frames that are owed. `say` is told, without payload, what could not be delivered."""

    def __init__(self, reply_to: Address | None, say: Callable[[str], object]) -> None:
        self._reply_to, self._say = reply_to, say
        self._owed: deque[bytes] = deque()
        self._tasks: set[asyncio.Task[None]] = set()

    def over(self, line: Line, frame: bytes, seconds: float) -> None:
        """Write the frame to that connection after so many seconds; if it is gone then, to the next one."""
        self._start(self._say_later(line, frame, seconds))

    def over_own_connection(self, frame: bytes, seconds: float) -> None:
        """Connect to the sender after so many seconds, until it takes the frame; without an address, as `next_time`."""
        if self._reply_to is None:
            self.next_time(frame)
        else:
            self._start(self._call(self._reply_to, frame, seconds))

    def next_time(self, frame: bytes) -> None:
        """Write the frame when a sender connects again, before it says anything."""
        self._owed.append(frame)

    async def pay(self, line: Line) -> None:
        """Write what is owed to a connection that has just been opened."""
        owed, self._owed = self._owed, deque()
        for frame in owed:
            await self._write(line, frame)

    async def stop(self) -> None:
        """Give up what is under way; what waits for the next connection stays owed."""
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _start(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _say_later(self, line: Line, frame: bytes, seconds: float) -> None:
        await clock.sleep(seconds)
        await self._write(line, frame)

    async def _write(self, line: Line, frame: bytes) -> None:
        try:
            if line.writable:
                await line.send(frame)
                return
        except OSError as error:
            self._say(f"late acknowledgement not delivered: {reason(error)}")
        self.next_time(frame)

    async def _call(self, address: Address, frame: bytes, seconds: float) -> None:
        await clock.sleep(seconds)
        while True:
            try:
                await _deliver(address, frame)
            except OSError as error:
                self._say(f"late acknowledgement not delivered: {reason(error)}")
                await clock.sleep(RETRY_AFTER)
            else:
                return


async def _deliver(address: Address, frame: bytes) -> None:
    """Write the frame over a connection of its own, and wait a while for a commit acknowledgement of it.

    Raises:
        OSError: it could not be written (TimeoutError is one).
    """
    async with asyncio.timeout(CONNECT_WAIT):
        line = Line(*await asyncio.open_connection(address.host, address.port))
    try:
        await line.send(frame)
        await _answered(line)
    finally:
        await line.close()


async def _answered(line: Line) -> None:
    """Wait until the sender answers, closes, or lets the time pass: it may owe no answer to an acknowledgement."""
    decoder = Decoder(_ANSWER_BYTES)
    try:
        async with asyncio.timeout(ANSWER_WAIT):
            while data := await line.read(READ_BYTES):
                if any(isinstance(event, Frame) for event in decoder.feed(data)):
                    return
    except (OSError, TimeoutError):
        return
