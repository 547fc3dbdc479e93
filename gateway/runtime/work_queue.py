"""Base class of workers for due work in the database (PDFs, webhooks, requests left by commands), several at a time.

Carries out no clause of a standard; decision D8. Used for PDFs, webhooks and control rows. The store alone remembers
the work, so that nothing is lost if a process ends.
"""

from __future__ import annotations

import asyncio
import contextlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Final, Generic, TypeVar

from gateway.runtime import clock

POLL: Final = 1.0  # seconds
Item = TypeVar("Item")


class WorkQueue(ABC, Generic[Item]):
    """Worker for due items, at most `slots` at a time, with one task for each key.

    `wake` starts a look at once; otherwise the store is asked every `poll` seconds. An item is due until its work is
    settled in the store. Work that fails is reported, and keeps its slot for `poll` seconds before the next look.
    """

    def __init__(self, slots: int, poll: float = POLL) -> None:
        self.slots, self.poll = slots, poll
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._woken = asyncio.Event()

    @abstractmethod
    async def due(self, most: int) -> Mapping[str, Item]:
        """Read at least `most` due items by key, the most urgent first; items under way may be among them."""

    @abstractmethod
    async def work(self, item: Item) -> None:
        """Work on one item, and settle it in the store."""

    @abstractmethod
    def failed(self, error: Exception) -> None:
        """Report that the store could not be asked, or that an item could not be settled."""

    def wake(self) -> None:
        """Look for work at once."""
        self._woken.set()

    async def once(self) -> int:
        """Run one round: begin as many items as there are free slots, and wait for all; return how many were begun.

        Raises:
            StoreUnavailable: the store could not be asked.
        """
        begun = await self._begin()
        await asyncio.gather(*self._tasks.values())
        return begun

    async def run(self) -> None:
        """Work until cancelled; work under way is then stopped, and the store still has it as due."""
        try:
            while True:
                try:
                    await self._begin()
                except Exception as error:
                    self.failed(error)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self.poll):
                        await self._woken.wait()
                self._woken.clear()
        finally:
            under_way = list(self._tasks.values())
            for task in under_way:
                task.cancel()
            await asyncio.gather(*under_way, return_exceptions=True)

    async def _begin(self) -> int:
        """Start due work as slots are free; return the number of items begun."""
        busy = set(self._tasks)  # before the query: the rows of a task that ends meanwhile may still be in the result
        due = await self.due(self.slots + len(busy))
        chosen = [key for key in due if key not in busy][: max(self.slots - len(self._tasks), 0)]
        for key in chosen:
            self._tasks[key] = asyncio.create_task(self._worked(key, due[key]))
        return len(chosen)

    async def _worked(self, key: str, item: Item) -> None:
        """Work on an item and free its slot; a failure ends no loop."""
        try:
            await self.work(item)
        except Exception as error:
            self.failed(error)
            await clock.sleep(self.poll)
        finally:
            del self._tasks[key]
            self.wake()
