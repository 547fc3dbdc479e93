"""Week of several hospitals with one gateway, in virtual time and by seed: troubles, laws, and what is measured.

Decisions D26, D32, D33, D38. A broken law names its seed.
"""

from __future__ import annotations

import os
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from random import Random
from typing import Any
from unittest.mock import patch

from fakes.hospitals.account import Account, Signed
from fakes.hospitals.gateway import (
    CRITICAL_MINUTES,
    ESCALATION_MINUTES,
    SWEEP,
    Process,
    Store,
    configured,
    feed,
    replayed,
    sync,
)
from fakes.hospitals.load import HOUR, shares, signatures
from fakes.hospitals.receivers import Receivers, manners
from fakes.in_force import always_in_force
from fakes.simulation.loops import Scheduler
from fakes.simulation.store import in_memory
from structlog.testing import capture_logs

from gateway.feed import loops
from gateway.feed.alerts import monitor, webhook
from gateway.feed.alerts.monitor import MOST_STUDIES
from gateway.feed.alerts.webhook import AlertHook
from gateway.feed.deliver import destination_worker, feed_journal, lookahead
from gateway.mllp import peer
from gateway.routing import routes_of
from gateway.runtime import clock
from gateway.runtime.metrics import Metrics
from gateway.store.database import probe
from gateway.store.database.engine import WEBHOOK, micros
from gateway.store.enrichment import StoredWebhooks
from gateway.store.feed import leases

MONDAY = datetime(2026, 11, 2, tzinfo=UTC)
POLL = 60.0  # seconds: in place of the much shorter pauses of loops that a bell wakes anyway
WATCH = 30.0
STRETCHED = (
    (destination_worker, "_LOOK", POLL),
    (destination_worker, "_OLD_COPIES", POLL),
    (destination_worker, "_PLAN", 10 * POLL),
    (lookahead, "_IDLE", POLL),
    (feed_journal, "EVERY", WATCH),
    (monitor, "EVERY", POLL),
    (loops, "EVERY", HOUR),
    (probe, "EVERY", WATCH),
    (webhook, "EVERY", WATCH),
    (leases, "_LATER", POLL),
)
_TOLD = ((CRITICAL_MINUTES, ("begins", "grows")), (CRITICAL_MINUTES + ESCALATION_MINUTES, ("escalates",)))
SAMPLE = 300.0  # seconds between two samples
_DICTATED = 600.0, 5400.0  # seconds from a study's admission to its signature
_ADDENDA, _ADDED_AFTER = 0.04, (600.0, 14_400.0)
_WEBHOOK_LOST = 0.01
_SETTLES = 2 * HOUR  # after the last signature
# Seconds after a time in which the gateway could read nothing: the sweep finds what came and went meanwhile
_CATCHES_UP = SWEEP + 600.0
_WAITING = (
    "SELECT (SELECT count(*) FROM webhook WHERE state = 'waiting'),"
    " (SELECT count(*) FROM outbox WHERE state = 'waiting'),"
    " (SELECT count(*) FROM message WHERE state IN ('queued', 'sending', 'indeterminate'))"
)


class LawBroken(AssertionError):
    """A law did not hold; the text names the law, the time and the seed."""


@dataclass(frozen=True)
class Troubles:
    """Times of the troubles in seconds of the week: from, until; `copied` is when the restored copy was made."""

    receiver: tuple[float, float]
    upstream: tuple[float, float]
    database: tuple[float, float]
    copied: float
    restored: tuple[float, float]

    @classmethod
    def of_the_week(cls) -> Troubles:
        """Each on a day of its own, in the busiest hours."""

        def on(day: int, hour: float) -> float:
            return (24 * day + hour) * HOUR

        return cls(
            receiver=(on(1, 9.5), on(1, 11.5)),
            upstream=(on(2, 9.5), on(2, 10.25)),
            database=(on(3, 10), on(3, 10.25)),
            copied=on(4, 2),
            restored=(on(4, 11), on(4, 11.5)),
        )

    @property
    def unread(self) -> tuple[tuple[float, float], ...]:
        """Times in which the gateway could read nothing."""
        return self.upstream, self.database, self.restored


@dataclass
class Sample:
    """Backlog at an instant: signed reports without an acknowledgement, and the gateway's own queues."""

    at: float
    owed: int
    webhooks: int
    outbox: int
    messages: int


@dataclass
class Week:
    """The simulation; `run` executes it and checks the laws."""

    seed: int
    migrated: Path
    folder: Path
    hospitals: int = 50
    reports_a_year: float = 5_000_000  # of all these hospitals
    begins: float = 0.0
    ends: float = 7 * 24 * HOUR
    troubles: Troubles = field(default_factory=Troubles.of_the_week)
    critical: float = 0.02  # share of reports
    show: Callable[[str], None] = lambda text: None
    samples: list[Sample] = field(default_factory=list)
    alerts: list[tuple[float, str, dict[str, Any]]] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    log: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.dice = Random(self.seed)
        self.scheduler = Scheduler(self.dice)
        self.scheduler.now = self.begins
        self.is_away = False
        self._broken: list[str] = []
        self.account = Account(Random(self.seed), lambda: self.scheduler.now, self._signed, self.critical)
        self.database: sqlite3.Connection = in_memory(self.migrated)
        self._copy = sqlite3.connect(":memory:")
        self.configuration = configured(self.folder, self.hospitals)
        self.metrics = Metrics()

    def run(self) -> Week:
        """Run the simulation.

        Raises:
            LawBroken: a law did not hold.
        """
        with self._installed() as fileno:
            self.receivers = Receivers(self.scheduler, fileno, self.dice, self.account.signed, self._breaks)
            self.receivers.manners = manners
            self.processes = [self._process(name) for name in ("sync", "feed")]
            self._begin()
            self._plan_reports()
            self._plan_troubles()
            self.scheduler.run(self.ends + _SETTLES)
            self._check_the_end()
            for one in self.processes:
                one.stop()
            self.scheduler.finish()
        self.database.close()
        if self._broken:
            raise LawBroken(f"seed {self.seed}: {self._broken[0]} ({len(self._broken)} in all); the log: {self.log}")
        return self

    @contextmanager
    def _installed(self) -> Iterator[int]:
        """Replace the clock, the kernel and the alert address; yield a file descriptor that never is ready."""
        reader, writer = os.pipe()
        with ExitStack() as stack:
            stack.callback(os.close, reader)
            stack.callback(os.close, writer)
            replaced = (
                (clock, "monotonic", lambda: self.scheduler.now),
                (clock, "now", self._now),
                (peer, "unacknowledged", lambda sock: 0),
                (AlertHook, "post", self._post()),
                *STRETCHED,
            )
            for owner, name, value in replaced:
                stack.enter_context(patch.object(owner, name, value))
            self._logs: list[MutableMapping[str, Any]] = stack.enter_context(capture_logs())
            yield reader

    def _now(self) -> datetime:
        return MONDAY + timedelta(seconds=self.scheduler.now)

    def _post(self) -> Any:
        week = self

        async def post(hook: AlertHook, data: dict[str, Any]) -> bool:
            week.alerts.append((week.scheduler.now, hook.name, dict(data)))
            return True

        return post

    def _process(self, name: str) -> Process:
        loop = self.scheduler.loop(name)
        store = Store(self.database, lambda: micros(self._now()), lambda: self.is_away)
        loop.connect = self.receivers.connect
        store.bell.told = lambda topic: [
            one.store.bell.heard(topic) for one in self.processes if one.store is not store
        ]
        return Process(loop, store)

    # What happens

    def _begin(self) -> None:
        routes = routes_of(self.configuration)
        direct = Store(self.database, lambda: micros(self._now()), lambda: False)
        task = self.processes[0].loop.create_task(always_in_force(direct, routes.destinations, routes.ignores))
        self.scheduler.run(self.begins + 1)
        task.result()
        self._start()
        self._sample()

    def _start(self) -> None:
        syncing, feeding = self.processes
        syncing.start(sync(self.configuration, syncing.store, self.account, self.metrics))
        feeding.start(feed(self.configuration, feeding.store, self.metrics))

    def _plan_reports(self) -> None:
        for hospital, share in enumerate(shares(self.hospitals)):
            for at in signatures(self.dice, share * self.reports_a_year, self.begins + _DICTATED[1], self.ends):
                admitted = at - self.dice.uniform(*_DICTATED)
                self.scheduler.at(admitted, partial(self._admitted, hospital, at))

    def _admitted(self, hospital: int, signed_at: float) -> None:
        number, _ = self.account.admit(hospital)
        sign = partial(self.account.sign, hospital, number)
        self.scheduler.at(signed_at, sign)
        added = signed_at + self.dice.uniform(*_ADDED_AFTER)
        if self.dice.random() < _ADDENDA and added < self.ends:
            self.scheduler.at(added, sign)

    def _signed(self, study_id: str, report_id: str) -> None:
        """Send the webhook of a signed report, unless AutoScribe or the gateway is down or it is lost."""
        if self.account.is_down or self.is_away or self.dice.random() < _WEBHOOK_LOST:
            return
        syncing = self.processes[0]

        async def told() -> None:
            body = {"studyId": study_id, "reportId": report_id}
            name = f"{report_id}-webhook"
            await StoredWebhooks(syncing.store).record(name, name, "report.delivered", body, self._now())
            syncing.store.bell.ring(WEBHOOK)

        syncing.loop.create_task(told())

    def _plan_troubles(self) -> None:
        troubles, at = self.troubles, self.scheduler.at
        largest = self.hospitals - 1
        at(troubles.receiver[0], partial(self.receivers.switch_off, largest))
        at(troubles.receiver[1], partial(self.receivers.down.discard, largest))
        at(troubles.upstream[0], partial(setattr, self.account, "is_down", True))
        at(troubles.upstream[1], partial(setattr, self.account, "is_down", False))
        at(troubles.database[0], partial(setattr, self, "is_away", True))
        at(troubles.database[1], partial(setattr, self, "is_away", False))
        at(troubles.copied, lambda: self.database.backup(self._copy))
        lost, back = troubles.restored
        at(lost, partial(setattr, self, "is_away", True))
        at(lost + 120, lambda: [one.stop() for one in self.processes])
        at(back, self._restore)
        at(back + 300, self._resume)

    def _restore(self) -> None:
        self._copy.backup(self.database)
        self.is_away = False
        self._start()

    def _resume(self) -> None:
        syncing = self.processes[0]
        self._resuming = syncing.loop.create_task(
            replayed(self.configuration, syncing.store, self.account, self.said.append)
        )

    # What is seen

    def _sample(self) -> None:
        ((webhooks, outbox, messages),) = self.database.execute(_WAITING).fetchall()
        owed = sum(one.acknowledged is None for one in self.account.signed.values())
        self.samples.append(Sample(self.scheduler.now, owed, webhooks, outbox, messages))
        self.log.update(f"{one['event']} {one.get('code', '')}" for one in self._logs if one["log_level"] != "info")
        self._logs.clear()
        if self.scheduler.now % (6 * HOUR) < SAMPLE:
            self.show(f"{self._now():%A %H:%M}: {len(self.account.signed)} reports so far")
        self.scheduler.at(self.scheduler.now + SAMPLE, self._sample)

    def _breaks(self, text: str) -> None:
        self._broken.append(f"at {self._now():%a %H:%M:%S} {text}")

    def _check_the_end(self) -> None:
        lost = [key for key, one in self.account.signed.items() if one.acknowledged is None]
        if lost:
            self._breaks(f"{len(lost)} reports were never acknowledged, such as {lost[:3]}")
        for key, one in self.account.signed.items():
            if one.is_critical:
                self._check_critical(key, one)

    def _check_critical(self, key: tuple[int, int], one: Signed) -> None:
        """Check that a critical result was acknowledged, or that somebody was told of it, and then somebody else."""
        study_id, acknowledged = self.account.study_id(key[0]), one.acknowledged or float("inf")
        for minutes, changes in _TOLD:
            until = self.told_by(one.at) + minutes * 60
            if acknowledged > until and not any(
                one.at <= told <= until
                and data["alert"].startswith("critical")
                and data["change"] in changes
                and (study_id in data["studies"] or len(data["studies"]) == MOST_STUDIES)
                for told, _, data in self.alerts
            ):
                self._breaks(f"critical report {key} is neither acknowledged nor told after {minutes} minutes")

    def told_by(self, at: float) -> float:
        """Return the instant from which the minutes of a critical result count, with the monitor's own pause."""
        ends = [until + _CATCHES_UP for since, until in self.troubles.unread if since - POLL <= at < until]
        return max([at, *ends]) + 2 * POLL + WATCH
