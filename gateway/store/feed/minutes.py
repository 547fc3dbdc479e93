"""Messages that were delivered in each minute: how many of a day, and how fast from signature to ACK (p50 and p99).

Carries out no clause of a standard; decision D33. Proved by tests/contract/test_minutes.py.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from gateway.runtime import clock
from gateway.store.database.engine import Engine, Statement, Steps, ask, ask_each, micros

DELIVERED: Final = 0  # stands for the number of all messages, in place of seconds
_LONGEST: Final = 2**31
SLOT: Final = timedelta(minutes=30)
_DAY: Final = timedelta(days=1)

_ADD_MINUTE: Final = Statement(
    "INSERT INTO minute (destination, at, within, messages) VALUES (:destination, :at, :within, :messages)"
    " ON CONFLICT (destination, at, within) DO UPDATE SET messages = minute.messages + excluded.messages"
)
_DROP_MINUTES: Final = Statement("DELETE FROM minute WHERE destination = :destination AND at < :before")
_SINCE: Final = Statement(
    "SELECT (at - :since) / :length, within, sum(messages) FROM minute WHERE destination = :destination"
    " AND at >= :since GROUP BY 1, 2"
)


def add_minute(at: int, delivered: Mapping[tuple[str, float], int], before: int) -> Steps[None]:
    """Add the messages delivered in the minute that began `at`; drop minutes before another instant (microseconds).

    `delivered` counts them by destination and seconds from signature to ACK: see `Metrics.delivered`.
    """
    counts = [
        {"destination": name, "at": at, "within": int(min(within, _LONGEST)), "messages": n}
        for (name, within), n in delivered.items()
    ]
    yield from ask_each(_ADD_MINUTE, counts)
    for name in sorted({name for name, _ in delivered}):
        yield from ask(_DROP_MINUTES, destination=name, before=before)


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
    length = SLOT // timedelta(microseconds=1)
    for slot, seconds, messages in await engine.fetch(_SINCE, destination=destination, since=since, length=length):
        if seconds == DELIVERED:
            slots[min(int(slot), _DAY // SLOT - 1)] += int(messages)
        else:
            within[int(seconds)] += int(messages)
    half_hours = tuple(slots[place] for place in range(_DAY // SLOT))
    return DayDelivered(sum(half_hours), half_hours, _quantile(within, 0.5), _quantile(within, 0.99))


def _quantile(within: Mapping[int, int], share: float) -> int | None:
    """Return the seconds within which that share of the messages was acknowledged."""
    wanted, reached = share * sum(within.values()), 0
    for seconds in sorted(within):
        reached += within[seconds]
        if reached >= wanted:
            return None if seconds == _LONGEST else seconds
    return None
