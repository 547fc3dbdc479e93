"""Run a background loop forever; interface by which loops that read AutoScribe report their progress.

Carries out no clause of a standard; decision D26. A failed round is logged and tried again; only cancellation ends the
loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, Final, Protocol, TypeVar

from gateway.runtime import clock
from gateway.runtime.log import code_of, get_logger


class Observer(Protocol):
    """Observer of the loops; `loop` is `open_set`, `cancelled` or `sweep`. All times in seconds."""

    def ingested(self, trigger: str, outcome: str) -> None:
        """Count a study that a loop ingested (`outcome` is `done`) or failed to ingest (the error's code)."""

    def finished_round(self, loop: str, at: datetime, seconds: float, studies: int) -> None:
        """Record a finished round that listed so many studies."""

    def failed_round(self, loop: str) -> None:
        """Count a round that failed; the loop goes on."""

    def missing(self, count: int) -> None:
        """Set the number of studies with signed reports that the last whole sweep did not list."""

    def throttled(self, seconds: float) -> None:
        """Add a time for which AutoScribe asked for no request."""


class Unobserved:
    """Observer that does nothing."""

    def ingested(self, trigger: str, outcome: str) -> None:
        """Do nothing."""

    def finished_round(self, loop: str, at: datetime, seconds: float, studies: int) -> None:
        """Do nothing."""

    def failed_round(self, loop: str) -> None:
        """Do nothing."""

    def missing(self, count: int) -> None:
        """Do nothing."""

    def throttled(self, seconds: float) -> None:
        """Do nothing."""


UNOBSERVED: Final = Unobserved()


Result = TypeVar("Result")

_LONGEST_PAUSE: Final = 60.0
_LONGEST_REST: Final = 1.0


async def repeat(loop: str, once: Callable[[], Awaitable[int]], every: float, observer: Observer) -> None:
    """Begin a round every `every` seconds, or as soon as the last one ends; `once` returns the studies listed.

    After a failed round, the next one begins after a growing pause.
    """
    failures = 0
    while True:
        begun = clock.monotonic()
        try:
            studies = await once()
        except Exception as error:
            failures += 1
            get_logger().error("round-failed", operation=loop, code=code_of(error), attempt=failures, exc_info=error)
            observer.failed_round(loop)
            wait = min(pause(failures), every)
        else:
            failures = 0
            seconds = clock.monotonic() - begun
            observer.finished_round(loop, clock.now(), seconds, studies)
            wait = max(every - seconds, 0)
        await clock.sleep(wait)


async def forever(once: Callable[[], Awaitable[object]], every: float, not_done: str) -> None:
    """Call `once` again and again, `every` seconds after it ends; a failure is logged as `not_done`."""
    while True:
        try:
            await once()
        except Exception as error:
            get_logger().warning(not_done, code=code_of(error), exc_info=error)
        await clock.sleep(every)


async def resting(work: Awaitable[Result]) -> Result:
    """Do one piece of long work, then wait as long again, to leave half of the time to others."""
    begun = clock.monotonic()
    result = await work
    await clock.sleep(min(clock.monotonic() - begun, _LONGEST_REST))
    return result


@asynccontextmanager
async def alongside(loops: Iterable[Coroutine[Any, Any, None]]) -> AsyncIterator[None]:
    """Run these loops while the block runs; at its end, cancel each and wait for it."""
    tasks = [asyncio.create_task(loop) for loop in loops]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def pause(failures: int) -> float:
    """Return the seconds to wait after so many failures in a row: 2, 4, 8 … up to a minute."""
    return min(2.0 ** min(failures, 10), _LONGEST_PAUSE)
