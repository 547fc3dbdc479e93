"""How many stored studies a second are told, rendering and all, against one commit a message.

Run by `make bench`: the studies are in the store and their messages are not made yet; the feed makes them and sends
them one after the other (window 1), each of another study, on one core; the receiver acknowledges at once on the other.
What one commit takes on the same disk is measured beside it.
"""

from __future__ import annotations

import asyncio
import resource
import sqlite3
import statistics
import time
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from bench import queued, stores
from bench.machine import MEASURED, on_core
from bench.test_feed import receiver
from fakes.databases import Server, at_once, server
from fakes.fed import site

from gateway.destinations import Destination, Routes
from gateway.pipeline import Pipeline
from gateway.store.postgres import Postgres
from gateway.store.sqlite import Sqlite
from gateway.store.statements import Statement

STUDIES, ROUNDS, COMMITS = 600, 3, 300
TO_REACH, CPU_TO_REACH = 0.70, {"sqlite": 2.0, "postgresql": 3.5}
_WAITING = Statement("SELECT count(*) FROM outbox WHERE destination = 'ehr' AND state = 'waiting'")
_TAKEN = Statement("SELECT count(*) FROM message WHERE destination = 'ehr' AND state = 'delivered'")

pytestmark = pytest.mark.timeout(900)


async def stored(engine: Sqlite | Postgres, one: Destination) -> int:
    """Take the studies in, for a destination that nobody serves yet; how many rows wait."""
    pipeline = Pipeline(engine, site(), ZoneInfo("UTC"), wants_pdf=False, routes=Routes((one,)))
    for fetched in stores.studies(STUDIES):

        async def fetch(fetched=fetched):
            return fetched

        await pipeline.ingest(fetched.study["studyId"], fetch)
    return int((await engine.fetch(_WAITING))[0][0])


def spent() -> float:
    """Seconds of CPU of this process, all threads."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


async def told(engine: Sqlite | Postgres, port: int) -> tuple[float, float]:
    """Messages a second from the first look of the feed to the last acknowledgement, and seconds of CPU for each."""
    one = queued.destination(port)
    async with engine.opened():
        await stored(engine, one)
        begun, cpu = time.perf_counter(), spent()
        async with queued.served(engine, one):
            while int((await engine.fetch(_WAITING))[0][0]) or await queued.left(engine):
                await asyncio.sleep(0.05)
            seconds, cpu = time.perf_counter() - begun, spent() - cpu
        count = int((await engine.fetch(_TAKEN))[0][0])
    return count / seconds, cpu / count
