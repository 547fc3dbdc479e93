"""Store how many messages each minute delivered, and read how many of a day, and how fast: p50 and p99 sign to ACK.

Carries out no clause of a standard; decision D33. Each process adds what it delivered itself. One that dies loses its
counts of the last minute; the ledger loses nothing. Kept for 32 days.
Proved by tests/contract/test_minutes.py.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Final

from gateway.runtime import clock
from gateway.runtime.loops import forever
from gateway.runtime.metrics import DELIVERED, LONGEST, Metrics
from gateway.store.database.engine import Engine, micros
from gateway.store.feed.messages import add_minute, delivered_since

EVERY: Final = 60.0  # seconds
KEPT: Final = timedelta(days=32)
_MINUTE: Final = 60_000_000
SLOT: Final = timedelta(minutes=30)
_DAY: Final = timedelta(days=1)
_MICROSECOND: Final = timedelta(microseconds=1)


class Minutes:
    """Writer of the messages that this process delivered in each minute."""

    def __init__(self, engine: Engine, metrics: Metrics) -> None:
        self._engine, self._metrics = engine, metrics
        self._stored: Mapping[tuple[str, int], int] = {}

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


@dataclass(frozen=True, slots=True)
class DayDelivered:
    """Messages delivered in the last 24 hours: their number, in each half hour, and seconds from signature to ACK.

    `p50` and `p99` are upper bounds; None where no message was acknowledged, or where it took longer than a day.
    """

    messages: int
    half_hours: tuple[int, ...]
    p50: int | None
    p99: int | None


async def day_delivered(engine: Engine, destination: str) -> DayDelivered:
    """Return what was delivered to a destination in the last 24 hours.

    Raises:
        StoreUnavailable: the store cannot be reached.
    """
    since = micros(clock.now() - _DAY)
    slots, within = Counter[int](), Counter[int]()
    for slot, seconds, messages in await delivered_since(engine, destination, since, SLOT // _MICROSECOND):
        if seconds == DELIVERED:
            slots[min(slot, _DAY // SLOT - 1)] += messages
        else:
            within[seconds] += messages
    half_hours = tuple(slots[place] for place in range(_DAY // SLOT))
    return DayDelivered(sum(half_hours), half_hours, _quantile(within, 0.5), _quantile(within, 0.99))


def _quantile(within: Mapping[int, int], share: float) -> int | None:
    """Return the seconds within which that share of the messages was acknowledged."""
    wanted, reached = share * sum(within.values()), 0
    for seconds in sorted(within):
        reached += within[seconds]
        if reached >= wanted:
            return None if seconds == LONGEST else seconds
    return None
