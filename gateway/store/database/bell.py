"""Wake waiting tasks as soon as new rows are committed, so that new work does not wait for the next poll.

Carries out no clause of a standard. Any thread may ring the bell. Every waiting task also polls the store at intervals:
another process hears the bell on PostgreSQL only.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Final, Literal

Topic = Literal["outbox", "webhook", "crawl", "inbound"]
OUTBOX: Final[Topic] = "outbox"
WEBHOOK: Final[Topic] = "webhook"
CRAWL: Final[Topic] = "crawl"
INBOUND: Final[Topic] = "inbound"


class Listener:
    """One waiting task on one event loop. A ring between two waits ends the next wait at once."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._rung = asyncio.Event()

    def wake(self) -> None:
        """End the wait, from any thread."""
        self._loop.call_soon_threadsafe(self._rung.set)

    async def wait(self, seconds: float) -> None:
        """Wait until the bell rings, or at most this many seconds."""
        try:
            async with asyncio.timeout(seconds):
                await self._rung.wait()
        except TimeoutError:
            return
        self._rung.clear()


class Bell:
    """Bell of one store. `told` gets each topic that this process rings, to pass it on to other processes."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._listeners: tuple[tuple[Topic, Listener], ...] = ()
        self.told: Callable[[Topic], object] = lambda _: None

    def ring(self, topic: Topic = OUTBOX) -> None:
        """Wake every listener to new rows of this topic, in every process that hears the bell."""
        self.heard(topic)
        self.told(topic)

    def heard(self, topic: Topic) -> None:
        """Wake the listeners of this process."""
        for about, listener in self._listeners:
            if about == topic:
                listener.wake()

    @contextmanager
    def listener(self, topic: Topic = OUTBOX) -> Iterator[Listener]:
        """Yield a new listener and remove it when the block ends."""
        entry = (topic, Listener())
        with self._lock:
            self._listeners += (entry,)
        try:
            yield entry[1]
        finally:
            with self._lock:
                self._listeners = tuple(other for other in self._listeners if other is not entry)
