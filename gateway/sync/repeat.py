"""Runs a round of a loop again and again: nothing but cancellation ends it.

Carries out no clause of a standard. A round that fails is logged and begun anew after a pause that grows.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from gateway import clock
from gateway.errors import GatewayError
from gateway.log import get_logger
from gateway.sync.ports import Observer

_LONGEST_PAUSE: Final = 60.0


async def repeat(loop: str, once: Callable[[], Awaitable[int]], every: float, observer: Observer) -> None:
    """Begin a round every so many seconds, or as soon as the last is over; `once` returns the studies it listed."""
    failures = 0
    while True:
        begun = clock.monotonic()
        try:
            studies = await once()
        except Exception as error:
            failures += 1
            code = error.code if isinstance(error, GatewayError) else "internal"
            get_logger().error("round-failed", operation=loop, code=code, attempt=failures, exc_info=error)
            observer.failed_round(loop)
            wait = min(pause(failures), every)
        else:
            failures = 0
            seconds = clock.monotonic() - begun
            observer.finished_round(loop, clock.now(), seconds, studies)
            wait = max(every - seconds, 0)
        await clock.sleep(wait)


def pause(failures: int) -> float:
    """Seconds to wait after so many failures in a row: 2, 4, 8 … up to a minute."""
    return min(2.0 ** min(failures, 10), _LONGEST_PAUSE)
