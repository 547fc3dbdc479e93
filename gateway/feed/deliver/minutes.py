"""Store how many messages this process delivered in each minute, and how fast.

Carries out no clause of a standard; decision D33. A process that dies loses its counts of the last minute; the ledger
loses nothing. Kept for 32 days.
Proved by tests/contract/test_minutes.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from functools import partial
from typing import Final

from gateway.runtime import clock
from gateway.runtime.loops import forever
from gateway.runtime.metrics import Metrics
from gateway.store.database.engine import Engine, micros
from gateway.store.feed.messages import add_minute

EVERY: Final = 60.0  # seconds
KEPT: Final = timedelta(days=32)
_MINUTE: Final = 60_000_000


class Minutes:
    """Writer of the messages that this process delivered in each minute."""

    def __init__(self, engine: Engine, metrics: Metrics) -> None:
        self._engine, self._metrics = engine, metrics
        self._stored: Mapping[tuple[str, float], int] = {}

    async def run(self) -> None:
        """Store the counts every minute, until cancelled."""
        await forever(self.once, EVERY, not_done="minutes-not-stored")

    async def once(self) -> None:
        """Add what was delivered since the last call to the present minute.

        Raises:
            StoreUnavailable: the store cannot be reached; the next call adds both.
        """
        counted = self._metrics.delivered()
        new = {key: count - self._stored.get(key, 0) for key, count in counted.items()}
        new = {key: count for key, count in new.items() if count}
        if new:
            now = clock.now()
            minute = micros(now) // _MINUTE * _MINUTE
            await self._engine.do(partial(add_minute, minute, new, micros(now - KEPT)))
        self._stored = counted
