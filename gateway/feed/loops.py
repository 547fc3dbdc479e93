"""Create the background loops of the HL7 feed: senders, alerts, counts, deletion of old texts, a watch over settings.

Carries out no clause of a standard; decisions D7, D33, D37. The text of messages is deleted after
`feed.retention_days`, in small batches, so that other writers can go on; the ledger stays. A process whose destination
settings differ from those of the lease holder raises an alert and decides nothing: it ingests by the settings in force.
Proved by tests/contract/test_settings_watch.py and tests/faults/test_process_faults.py.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Collection, Coroutine, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any, Final

from gateway.feed.alerts import certificates
from gateway.feed.alerts.conditions import SETTINGS_DIFFER
from gateway.feed.alerts.monitor import AlertMonitor
from gateway.feed.alerts.webhook import hooks, process_alert_data
from gateway.feed.compose.render_due import DueRenderer
from gateway.feed.deliver.destination_worker import DestinationWorker
from gateway.feed.deliver.feed_journal import FeedJournal
from gateway.feed.read_back.filed_reports import LEASE_SECONDS, FiledReports
from gateway.ingest.settings_in_force import wanted
from gateway.routing import Destination, Routes, routes_of
from gateway.runtime import clock
from gateway.runtime.errors import StoreError
from gateway.runtime.log import get_logger
from gateway.runtime.loops import forever
from gateway.runtime.metrics import Metrics
from gateway.settings import Configuration
from gateway.settings.feed import Feed
from gateway.store.database.engine import Engine, micros
from gateway.store.feed.leases import Leases
from gateway.store.feed.messages import add_minute, purge_bodies
from gateway.store.feed.plans import begun, in_force_of, is_retired, put_in_force
from gateway.store.feed.restoring import hold_destinations

EVERY_HOUR: Final = 3_600.0
BATCH: Final = 500
_PAUSE: Final = 0.05  # seconds between two batches, in which others can write


class Retention:
    """Hourly deletion of message texts that were settled more than a number of days ago."""

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
        await forever(self.once, EVERY_HOUR, not_done="messages-not-purged")


EVERY_MINUTE: Final = 60.0  # seconds
MINUTES_KEPT: Final = timedelta(days=32)
_MINUTE: Final = 60_000_000  # microseconds


class Minutes:
    """Writer of how many messages this process delivered in each minute, and how fast; kept for 32 days.

    A process that dies loses its counts of the last minute; the ledger loses nothing.
    """

    def __init__(self, engine: Engine, metrics: Metrics) -> None:
        self._engine, self._metrics = engine, metrics
        self._stored: Mapping[tuple[str, float], int] = {}

    async def run(self) -> None:
        """Store the counts every minute, until cancelled."""
        await forever(self.once, EVERY_MINUTE, not_done="minutes-not-stored")

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
            await self._engine.do(partial(add_minute, minute, new, micros(now - MINUTES_KEPT)))
        self._stored = counted


EVERY: Final = 15.0  # seconds


class SettingsWatch:
    """Watch that the settings in force for each destination are this process's; with `leases` it may disable one."""

    def __init__(
        self, engine: Engine, routes: Routes, settings: Feed, metrics: Metrics, leases: Leases | None = None
    ) -> None:
        self._engine, self._routes, self._metrics, self._leases = engine, routes, metrics, leases
        self._hooks = [one for one in hooks(settings) if not one.after]
        self._other: set[str] = set()
        self._told: set[str] = set()
        self._posted: set[tuple[str, str]] = set()  # address and destination

    async def run(self) -> None:
        """Check every 15 seconds, until cancelled."""
        await forever(self.once, EVERY, not_done="settings-not-seen")

    async def once(self) -> None:
        """Check once. Alert only a difference seen twice in a row: a starting lease holder may need a moment.

        Raises:
            StoreUnavailable: the store cannot be reached.
        """
        other = {one.name for one in self._routes.destinations if await self._differs(one)}
        differs = other & self._other
        for name in differs - self._told:
            get_logger().error("alert", code=SETTINGS_DIFFER.code, destination=name, count=1)
        for name in self._told - differs:
            get_logger().info("alert-over", code=SETTINGS_DIFFER.code, destination=name)
        for name in differs | self._told:
            self._metrics.alerted(SETTINGS_DIFFER.code, name, int(name in differs))
        self._other, self._told = other, differs
        for hook in self._hooks:
            posted = {name for address, name in self._posted if address == hook.name}
            for name in sorted(differs ^ posted):  # the next check tries again what is not accepted
                state, about = "raised" if name in differs else "cleared", f"settings of {name} on this machine"
                data = process_alert_data(SETTINGS_DIFFER.code, name, state, (1, clock.now()), about)
                self._posted ^= {(hook.name, name)} if await hook.post(data) else set()

    async def _differs(self, destination: Destination) -> bool:
        """True if the settings in force for a destination differ from those of this process.

        A destination that is disabled here and has no lease holder gets these settings put in force. One that was
        retired stays owed nothing, also of a move.
        """
        own = wanted(destination.terms, self._routes.ignores)
        standing = await in_force_of(self._engine, destination.name)
        if standing is None or standing.digest == own.digest:
            return False
        if not destination.is_enabled and await is_retired(self._engine, destination.name):
            return False
        if destination.is_enabled or self._leases is None:
            return True
        lease = await self._leases.take(destination.name)
        if lease is None:
            return True
        await self._engine.do(partial(put_in_force, lease, own, micros(clock.now())))
        await self._leases.give_back(lease)
        get_logger().info("destination-off", destination=destination.name)
        return False


@dataclass(frozen=True, slots=True)
class HoldFeed:
    """Start with the feed held; `restored_from` is the time of the restored backup.

    In microseconds; None if the database was not restored.
    """

    restored_from: int | None = None

    async def begin(self, engine: Engine, journal: FeedJournal, destinations: Collection[str]) -> None:
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


Loops = list[Coroutine[Any, Any, None]]


def certificate_loop(engine: Engine) -> Coroutine[Any, Any, None]:
    """Return the loop that stores the certificates that peers showed to this process."""
    return forever(certificates.ShownNotes(engine).once, certificates.EVERY, not_done="certificates-not-stored")


@asynccontextmanager
async def feed_loops(
    configuration: Configuration, engine: Engine, metrics: Metrics, hold: HoldFeed | None
) -> AsyncIterator[Loops]:
    """Start the loops of the feed and yield them; with `hold`, pause every destination first.

    Raises:
        StoreUnavailable: the store cannot be reached.
    """
    settings, site, routes = configuration.settings.feed, configuration.site, routes_of(configuration)
    name = secrets.token_hex(8)
    leases = Leases(engine, name, settings.lease)
    enabled = [one for one in routes.destinations if one.is_enabled]
    names = [one.name for one in routes.destinations]
    await begun(engine, [one.name for one in enabled], clock.now())
    reading = Leases(engine, name, LEASE_SECONDS)
    read_backs = [FiledReports(engine, site, one, reading, metrics) for one in enabled if one.ehr]
    minutes = Minutes(engine, metrics)
    journal = FeedJournal(engine, configuration.state_dir, names, site.site_key, metrics)
    try:
        if hold is not None:
            await hold.begin(engine, journal, names)
        destination_workers = [
            DestinationWorker(
                DueRenderer(engine, site, one, metrics),
                leases,
                settings,
                metrics,
                ignores=routes.ignores,
                journal=journal,
            )
            for one in enabled
        ]
        monitor = AlertMonitor(engine, enabled, settings, name, metrics)
        monitor.certificates = partial(certificates.watched_certificates, engine, configuration)
        yield [
            journal.run(),
            *[one.run() for one in destination_workers],
            minutes.run(),
            monitor.run(),
            Retention(engine, settings.retention_days).run(),
            SettingsWatch(engine, routes, settings, metrics, leases).run(),
            *[one.run() for one in read_backs],
        ]
    finally:
        with suppress(StoreError):
            await minutes.once()
        await journal.close()
