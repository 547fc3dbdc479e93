"""Return what needs a person beside the states of `feed status`: critical results of a day, conflicts, orders.

HL7 v2.5.1 §2.9.2 (AA: the receiver's interface has accepted the message); decisions D12, D48, D49. By ids and
codes only. It stands apart from `feed status`, which loads less.
Proved by tests/gateway/console/test_pages.py.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from gateway.feed.fate import ACKNOWLEDGED, Fate, fates, places
from gateway.feed.operator.show import order_match
from gateway.routing import routes_of
from gateway.runtime import clock
from gateway.settings import Configuration
from gateway.store.database.engine import Engine, instant, micros, moment
from gateway.store.feed.ledger import recent_critical
from gateway.store.orders.inbound import troubled
from gateway.store.orders.matches import UNMATCHED, matches_with
from gateway.store.studies import identities

MOST_CRITICAL: Final = 200  # the newest rows of each state that are looked at for critical results
OPEN_CONFLICTS: Final = frozenset({"held apart", "contradicted"})


@dataclass(frozen=True, slots=True)
class CriticalResult:
    """Critical result at one destination: its fate, when it was signed, and when the receiver acknowledged it."""

    report_id: str
    study_id: str
    destination: str
    fate: Fate
    signed: datetime | None
    acknowledged: datetime | None

    @property
    def wait(self) -> timedelta | None:
        """Time from the signature to the acknowledgement, None if one of them is not known."""
        return self.acknowledged - self.signed if self.acknowledged and self.signed else None


async def critical_of_day(engine: Engine, configuration: Configuration) -> tuple[CriticalResult, ...]:
    """Return the critical results that were signed within 24 hours, those that are open first, then the newest.

    Raises:
        ConfigError: the settings of a destination are wrong.
        StoreUnavailable: the store cannot be reached.
    """
    since = micros(clock.now() - timedelta(days=1))
    known = await places(engine, routes_of(configuration).destinations)
    causes = [one for place in known for one in await recent_critical(engine, place.name, since, MOST_CRITICAL)]
    latest = {(one.destination, one.report_id): one for one in sorted(causes, key=lambda one: one.answered or 0)}
    found = []
    for one in await fates(engine, {cause.study_id for cause in latest.values()}, known):
        cause = latest.get((one.place.name, one.report_id))
        if cause is not None:
            answered = moment(cause.answered) if one.fate.kind in ACKNOWLEDGED else None
            told = one.report_id, one.study_id, one.place.label, one.fate
            found.append(CriticalResult(*told, moment(cause.signed), answered))
    found.sort(key=lambda one: (not one.fate.is_open, -one.signed.timestamp() if one.signed else 0))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class WaitingElsewhere:
    """Conflict about a patient, study without an order, or held message of a hospital: by ids and codes.

    `number` is that of the message, and `patient_id` that of the conflict; a study without an order has neither.
    """

    reason: str
    since: datetime
    study_id: str = ""
    patient_id: str = ""
    number: int | None = None


async def waiting_elsewhere(engine: Engine, most: int) -> tuple[WaitingElsewhere, ...]:
    """Return what waits beside the feed: identity conflicts, messages of hospitals, studies without an order.

    There are at most `most` of each kind; `identity list`, `orders messages` and `orders list` list all.

    Raises:
        StoreUnavailable: the store cannot be reached.
    """
    conflicts = [one for one in await identities.every(engine) if one.state in OPEN_CONFLICTS]
    found = [WaitingElsewhere(one.state, one.since, one.study_id, one.patient_id) for one in conflicts[:most]]
    async for message in troubled(engine):
        if sum(one.number is not None for one in found) == most:
            break
        found.append(
            WaitingElsewhere(f"{message.state} ({message.code})", instant(message.settled), number=message.number)
        )
    return (*found, *[one async for one in _without_order(engine, most)])


async def _without_order(engine: Engine, most: int) -> AsyncIterator[WaitingElsewhere]:
    """Yield the first studies of `orders list`."""
    count = 0
    for verdict in UNMATCHED:
        async for match in matches_with(engine, verdict, 0):
            if count == most:
                return
            count += 1
            yield WaitingElsewhere(str(order_match(match)), instant(match.since), match.study_id)
