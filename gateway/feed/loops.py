"""Create the background loops of the HL7 feed: one sender for each destination, and loops for alerts and upkeep.

Carries out no clause of a standard: it connects parts.
Proved by tests/faults/test_process_faults.py.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from gateway.feed.alerts.monitor import AlertMonitor
from gateway.feed.compose.render_due import DueRenderer
from gateway.feed.deliver.destination_worker import DestinationWorker
from gateway.feed.deliver.hold_feed import HoldFeed
from gateway.feed.deliver.journaling import Journaling
from gateway.feed.deliver.retention import Retention
from gateway.feed.deliver.settings_watch import SettingsWatch
from gateway.routing import routes_of
from gateway.runtime import clock
from gateway.runtime.metrics import Metrics
from gateway.settings import Configuration
from gateway.store.database.engine import Engine
from gateway.store.feed.leases import Leases
from gateway.store.feed.plans import begun

Loops = list[Coroutine[Any, Any, None]]


@asynccontextmanager
async def feed_loops(
    configuration: Configuration, engine: Engine, metrics: Metrics, hold: HoldFeed | None
) -> AsyncIterator[Loops]:
    """Yield the loops of the feed; with `hold`, every destination is paused first.

    Raises:
        StoreUnavailable: the store cannot be reached.
    """
    settings, site, routes = configuration.settings.feed, configuration.site, routes_of(configuration)
    name = secrets.token_hex(8)
    leases = Leases(engine, name, settings.lease)
    enabled = [one for one in routes.destinations if one.is_enabled]
    names = [one.name for one in routes.destinations]
    await begun(engine, [one.name for one in enabled], clock.now())
    journal = Journaling(engine, configuration.state_dir, names, site.site_key, metrics)
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
        yield [
            journal.run(),
            *[one.run() for one in destination_workers],
            AlertMonitor(engine, enabled, settings, name, metrics).run(),
            Retention(engine, settings.retention_days).run(),
            SettingsWatch(engine, routes, settings, metrics, leases).run(),
        ]
    finally:
        await journal.close()
