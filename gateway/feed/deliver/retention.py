"""Lets go of the text of messages after `feed.retention_days`, every hour, a few at a time: nothing waits for long.

Carries out no clause of a standard; decision D7: the ledger stays.
"""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import Final

from gateway.runtime import clock
from gateway.runtime.log import get_logger
from gateway.runtime.loops import forever
from gateway.store.database.engine import Engine
from gateway.store.database.instants import micros
from gateway.store.feed.retention import purged

EVERY: Final = 3_600.0
BATCH: Final = 500
_PAUSE: Final = 0.05  # seconds between two batches, for whoever else writes


class Retention:
    """Keeps the text of messages for so many days after they were settled."""

    def __init__(self, engine: Engine, days: int, batch: int = BATCH) -> None:
        self._engine, self._days, self._batch = engine, days, batch

    async def once(self) -> int:
        """Let go of all that is over its time; how many texts.

        Raises:
            StoreUnavailable: the store cannot be reached; what is left goes the next time.
        """
        before = micros(clock.now() - timedelta(days=self._days))
        count = 0
        while found := await self._engine.do(partial(purged, before, self._batch)):
            count += found
            if found < self._batch:
                break
            await clock.sleep(_PAUSE)
        if count:
            get_logger().info("messages-purged", count=count)
        return count

    async def run(self) -> None:
        """Every hour, until cancelled."""
        await forever(self.once, EVERY, not_done="messages-not-purged")
