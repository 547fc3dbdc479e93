"""Looks at the feed again and again and tells of what is new: in the log, in the metrics and by a webhook.

Carries out no clause of a standard; decisions D31 and D32. One process of several does it, by a lease as for a
destination.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Final

from gateway import clock
from gateway.destinations import Destination
from gateway.feed.alert_hook import AlertHook
from gateway.feed.alerts import LEFT_OPEN, UNROUTED, Alert, alerts
from gateway.log import get_logger
from gateway.metrics import Metrics
from gateway.settings.feed import Feed
from gateway.store.engine import Engine
from gateway.store.feed_facts import MOST, Watched, feed_facts, unrouted
from gateway.store.leases import Leases, standing
from gateway.store.leaving import left
from gateway.sync.repeat import forever

EVERY: Final = 15.0  # seconds
LEASE: Final = "*alerts"  # no destination can have this name
_LONG: Final = 4 * EVERY  # who watches goes on watching
_MINUTE: Final = 60.0


class Alerting:
    """The watch over all destinations, by the process that `holder` names."""

    def __init__(
        self, engine: Engine, destinations: Sequence[Destination], settings: Feed, holder: str, metrics: Metrics
    ) -> None:
        self._engine, self._destinations, self._settings = engine, destinations, settings
        self._leases, self._metrics, self._hook = Leases(engine, holder, _LONG), metrics, AlertHook(settings)
        self._told: dict[tuple[str, str], Alert] = {}
        self._shown: set[tuple[str, str]] = set()
        self._unserved: dict[str, float] = {}

    async def run(self) -> None:
        """Look, tell, and wait, until cancelled."""
        await forever(self.turn, EVERY, not_done="alerts-not-seen")

    async def turn(self) -> None:
        """Look and tell, if no other process does.

        Raises:
            StoreUnavailable: the store cannot be reached.
        """
        if await self._leases.take(LEASE) is not None:
            await self.once()
        else:  # what holds is another's to say, and what was told here may be over
            self._show([])
            self._told, self._unserved = {}, {}

    async def once(self) -> list[Alert]:
        """Tell of what holds and was not told, and of what holds no more; all that holds.

        Raises:
            StoreUnavailable: the store cannot be reached.
        """
        found = [alert async for alert in self._found()]
        now = {(one.code, one.destination): one for one in found}
        self._show(found)
        for key, alert in now.items():
            told = self._told.get(key)
            is_new = told is None or not alert.which <= told.which
            if is_new:
                get_logger().error("alert", code=alert.code, destination=alert.destination, count=alert.count)
            if not is_new or await self._posted(alert, "raised"):
                self._told[key] = alert
        for key in self._told.keys() - now.keys():
            alert = self._told[key]
            get_logger().info("alert-over", code=alert.code, destination=alert.destination)
            if await self._posted(alert, "cleared"):
                del self._told[key]
        return found

    def _show(self, found: Sequence[Alert]) -> None:
        """Have the metrics say what holds, and of what they said before that it is over."""
        now = {(one.code, one.destination): one.count for one in found}
        for key in self._shown | now.keys():
            self._metrics.alerted(*key, now.get(key, 0))
        self._shown = set(now)

    async def _found(self) -> AsyncIterator[Alert]:
        limit = self._settings.queue_age_alert_minutes * _MINUTE
        await self._see_who_serves()
        for one in self._destinations:
            is_two_phase = one.receiver.ack_mode == "two_phase"
            ages = timedelta(seconds=one.critical_alert), timedelta(seconds=limit)
            facts = await feed_facts(self._engine, Watched(one.name, *ages, is_two_phase), clock.now())
            unserved = clock.monotonic() - self._unserved.get(one.name, clock.monotonic())
            for alert in alerts(one.name, replace(facts, unserved=unserved), limit):
                yield alert
        count = await unrouted(self._engine) if self._destinations else 0
        if count:
            yield Alert(UNROUTED.code, "", count)
        for gone in await left(self._engine, [one.name for one in self._destinations], MOST):
            if not gone.is_served:
                yield Alert(LEFT_OPEN.code, gone.name, gone.open)

    async def _see_who_serves(self) -> None:
        """Note since when, as far as was seen here, nobody has served a destination."""
        served, now = {one.name for one in await standing(self._engine) if one.holder}, clock.monotonic()
        names = [one.name for one in self._destinations if one.name not in served]
        self._unserved = {name: self._unserved.get(name, now) for name in names}

    async def _posted(self, alert: Alert, state: str) -> bool:
        said = {"alert": alert.code, "destination": alert.destination, "count": alert.count, "state": state}
        return await self._hook.post({"type": "feed.alert", "timestamp": clock.now().isoformat(), "data": said})
