"""`serve --hold-feed`: start the service with all destinations paused; store/feed/restoring.py keeps earlier pauses.

Carries out no clause of a standard; decision D38. After a restore that no journal covers, messages that may have been
sent since the backup are held, and never sent again automatically.
Proved by tests/contract/test_journaling.py and tests/contract/test_seen_there.py.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import partial

from gateway.feed.deliver.journaling import Journaling
from gateway.runtime import clock
from gateway.runtime.log import get_logger
from gateway.store.database.engine import Engine, micros
from gateway.store.feed.restoring import hold_destinations


@dataclass(frozen=True, slots=True)
class HoldFeed:
    """Choice to start with the feed held; `restored_from` is the time of the backup that was restored.

    In microseconds; None if the database was not restored.
    """

    restored_from: int | None = None

    async def begin(self, engine: Engine, journal: Journaling, destinations: Collection[str]) -> None:
        """Pause the destinations, before anything is sent.

        Raises:
            StoreUnavailable: the store cannot be reached.
        """
        now = micros(clock.now())
        lanes = await engine.do(partial(hold_destinations, destinations, self.restored_from, now))
        if self.restored_from is not None:
            await journal.accept()
        get_logger().warning("feed-held", count=len(destinations), action=("feed", "resume"))
        if lanes:
            get_logger().warning("may-have-been-sent", count=lanes, action=("feed", "status"))
