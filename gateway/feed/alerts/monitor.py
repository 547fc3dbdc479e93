"""Looks at the feed again and again and tells of what is new: in the log, in the metrics and by a webhook.

Carries out no clause of a standard; decisions D31, D32 and D38. One process of several does it, by a lease as for a
destination; what was told is kept in the database, for the next.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Final, TypeAlias

from gateway.feed.alerts.conditions import LEFT_OPEN, NOT_SERVED, UNROUTED, UNSERVED, Alert, alerts
from gateway.feed.alerts.news import AlertNews, news, seen
from gateway.feed.alerts.webhook import hooks
from gateway.routing import Destination
from gateway.runtime import clock
from gateway.runtime.errors import GatewayError
from gateway.runtime.log import get_logger
from gateway.runtime.loops import forever
from gateway.runtime.metrics import Metrics
from gateway.settings.feed import Feed
from gateway.store.database.engine import Engine
from gateway.store.database.instants import micros
from gateway.store.feed.feed_facts import MOST, Watched, feed_facts, unrouted
from gateway.store.feed.leases import Leases, standing
from gateway.store.feed.leaving import left
from gateway.store.feed.standing_alerts import StandingAlert, kept, standing_alerts

Key: TypeAlias = tuple[str, str]  # the code of a condition, and a destination
EVERY: Final = 15.0  # seconds
LEASE: Final = "*alerts"  # no destination can have this name
_LONG: Final = 4 * EVERY  # who watches goes on watching
_MINUTE: Final = 60.0
_GRACE: Final = 2.0


class Alerting:
    """The watch over all destinations, by the process that `holder` names."""

    def __init__(
        self, engine: Engine, destinations: Sequence[Destination], settings: Feed, holder: str, metrics: Metrics
    ) -> None:
        self._engine, self._destinations, self._settings = engine, destinations, settings
        self._leases, self._metrics, self._hooks = Leases(engine, holder, _LONG), metrics, tuple(hooks(settings))
        self._shown: set[Key] = set()
        self._unserved: dict[str, float] = {}

    async def run(self) -> None:
        """Look, tell, and wait, until cancelled; then another process may at once."""
        try:
            await forever(self.turn, EVERY, not_done="alerts-not-seen")
        finally:  # a lease that was being taken may be there, or not
            with suppress(GatewayError, TimeoutError):
                async with asyncio.timeout(_GRACE):
                    if (lease := await self._leases.take(LEASE)) is not None:
                        await self._leases.give_back(lease)

    async def turn(self) -> None:
        """Look and tell, if no other process does.

        Raises:
            StoreUnavailable: the store cannot be reached.
        """
        if await self._leases.take(LEASE) is not None:
            await self.once()
        else:  # what holds is another's to say
            self._show([])
            self._unserved = {}

    async def once(self) -> list[Alert]:
        """Tell whoever has not heard it of what holds, and of what holds no more; all that holds.

        Raises:
            StoreUnavailable: the store cannot be reached.
        """
        before = {(one.code, one.destination): one for one in await standing_alerts(self._engine)}
        found = {(one.code, one.destination): one async for one in self._found(before)}
        self._show(list(found.values()))
        now = micros(clock.now())
        keys = sorted(before.keys() | found.keys())
        stands = {key: seen(before.get(key) or StandingAlert(*key), found.get(key), now) for key in keys}
        await self._keep(before, stands)
        told = dict(stands)
        for one in await self._posted([one for alert in stands.values() for one in news(alert, self._hooks, now)]):
            key = one.alert.code, one.alert.destination
            told[key] = replace(one, alert=told[key]).heard()
        await self._keep(stands, told)
        return list(found.values())

    async def _keep(self, before: Mapping[Key, StandingAlert], after: Mapping[Key, StandingAlert]) -> None:
        """Keep what has changed, before anybody is told of it and then who has been."""
        known = {hook.name for hook in self._hooks}
        changed = []
        for key, alert in after.items():
            was = before.get(key) or StandingAlert(*key)
            _log(was, alert)
            if alert.cases.keys() != was.cases.keys() or alert.told != was.told or not alert.cases:
                gone = alert.told.keys() - known if not alert.cases else ()  # nobody can tell them that it is over
                changed.append(replace(alert, told={who: told for who, told in alert.told.items() if who not in gone}))
        if changed:
            await self._engine.do(partial(kept, changed))

    async def _posted(self, told: Sequence[AlertNews]) -> list[AlertNews]:
        """Post all of it at one time; what was taken. The rest is posted again by the next round."""
        answers = await asyncio.gather(*(one.hook.post(one.said()) for one in told))
        taken = [one for one, is_taken in zip(told, answers, strict=True) if is_taken]
        for one in taken:
            if one.change == "escalates":
                get_logger().error("alert-escalated", count=len(one.cases), **_named(one.alert))
        return taken

    def _show(self, found: Sequence[Alert]) -> None:
        """Have the metrics say what holds, and of what they said before that it is over."""
        now = {(one.code, one.destination): one.count for one in found}
        for key in self._shown | now.keys():
            self._metrics.alerted(*key, now.get(key, 0))
        self._shown = set(now)

    async def _found(self, before: Mapping[Key, StandingAlert]) -> AsyncIterator[Alert]:
        limit = self._settings.queue_age_alert_minutes * _MINUTE
        await self._see_who_serves(before)
        for one in self._destinations:
            is_two_phase = one.receiver.ack_mode == "two_phase"
            ages = timedelta(seconds=one.critical_alert), timedelta(seconds=limit)
            watched = Watched(one.name, *ages, is_two_phase, timedelta(seconds=one.accession_wait))
            facts = await feed_facts(self._engine, watched, clock.now())
            unserved = clock.monotonic() - self._unserved.get(one.name, clock.monotonic())
            for alert in alerts(one.name, replace(facts, unserved=unserved), limit):
                yield alert
        studies = await unrouted(self._engine) if self._destinations else ()
        if studies:
            yield Alert(UNROUTED.code, "", len(studies), studies=studies)
        for gone in await left(self._engine, [one.name for one in self._destinations], MOST):
            if not gone.is_served:
                yield Alert(LEFT_OPEN.code, gone.name, gone.open)

    async def _see_who_serves(self, before: Mapping[Key, StandingAlert]) -> None:
        """Note since when nobody has served a destination, as far as was seen here or told by a process before."""
        served, now = {one.name for one in await standing(self._engine) if one.holder}, clock.monotonic()
        names = [one.name for one in self._destinations if one.name not in served]
        told = {name: now - 2 * UNSERVED for name in names if (NOT_SERVED, name) in before}
        self._unserved = {name: self._unserved.get(name, told.get(name, now)) for name in names}


def _log(was: StandingAlert, alert: StandingAlert) -> None:
    """Say what begins, grows and ends."""
    if alert.cases.keys() - was.cases.keys():
        get_logger().error("alert", count=alert.count, **_named(alert))
    if was.cases and not alert.cases:
        get_logger().info("alert-over", **_named(alert))


def _named(alert: StandingAlert) -> dict[str, str]:
    """The code and the destination, where it is of one, as the log says them."""
    return {"code": alert.code} | ({"destination": alert.destination} if alert.destination else {})
