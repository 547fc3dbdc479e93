"""Clock of the process: the only module that reads the time, replaceable in tests.

https://man7.org/linux/man-pages/man2/clock_getres.2.html: CLOCK_MONOTONIC stands still while a machine sleeps, and a
lease does not. CLOCK_BOOTTIME goes on.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Final


def _never_back() -> Callable[[], float]:
    """Return a reader of CLOCK_BOOTTIME if the system has it, else of CLOCK_MONOTONIC; neither goes back."""
    try:
        read = partial(time.clock_gettime, time.CLOCK_BOOTTIME)
        read()
    except (AttributeError, OSError):
        return time.monotonic
    return read


_NEVER_BACK: Final = _never_back()


def now() -> datetime:
    """Return the wall clock, in UTC."""
    return datetime.now(UTC)


def monotonic() -> float:
    """Return seconds of a clock that never goes back, and runs on while the machine sleeps if the system allows."""
    return _NEVER_BACK()


async def sleep(seconds: float) -> None:
    """Wait without blocking the loop."""
    await asyncio.sleep(seconds)
