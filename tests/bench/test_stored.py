"""Measure how many stored studies a second are sent, rendering and all, against one commit a message.

Run by `make bench`: the studies are in the store and their messages are not made yet; the feed makes them and sends
them one after the other (window 1), each of another study, on one core; the receiver acknowledges at once on the other.
What one commit takes on the same disk is measured beside it.
"""

from __future__ import annotations

import asyncio
import resource
import statistics
import time
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from bench import queued, stores
from bench.commits import commit_of_postgresql, commit_of_sqlite
from bench.machine import MEASURED, on_core
from bench.margins import at_least, at_most
from bench.test_feed import receiver
from fakes.databases import at_once
from fakes.fed import site
from fakes.in_force import always_in_force

from gateway.ingest import Pipeline
from gateway.routing import Destination, Routes
from gateway.store.database.engine import Statement
from gateway.store.database.postgres import Postgres
from gateway.store.database.sqlite import Sqlite

STUDIES, ROUNDS = 600, 3
TO_REACH, CPU_TO_REACH = 0.70, {"sqlite": 2.0, "postgresql": 3.5}
_WAITING = Statement("SELECT count(*) FROM outbox WHERE destination = 'ehr' AND state = 'waiting'")
_TAKEN = Statement("SELECT count(*) FROM message WHERE destination = 'ehr' AND state = 'delivered'")

pytestmark = pytest.mark.timeout(900)


async def stored(engine: Sqlite | Postgres, one: Destination) -> int:
    """Ingest the studies for a destination that is not served yet; return the number of waiting rows."""
    await always_in_force(engine, [one])
    pipeline = Pipeline(engine, site(), ZoneInfo("UTC"), wants_pdf=False, routes=Routes((one,)))
    for fetched in stores.studies(STUDIES):

        async def fetch(fetched=fetched):
            return fetched

        await pipeline.ingest(fetched.study["studyId"], fetch)
    return int((await engine.fetch(_WAITING))[0][0])


def spent() -> float:
    """Return CPU seconds of this process, all threads."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


async def told(engine: Sqlite | Postgres, port: int, folder: Path) -> tuple[float, float]:
    """Messages a second from the first look of the feed to the last acknowledgement, and seconds of CPU for each.

    The feed keeps its journal in the folder, as the service does.
    """
    one = queued.destination(port)
    async with engine.opened():
        await stored(engine, one)
        begun, cpu = time.perf_counter(), spent()
        async with queued.served(engine, one, folder):
            while int((await engine.fetch(_WAITING))[0][0]) or await queued.left(engine):
                await asyncio.sleep(0.05)
            seconds, cpu = time.perf_counter() - begun, spent() - cpu
        count = int((await engine.fetch(_TAKEN))[0][0])
    return count / seconds, cpu / count


def say_of(say, kind: str, rounds: list[tuple[float, float]], commit: float) -> None:
    rate, cpu = (statistics.median(column) for column in zip(*rounds, strict=True))
    most = min(1 / commit, 1_000)
    say(
        f"stored study to ACK, {kind}, window 1: {rate:.0f} messages/s, {rate / most:.0%} of one commit a message or"
        f" 1,000/s {at_least(rate / most, TO_REACH)}, {cpu * 1e3:.1f} ms CPU each"
        f" {at_most(cpu * 1e3, CPU_TO_REACH[kind], unit=' ms')}"
    )
    say(f"  a commit on the same disk: {commit * 1e3:.2f} ms p50")


def test_stored_studies_on_sqlite(new_database, tmp_path, say) -> None:
    rounds = []
    with receiver() as port, on_core(MEASURED):
        commit = commit_of_sqlite(tmp_path)
        for _ in range(ROUNDS):
            with new_database("sqlite") as path:
                rounds.append(at_once(told(Sqlite(path, "FULL"), port, Path(path).parent)))
    say_of(say, "sqlite", rounds, commit)


def test_stored_studies_on_postgresql(postgres_server, tmp_path, say) -> None:
    rounds = []
    with receiver() as port:
        with postgres_server.database() as url:
            commit = at_once(commit_of_postgresql(url))
        for _ in range(ROUNDS):
            with postgres_server.database() as url, on_core(MEASURED):
                rounds.append(at_once(told(Postgres(url), port, tmp_path)))
    say_of(say, "postgresql", rounds, commit)
