"""Wakes whoever waits for rows of this process's store, so that nothing that was just committed waits for a poll.

Carries out no clause of a standard. It may be rung from any thread. Another process does not hear it: whoever waits
looks again by himself after a while.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager


class Listener:
    """Somebody who waits on one event loop; what was rung since the last wait ends the next one at once."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._rung = asyncio.Event()

    def wake(self) -> None:
        """End the wait, from any thread."""
        self._loop.call_soon_threadsafe(self._rung.set)

    async def wait(self, seconds: float) -> None:
        """Wait until the bell is rung, or so many seconds."""
        try:
            async with asyncio.timeout(seconds):
                await self._rung.wait()
        except TimeoutError:
            return
        self._rung.clear()


class Bell:
    """The bell of one store in one process."""

    def __init__(self) -> None:
        self._listeners: tuple[Listener, ...] = ()

    def ring(self) -> None:
        """Wake everybody who listens."""
        for one in self._listeners:
            one.wake()

    @contextmanager
    def listener(self) -> Iterator[Listener]:
        """Listen while the block runs."""
        one = Listener()
        self._listeners += (one,)
        try:
            yield one
        finally:
            self._listeners = tuple(other for other in self._listeners if other is not one)
