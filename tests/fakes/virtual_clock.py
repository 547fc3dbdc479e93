"""Virtual clock for tests: time passes only when nothing is left to do, and then jumps to the next timer."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any, TypeVar

from gateway.runtime import clock

START = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)
Result = TypeVar("Result")
_really_sleep = asyncio.sleep


class VirtualClock:
    """Replacement of the clock; `busy` tells if work is under way that the loop does not know of."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.busy: Callable[[], bool] = lambda: False
        self._waiting: list[tuple[float, int, asyncio.Future[None]]] = []
        self._order = count()

    def install(self, monkeypatch: Any) -> VirtualClock:
        for name in ("now", "monotonic", "sleep"):
            monkeypatch.setattr(clock, name, getattr(self, name))
        return self

    def now(self) -> datetime:
        return START + timedelta(seconds=self.seconds)

    def monotonic(self) -> float:
        return self.seconds

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await _really_sleep(0)
            return
        woken = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (self.seconds + seconds, next(self._order), woken))
        await woken

    async def run(self, work: Awaitable[Result]) -> Result:
        """Let time pass until the work is done."""
        task = asyncio.ensure_future(work)
        while not task.done():
            await self._settle()
            if not task.done():
                await self._go_on()
        return await task

    async def run_for(self, seconds: float) -> None:
        """Let that much time pass for the tasks running beside."""
        end = self.seconds + seconds
        await self._settle()
        while self._waiting and self._waiting[0][0] <= end:
            await self._go_on()
            await self._settle()
        self.seconds = end

    async def step(self) -> None:
        """Run one step of the loop; time passes if nothing is left to do."""
        loop: Any = asyncio.get_running_loop()
        await _really_sleep(0)
        if self._waiting and not loop._ready:
            await self._go_on()

    async def _go_on(self) -> None:
        if not self._waiting:
            await _really_sleep(0.001)
            return
        due, _, woken = heapq.heappop(self._waiting)
        if not woken.done():
            self.seconds = max(self.seconds, due)
            woken.set_result(None)

    async def _settle(self) -> None:
        loop: Any = asyncio.get_running_loop()
        while True:
            await _really_sleep(0)
            if not loop._ready and not self.busy():
                return
            if not loop._ready:
                await _really_sleep(0.001)


def jump(monkeypatch: Any) -> None:
    """Let the running loop and the clock pass over every wait for a timer: for code that waits for nothing else."""
    loop: Any = asyncio.get_running_loop()
    seconds, select = [1_000.0], loop._selector.select

    def selected(timeout: float | None) -> Any:
        seconds[0] += timeout or 0.0
        return select(timeout and 0.0)

    monkeypatch.setattr(loop._selector, "select", selected)
    monkeypatch.setattr(loop, "time", lambda: seconds[0])
    monkeypatch.setattr(clock, "monotonic", lambda: seconds[0])
