"""The only place that reads the clock; everything else is given the time.

Carries out no clause: a seam, so that tests can set the time.
"""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime


def now() -> datetime:
    """The wall clock, in UTC."""
    return datetime.now(UTC)


def monotonic() -> float:
    """Seconds on a clock that never goes back."""
    return time.monotonic()


async def sleep(seconds: float) -> None:
    """Wait without blocking the loop."""
    await asyncio.sleep(seconds)
