"""The only place that reads the clock; everything else is given the time.

https://man7.org/linux/man-pages/man2/clock_getres.2.html: CLOCK_MONOTONIC stands still while a machine sleeps, and a
lease does not; CLOCK_BOOTTIME goes on. A seam, so that tests can set the time.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Final


def _never_back() -> Callable[[], float]:
    """CLOCK_BOOTTIME where the system has one, else CLOCK_MONOTONIC."""
    try:
        read = partial(time.clock_gettime, time.CLOCK_BOOTTIME)
        read()
    except (AttributeError, OSError):
        return time.monotonic
    return read


_NEVER_BACK: Final = _never_back()


def now() -> datetime:
    """The wall clock, in UTC."""
    return datetime.now(UTC)


def monotonic() -> float:
    """Seconds on a clock that never goes back, and goes on while the machine sleeps, if the system has such a one."""
    return _NEVER_BACK()


async def sleep(seconds: float) -> None:
    """Wait without blocking the loop."""
    await asyncio.sleep(seconds)
