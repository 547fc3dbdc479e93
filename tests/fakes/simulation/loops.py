"""Event loops in one virtual time, one per gateway: a seeded scheduler chooses the next callback.

https://docs.python.org/3/library/asyncio-eventloop.html. A loop can be suspended, as by SIGSTOP: between two callbacks,
or in the middle of one, which then goes on at a later instant of its own clock.
"""

from __future__ import annotations

import asyncio
import heapq
from asyncio import events
from collections import deque
from collections.abc import Callable
from itertools import count
from random import Random
from typing import Any

_IN_A_ROW = (1, 1, 2, 4, 8)  # callbacks that a gateway may run in one turn


class Loop(asyncio.AbstractEventLoop):
    """Loop of one gateway; `before` is called before each callback."""

    def __init__(self, scheduler: Scheduler, name: str) -> None:
        self.scheduler, self.name = scheduler, name
        self.ready: deque[asyncio.Handle] = deque()
        self.timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self.asleep_until = 0.0
        self.before: Callable[[], None] = lambda: None
        self.connect: Any = None
        self.errors: list[dict[str, Any]] = []
        self._order = count()

    def time(self) -> float:
        """Seconds on this gateway's clock, which is ahead of the others' after a sleep in the middle of a callback."""
        return max(self.scheduler.now, self.asleep_until)

    def sleep_now(self, seconds: float) -> None:
        """Suspend the loop for that long, at this point."""
        self.asleep_until = self.time() + seconds

    def call_soon(self, callback: Any, *args: Any, context: Any = None) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        self.ready.append(handle)
        return handle

    call_soon_threadsafe = call_soon

    def call_later(self, delay: float, callback: Any, *args: Any, context: Any = None) -> asyncio.TimerHandle:
        return self.call_at(self.time() + delay, callback, *args, context=context)

    def call_at(self, when: float, callback: Any, *args: Any, context: Any = None) -> asyncio.TimerHandle:
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        heapq.heappush(self.timers, (when, next(self._order), handle))
        return handle

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def create_task(self, coro: Any, **more: Any) -> asyncio.Task[Any]:
        return asyncio.Task(coro, loop=self, **more)

    def run_in_executor(self, executor: Any, function: Any, *args: Any) -> asyncio.Future[Any]:
        """Run a function of a thread at once: it takes no virtual time."""
        future = self.create_future()
        try:
            future.set_result(function(*args))
        except Exception as error:
            future.set_exception(error)
        return future

    async def create_connection(self, factory: Any, host: Any = None, port: Any = None, **more: Any) -> Any:
        return await self.connect(self, factory, port, **more)

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return True

    def is_closed(self) -> bool:
        return False

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        self.errors.append(context)

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """Ignore the cancellation: the timer is skipped when its time comes."""

    def due(self) -> float:
        """Earliest instant at which the loop has something to run."""
        while self.timers and self.timers[0][2]._cancelled:
            heapq.heappop(self.timers)
        when = 0.0 if self.ready else self.timers[0][0] if self.timers else float("inf")
        return max(when, self.asleep_until)

    def step(self) -> None:
        """Run one or a few callbacks: ready ones before timers, as in asyncio."""
        if not self.ready:
            while self.timers and self.timers[0][0] <= self.scheduler.now:
                self.ready.append(heapq.heappop(self.timers)[2])
        if not self.ready:
            return
        events._set_running_loop(self)
        try:
            for _ in range(self.scheduler.dice.choice(_IN_A_ROW)):
                self.before()
                if self.asleep_until > self.scheduler.now or not self.ready:
                    return
                handle = self.ready.popleft()
                if not handle._cancelled:
                    handle._run()
        finally:
            events._set_running_loop(None)


class Scheduler:
    """Virtual time, and the choice of the next loop; `at` schedules an event outside all gateways."""

    def __init__(self, dice: Random) -> None:
        self.dice, self.now = dice, 0.0
        self.loops: list[Loop] = []
        self.is_halted = False
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = count()

    def loop(self, name: str) -> Loop:
        """Add a loop."""
        self.loops.append(Loop(self, name))
        return self.loops[-1]

    def at(self, when: float, event: Callable[[], None]) -> None:
        heapq.heappush(self._events, (when, next(self._order), event))

    def run(self, until: float, is_over: Callable[[], bool] = lambda: False) -> None:
        """Let time pass until that instant, or until it is over."""
        while self.now <= until and not self.is_halted:
            dues = [one.due() for one in self.loops]
            event = self._events[0][0] if self._events else float("inf")
            when = max(self.now, min(*dues, event))
            if when > until:
                self.now = until
                return
            self.now = when
            if event <= when:
                heapq.heappop(self._events)[2]()
                if is_over():
                    return
                continue
            running = [one for one, due in zip(self.loops, dues, strict=True) if due <= when]
            (running[0] if len(running) == 1 else self.dice.choice(running)).step()

    def finish(self) -> None:
        """Cancel everything under way, so that nothing is left behind."""
        self.is_halted = False
        for loop in self.loops:
            loop.asleep_until = 0.0
            loop.before = lambda: None
            for task in asyncio.all_tasks(loop):
                task.cancel()
        self.run(self.now + 120)
