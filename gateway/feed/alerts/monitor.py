"""Check the feed for alert conditions every 15 seconds; report changes in the log, the metrics and by webhook.

Carries out no clause of a standard; decisions D31, D32 and D38. Of several processes, the one that holds the `*alerts`
lease does this. The alerts already reported are kept in the database, so that the next holder does not repeat them.
Each change of state is posted once: an alert begins, grows with a new case, ends, or stays unacknowledged. The news
holds codes, counts, instants and study ids, and nothing about a patient.
Proved by tests/contract/test_alerting.py and tests/gateway/feed/alerts/test_news.py.
"""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from itertools import chain
from typing import Any, Final, Literal, TypeAlias

from gateway.feed.alerts.certificates import WatchedCertificate, certificate_alerts
from gateway.feed.alerts.conditions import (
    CANCELLED,
    LEFT_OPEN,
    NOT_LISTED,
    NOT_SERVED,
    ROWS,
    RUNBOOK,
    UNROUTED,
    UNSERVED,
    Alert,
    alerts,
    next_step,
)
from gateway.feed.alerts.mail import MailHook
from gateway.feed.alerts.webhook import AlertHook, hooks
from gateway.feed.fate import open_fates, places
from gateway.feed.holding import facilities_of
from gateway.routing import Destination
from gateway.runtime import clock
from gateway.runtime.errors import GatewayError
from gateway.runtime.log import get_logger
from gateway.runtime.loops import forever
from gateway.runtime.metrics import Metrics
from gateway.settings.feed import Feed
from gateway.store.database.engine import Engine, instant_text, micros
from gateway.store.feed.alerts import (
    MOST,
    AlertCase,
    StandingAlert,
    WatchedDestination,
    feed_facts,
    standing_alerts,
    store_alerts,
    unrouted,
)
from gateway.store.feed.cancelled_reports import open_items
from gateway.store.feed.destinations import open_work_of_each
from gateway.store.feed.leases import Leases, lease_standings
from gateway.store.feed.ledger import dead_letters, last_ack, stock
from gateway.store.orders.matches import count_unmatched
from gateway.store.studies.crawling import StoredCursors, read_record

MOST_STUDIES: Final = 20
Change = Literal["begins", "grows", "ends", "escalates"]


@dataclass(frozen=True, slots=True)
class AlertNews:
    """Change of an alert to post to one address, with the cases concerned."""

    hook: AlertHook | MailHook
    alert: StandingAlert
    change: Change
    cases: Mapping[int, AlertCase]

    def data(self) -> dict[str, Any]:
        """Return the `data` object of the webhook POST."""
        studies = list(_studies(self.cases) or self.alert.studies)
        data = {
            "alert": self.alert.code,
            "destination": self.alert.destination,
            "state": "cleared" if self.change == "ends" else "raised",
            "change": self.change,
            "count": len(self.cases) if self.change == "escalates" else self.alert.count,
            "studies": studies,
            "about": list(replace(self.alert, cases=self.cases).about or studies or [self.alert.destination]),
            "next": next_step(self.alert.code, self.alert.destination, next(iter(studies), "")),
            "runbook": f"{RUNBOOK}#{self.alert.code}",
        }
        since = min((case.since for case in self.cases.values()), default=None)
        return data if since is None else {**data, "since": instant_text(since)}

    def posted(self) -> StandingAlert:
        """Return the alert with these cases marked as posted to the address."""
        told = {name: cases for name, cases in self.alert.told.items() if name != self.hook.name}
        if self.change == "ends":
            return replace(self.alert, told=told)
        known = self.alert.told.get(self.hook.name, frozenset()) | self.cases.keys()
        return replace(self.alert, told={**told, self.hook.name: frozenset(known)})


def updated_alert(before: StandingAlert, condition: Alert | None, now: int) -> StandingAlert:
    """Update the stored alert to the condition found now (None: it ended); nothing is marked as posted.

    A new case is unacknowledged. `now` is in microseconds.
    """
    if condition is None:
        return replace(before, cases={}, studies=_studies(before.cases) or before.studies)
    begun = max(now, before.acknowledged + 1)
    cases = {
        number: before.cases.get(
            number, AlertCase(begun, study_id, number in condition.mild, condition.about.get(number, study_id))
        )
        for number, study_id in (condition.cases or {0: ""}).items()
    }
    told = {name: posted_cases & cases.keys() for name, posted_cases in before.told.items()}
    return replace(before, count=condition.count, cases=cases, told=told, studies=condition.studies[:MOST_STUDIES])


def news(alert: StandingAlert, hooks: Iterable[AlertHook | MailHook], now: int) -> Iterator[AlertNews]:
    """Yield the changes to post to each address, if any; `now` is in microseconds."""
    for hook in hooks:
        posted_cases = alert.told.get(hook.name)
        cases = _due(alert, hook, now) if hook.after else alert.cases
        if not alert.cases:
            if posted_cases is not None:
                yield AlertNews(hook, alert, "ends", {})
        elif posted_cases is None or not cases.keys() <= posted_cases:
            change: Change = "escalates" if hook.after else "begins" if posted_cases is None else "grows"
            if cases:
                yield AlertNews(hook, alert, change, cases)


def _due(alert: StandingAlert, hook: AlertHook | MailHook, now: int) -> Mapping[int, AlertCase]:
    """Return the cases that stayed unacknowledged for as long as the escalation address waits.

    A case whose instant is in the future counts too: the clock was set back, and the case's age is unknown.
    """
    row = ROWS.get(alert.code)
    if row is None or not row.escalates:
        return {}
    open_cases = alert.unacknowledged.items()
    due = {one: case for one, case in open_cases if not case.since <= now < case.since + hook.after}
    return {one: case for one, case in due.items() if not case.is_mild}


def _studies(cases: Mapping[int, AlertCase]) -> tuple[str, ...]:
    """Return the study ids of cases, newest first, at most `MOST_STUDIES`."""
    newest = sorted(cases.items(), key=lambda one: (one[1].since, one[0]), reverse=True)
    return tuple(dict.fromkeys(case.study_id for _, case in newest if case.study_id))[:MOST_STUDIES]


Key: TypeAlias = tuple[str, str]  # the code of a condition, and a destination
EVERY: Final = 15.0  # seconds
LEASE: Final = "*alerts"  # no destination can have this name
_LONG: Final = 4 * EVERY  # so that the holder renews the lease before it ends
_MINUTE: Final = 60.0
_GRACE: Final = 2.0
_SECOND: Final = 1_000_000
_OF_DESTINATIONS: Final = tuple(
    f"feed_{one}" for one in ("queue", "oldest_seconds", "held", "dead_letters", "last_ack_timestamp_seconds")
)
_UNMATCHED: Final = "orders_unmatched"
_GAUGES: Final = (*_OF_DESTINATIONS, "feed_open_reports", _UNMATCHED)


class AlertMonitor:
    """Monitor of all destinations, and of `certificates` if they are set; `holder` names this process in the lease."""

    def __init__(
        self,
        engine: Engine,
        destinations: Sequence[Destination],
        settings: Feed,
        holder: str,
        metrics: Metrics,
    ) -> None:
        self._engine, self._destinations, self._settings = engine, destinations, settings
        self._leases, self._metrics, self._hooks = Leases(engine, holder, _LONG), metrics, tuple(hooks(settings))
        self.certificates: Callable[[], Awaitable[Sequence[WatchedCertificate]]] | None = None
        self._shown: set[Key] = set()
        self._unserved: dict[str, float] = {}
        self._counted_from = 0.0

    async def run(self) -> None:
        """Check, report and wait, until cancelled; then give the monitor's lease back for another process."""
        try:
            await forever(self.turn, EVERY, not_done="alerts-not-seen")
        finally:  # the cancelled turn may or may not have taken the lease
            with suppress(GatewayError, TimeoutError):
                async with asyncio.timeout(_GRACE):
                    if (lease := await self._leases.take(LEASE)) is not None:
                        await self._leases.give_back(lease)

    async def turn(self) -> None:
        """Check and report once, unless another process holds the monitor's lease.

        Raises:
            StoreUnavailable: the store cannot be reached.
        """
        if await self._leases.take(LEASE) is not None:
            await self.once()
            await self._count_open()
        else:  # the holder of the lease shows the alerts
            self._show([])
            self._unserved = {}
            for name in (*_GAUGES, "certificate_days_left"):
                self._metrics.stands(name, {(): math.nan} if name == _UNMATCHED else {})

    async def _count_open(self) -> None:
        """Set the metrics of what is open at each destination (D49); counting takes at most a twentieth of the time."""
        began = clock.monotonic()
        if began < self._counted_from:
            return
        figures: dict[str, Counter[tuple[str, ...]]] = {name: Counter() for name in _GAUGES}
        for place in await places(self._engine, self._destinations):
            fates = [(place.label, one.fate.kind) async for one in open_fates(self._engine, place)]
            figures["feed_open_reports"].update(fates)
            stored, last = await stock(self._engine, place.name, 0), await last_ack(self._engine, place.name)
            age = 0 if stored.oldest is None else max(0, micros(clock.now()) - stored.oldest) // _SECOND
            given_up = len(await dead_letters(self._engine, place.name))
            each = (stored.queue, age, stored.held, given_up, last.at // _SECOND if last else None)
            for name, value in zip(_OF_DESTINATIONS, each, strict=True):
                figures[name].update({} if value is None else {(place.label,): value})
        figures[_UNMATCHED][()] = await count_unmatched(self._engine)
        for name, values in figures.items():
            self._metrics.stands(name, values)
        self._counted_from = clock.monotonic() + 20 * (clock.monotonic() - began)

    async def once(self) -> list[Alert]:
        """Report every alert that began, grew or ended since the last check; return all conditions that hold.

        Raises:
            StoreUnavailable: the store cannot be reached.
        """
        before = {(one.code, one.destination): one for one in await standing_alerts(self._engine)}
        alerts_now = {(one.code, one.destination): one async for one in self._found(before)}
        alerts_now = {key: await self._with_facilities(before, key, alert) for key, alert in alerts_now.items()}
        self._show(list(alerts_now.values()))
        now = micros(clock.now())
        keys = sorted(before.keys() | alerts_now.keys())
        current = {key: updated_alert(before.get(key) or StandingAlert(*key), alerts_now.get(key), now) for key in keys}
        await self._store_changed(before, current)
        reported = dict(current)
        for report in await self._posted([one for alert in current.values() for one in news(alert, self._hooks, now)]):
            key = report.alert.code, report.alert.destination
            reported[key] = replace(report, alert=reported[key]).posted()
        await self._store_changed(current, reported)
        return list(alerts_now.values())

    async def _with_facilities(self, before: Mapping[Key, StandingAlert], key: Key, alert: Alert) -> Alert:
        """Name the facilities of the newest cases that nobody was told of, or of the first studies of a condition."""
        known = before[key].cases if key in before else {}
        studies = alert.cases or dict.fromkeys([0], next(iter(alert.studies), ""))
        new = {one: study for one, study in list(studies.items())[-MOST_STUDIES:] if study and one not in known}
        facilities = await facilities_of(self._engine, set(new.values()))
        named = {
            one: f"{alert.about.get(one, study)}, facility {facilities[study]}"
            for one, study in new.items()
            if study in facilities
        }
        return replace(alert, about={**alert.about, **named})

    async def _store_changed(self, before: Mapping[Key, StandingAlert], after: Mapping[Key, StandingAlert]) -> None:
        """Store the changed alerts: before they are posted, and afterwards with the addresses that accepted them."""
        known = {hook.name for hook in self._hooks}
        changed = []
        for key, alert in after.items():
            was = before.get(key) or StandingAlert(*key)
            _log(was, alert)
            if alert.cases.keys() != was.cases.keys() or alert.told != was.told or not alert.cases:
                gone = alert.told.keys() - known if not alert.cases else ()  # addresses that left the settings
                changed.append(replace(alert, told={who: told for who, told in alert.told.items() if who not in gone}))
        if changed:
            await self._engine.do(partial(store_alerts, changed))

    async def _posted(self, alert_news: Sequence[AlertNews]) -> list[AlertNews]:
        """Post all alert changes at once and return what was accepted; the next check posts the rest again."""
        own = [[one for one in alert_news if one.hook is hook] for hook in self._hooks]
        answers = await asyncio.gather(
            *(hook.post_all([one.data() for one in each]) for hook, each in zip(self._hooks, own, strict=True))
        )
        pairs = zip(chain.from_iterable(own), chain.from_iterable(answers), strict=True)
        taken = [one for one, is_taken in pairs if is_taken]
        for report in taken:
            if report.change == "escalates":
                get_logger().error("alert-escalated", count=len(report.cases), **_named(report.alert))
        return taken

    def _show(self, found: Sequence[Alert]) -> None:
        """Set the alert metrics: to the conditions that hold, and to 0 for those that ended."""
        now = {(one.code, one.destination): one.count for one in found}
        for key in self._shown | now.keys():
            self._metrics.alerted(*key, now.get(key, 0))
        self._shown = set(now)

    async def _found(self, before: Mapping[Key, StandingAlert]) -> AsyncIterator[Alert]:
        """Yield every condition that holds now, at any destination or for the whole feed."""
        limit = self._settings.queue_age_alert_minutes * _MINUTE
        await self._see_who_serves(before)
        for destination in self._destinations:
            is_two_phase = destination.receiver.ack_mode == "two_phase"
            ages = timedelta(seconds=destination.critical_alert), timedelta(seconds=limit)
            watched = WatchedDestination(
                destination.name,
                *ages,
                is_two_phase,
                timedelta(seconds=destination.accession_wait),
                reads_back=destination.ehr is not None,
            )
            facts = await feed_facts(self._engine, watched, clock.now())
            unserved = clock.monotonic() - self._unserved.get(destination.name, clock.monotonic())
            where = str(destination.transport)
            for alert in alerts(destination.name, replace(facts, unserved=unserved), limit, where):
                yield alert
        studies = await unrouted(self._engine) if self._destinations else ()
        if studies:
            yield Alert(UNROUTED.code, "", len(studies), studies=studies, about={0: studies[0]})
        items = [one for one in await open_items(self._engine, MOST) if one.state == "open"]
        if items:
            cases = {one.number: one.study_id for one in items}
            mild = frozenset(one.number for one in items if not one.is_critical)
            about = {one.number: f"{one.study_id}, report {one.report_id}" for one in items}
            yield Alert(CANCELLED.code, "", len(items), cases, mild=mild, about=about)
        if not_listed := (await read_record(StoredCursors(self._engine))).not_listed:
            yield Alert(NOT_LISTED.code, "", not_listed, about={0: "the list of studies that the API key sees"})
        for gone in await open_work_of_each(self._engine, [one.name for one in self._destinations], MOST):
            if not gone.is_served:
                yield Alert(LEFT_OPEN.code, gone.name, gone.open, about={0: f"former destination {gone.name}"})
        if self.certificates is not None:
            found, now = await self.certificates(), clock.now()
            self._metrics.stands("certificate_days_left", {one.labels: one.days(now) for one in found})
            for alert in certificate_alerts(found, {one.name for one in self._destinations}, now):
                yield alert

    async def _see_who_serves(self, before: Mapping[Key, StandingAlert]) -> None:
        """Record since when each destination has had no lease holder.

        A destination with a stored `not-served` alert counts as unserved for longer than a minute already.
        """
        served, now = {one.name for one in await lease_standings(self._engine) if one.holder}, clock.monotonic()
        names = [one.name for one in self._destinations if one.name not in served]
        told = {name: now - 2 * UNSERVED for name in names if (NOT_SERVED, name) in before}
        self._unserved = {name: self._unserved.get(name, told.get(name, now)) for name in names}


def _log(was: StandingAlert, alert: StandingAlert) -> None:
    """Log an alert that begins, grows or ends."""
    if alert.cases.keys() - was.cases.keys():
        get_logger().error("alert", count=alert.count, **_named(alert))
    if was.cases and not alert.cases:
        get_logger().info("alert-over", **_named(alert))


def _named(alert: StandingAlert) -> dict[str, str]:
    """Return the log fields of an alert: its code, and its destination if it has one."""
    return {"code": alert.code} | ({"destination": alert.destination} if alert.destination else {})
