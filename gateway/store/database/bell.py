"""Wake tasks that wait for new rows in this process's store, so that committed work does not wait for a poll.

Carries out no clause of a standard. Any thread may ring the bell. Another process does not hear it: every waiting task
also polls the store at intervals.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager


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
    """Bell of one store in one process."""

    def __init__(self) -> None:
        self._listeners: tuple[Listener, ...] = ()

    def ring(self) -> None:
        """Wake every listener."""
        for listener in self._listeners:
            listener.wake()

    @contextmanager
    def listener(self) -> Iterator[Listener]:
        """Yield a new listener and remove it when the block ends."""
        listener = Listener()
        self._listeners += (listener,)
        try:
            yield listener
        finally:
            self._listeners = tuple(other for other in self._listeners if other is not listener)
