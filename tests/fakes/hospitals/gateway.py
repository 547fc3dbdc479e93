"""Gateway of several hospitals in virtual time: one process that crawls and ingests, one that feeds.

Real: the crawl, the webhook worker, the pipeline with both mappings, every statement of the store, the loops of the
feed with their journal, the alerts, and the MLLP connections. Not real: the place of the database (SQLite in memory),
HTTP to AutoScribe and to the alert address, the network, and the clock.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import AsyncIterator, Callable, Set
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

from fakes.gateway_process import SITE_KEY
from fakes.hospitals.account import Account, hospital
from fakes.hospitals.receivers import FIRST_PORT
from fakes.simulation.loops import Loop
from fakes.simulation.store import Direct, done

from gateway.cli import resume_restored
from gateway.crawl.crawler import crawl_forever
from gateway.crawl.ports import Crawl, Json
from gateway.feed.alerts.webhook import StoreAlarm
from gateway.feed.loops import feed_loops
from gateway.ingest.assembly import pipeline_of
from gateway.ingest.control_queue import ControlWork
from gateway.ingest.read_through import ReadThrough
from gateway.runtime.errors import StoreUnavailable
from gateway.runtime.loops import alongside, forever
from gateway.runtime.metrics import Metrics
from gateway.settings import Configuration, load
from gateway.store.database import probe
from gateway.store.database.engine import WEBHOOK, Bell, Row, Work
from gateway.store.database.facts import Controls
from gateway.store.database.probe import NoRoom, StoreProbe
from gateway.store.enrichment import StoredWebhooks
from gateway.store.studies.crawling import StoredCursors, StoredStudies
from gateway.webhooks.worker import WebhookWork, WorkPace

CRITICAL_MINUTES, ESCALATION_MINUTES = 10, 10
SWEEP = 900.0  # seconds
_COMMIT = 0.002  # seconds
_GIVEN_UP = 5.0  # seconds after which a call to a database that is away fails
_SETTINGS = f"""
[upstream]
api_key = "simulated"
base_url = "http://127.0.0.1:9"
[pdf]
ingest = "link"
[sync]
open_interval = 60
concurrency = 4
sweep_interval = {SWEEP:g}
[feed]
lease = 240
alert_url = "http://127.0.0.1:9/alerts"
[[feed.escalate]]
minutes = {ESCALATION_MINUTES}
url = "http://127.0.0.1:9/escalated"
"""
_FACILITY = """
[[mapping.facilities]]
name = "{name}"
time_zone = "UTC"
name_order = "given_family"
mrn_system = "{mrn_system}"
mrn_namespace = "{mrn_namespace}"
"""
_DESTINATION = """
[[destination]]
name = "hospital-{number:02}"
kind = "mllp"
host = "127.0.0.1"
port = {port}
receiver = "generic"
start = 2020-01-01T00:00:00Z
facilities = ["{name}"]
critical_alert_minutes = {minutes}
"""


def configured(folder: Path, hospitals: int) -> Configuration:
    """Write the settings of a gateway for so many hospitals, and read them."""
    text = _SETTINGS
    for number in range(hospitals):
        one = hospital(number)
        text += _FACILITY.format(name=one.name, mrn_system=one.mrn_system, mrn_namespace=one.mrn_namespace)
        port = FIRST_PORT + number
        text += _DESTINATION.format(number=number, port=port, name=one.name, minutes=CRITICAL_MINUTES)
    (folder / "gateway.toml").write_text(text)
    environment = {
        "GATEWAY_CONFIG": str(folder / "gateway.toml"),
        "GATEWAY_DATABASE_URL": f"sqlite:///{folder / 'gateway.db'}",
        "GATEWAY_MAPPING__SITE_KEY": SITE_KEY,
        "GATEWAY_FEED__STATE_DIR": str(folder),
        "GATEWAY_AUTH__MODE": "none",
    }
    with patch.dict(os.environ, environment):
        return load(None)


class Store(Direct):
    """The database as one process sees it; `is_away` says if it answers nobody now."""

    def __init__(self, database: sqlite3.Connection, now: Callable[[], int], is_away: Callable[[], bool]) -> None:
        super().__init__(database, now)
        self.bell, self.no_room, self._is_away = Bell(), NoRoom(), is_away

    async def _there(self) -> None:
        if self._is_away():
            await asyncio.sleep(_GIVEN_UP)
            raise StoreUnavailable("the database is away")

    async def query(self, sql: str, values: Any) -> list[Row]:
        await self._there()
        return self.database.execute(sql, values).fetchall()

    async def do(self, work: Work[Any]) -> Any:
        await self._there()
        result = done(self.database, work)
        await asyncio.sleep(_COMMIT)
        return result

    async def now(self) -> int:
        await self._there()
        return self._now()

    def room(self) -> None:
        """Free space is unknown."""


class Process:
    """One process of the gateway, which can be stopped and started again on its loop."""

    def __init__(self, loop: Loop, store: Store) -> None:
        self.loop, self.store = loop, store
        self._task: asyncio.Task[None] | None = None

    def start(self, main: Any) -> None:
        self._task = self.loop.create_task(main)

    def stop(self) -> None:
        """Stop, as by SIGTERM."""
        if self._task is not None:
            self._task.cancel()


async def sync(configuration: Configuration, store: Store, account: Account, metrics: Metrics) -> None:
    """Run the loops of the role `sync`: the crawl, stored webhooks, and control rows."""
    pipeline = pipeline_of(configuration, store)  # type: ignore[arg-type]
    reads = ReadThrough(account, store, pipeline, metrics)  # type: ignore[arg-type]

    async def signed(study_id: str) -> Set[str]:
        return {one.report_id for one in (await reads.study(study_id, fresh=True)).study.completed}

    work = WebhookWork(StoredWebhooks(store), signed, metrics, WorkPace(poll=configuration.settings.sync.open_interval))

    async def waking() -> None:
        with store.bell.listener(WEBHOOK) as listener:
            while True:
                await listener.wait(3600)
                work.wake()

    crawl = _crawl(configuration, store, account, metrics)
    controls = ControlWork(Controls(store), pipeline)
    controls.poll = configuration.settings.sync.open_interval
    async with alongside([crawl_forever(crawl), work.run(), waking(), controls.run()]):
        await asyncio.Event().wait()


async def feed(configuration: Configuration, store: Store, metrics: Metrics) -> None:
    """Run the loops of the role `feed`, and the alarm about the database."""
    watch = StoreProbe(store, "simulated")
    alarm = StoreAlarm(lambda: watch.trouble, configuration.settings.feed, metrics)
    beside = [forever(watch.once, probe.EVERY, not_done="store-not-probed"), alarm.run()]
    async with alongside(beside):
        while True:  # a process that cannot reach its database at the start is started again
            try:
                async with feed_loops(configuration, store, metrics, None) as loops, alongside(loops):
                    await asyncio.Event().wait()
            except StoreUnavailable:
                await asyncio.sleep(_GIVEN_UP)


async def replayed(configuration: Configuration, store: Store, account: Account, say: Callable[[str], None]) -> None:
    """Run `feed resume --restored`, as an operator does after a restore."""

    @asynccontextmanager
    async def opened(_: Configuration) -> AsyncIterator[Store]:
        yield store

    @asynccontextmanager
    async def crawling(*_: Any) -> AsyncIterator[Crawl]:
        yield _crawl(configuration, store, account, Metrics())

    with (
        patch.object(resume_restored, "store_for_command", opened),
        patch.object(resume_restored, "crawling", crawling),
    ):
        code = await resume_restored.resume_restored(configuration, None, [], "simulated restore", say)
    say(f"feed resume --restored ended with {code}")


def _crawl(configuration: Configuration, store: Store, account: Account, metrics: Metrics) -> Crawl:
    pipeline = pipeline_of(configuration, store)  # type: ignore[arg-type]
    reads = ReadThrough(account, store, pipeline, metrics)  # type: ignore[arg-type]

    async def ingest(study_id: str, *, listed: Json | None) -> None:
        await reads.study(study_id, fresh=True, listed=listed)

    known, cursors = StoredStudies(store, configuration.site.site_key), StoredCursors(store)
    return Crawl(account, ingest, known, cursors, configuration.settings.sync, metrics)  # type: ignore[arg-type]
