"""Run one piece of work at a time for each key; callers who ask during that time share the result.

Carries out no clause of a standard: fifty readers of one study cause one request to AutoScribe.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from typing import Any, TypeVar, cast

Result = TypeVar("Result")
Work = Callable[[], Coroutine[Any, Any, Result]]


class SingleFlight:
    """Runs work in tasks of its own, so that one cancelled caller does not stop the work for the others."""

    def __init__(self) -> None:
        self._tasks: dict[Hashable, asyncio.Task[Any]] = {}

    async def run(self, key: Hashable, work: Work[Result]) -> Result:
        """Return the result of the work under way for that key, or start this work."""
        task = self._tasks.get(key)
        if task is None:
            task = asyncio.create_task(work())
            self._tasks[key] = task
            task.add_done_callback(lambda done: self._landed(key, done))
        return cast(Result, await asyncio.shield(task))

    async def run_fresh(self, key: Hashable, work: Work[Result]) -> Result:
        """Run as `run` does, but never return the result of work that began before this call."""
        if (under_way := self._tasks.get(key)) is not None:
            await asyncio.wait({under_way})
        return await self.run(key, work)

    async def close(self) -> None:
        """Stop all work under way."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _landed(self, key: Hashable, task: asyncio.Task[Any]) -> None:
        self._tasks.pop(key, None)
        if not task.cancelled():
            task.exception()
