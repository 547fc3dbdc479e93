"""Delete the text of messages after `feed.retention_days`: hourly, in small batches, so that other writers can go on.

Carries out no clause of a standard; decision D7: the ledger stays.
"""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import Final

from gateway.runtime import clock
from gateway.runtime.log import get_logger
from gateway.runtime.loops import forever
from gateway.store.database.engine import Engine, micros
from gateway.store.feed.messages import purge_bodies

EVERY: Final = 3_600.0
BATCH: Final = 500
_PAUSE: Final = 0.05  # seconds between two batches, in which others can write


class Retention:
    """Hourly deletion of message texts that were settled more than so many days ago."""

    def __init__(self, engine: Engine, days: int, batch: int = BATCH) -> None:
        self._engine, self._days, self._batch = engine, days, batch

    async def once(self) -> int:
        """Delete all expired texts; return their number.

        Raises:
            StoreUnavailable: the store cannot be reached; the next run deletes the rest.
        """
        before = micros(clock.now() - timedelta(days=self._days))
        count = 0
        while deleted := await self._engine.do(partial(purge_bodies, before, self._batch)):
            count += deleted
            if deleted < self._batch:
                break
            await clock.sleep(_PAUSE)
        if count:
            get_logger().info("messages-purged", count=count)
        return count

    async def run(self) -> None:
        """Delete expired texts every hour, until cancelled."""
        await forever(self.once, EVERY, not_done="messages-not-purged")
