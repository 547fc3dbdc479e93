"""Stores filled with sandbox studies, and the time to fill them."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from zoneinfo import ZoneInfo

import asyncpg
from fakes.seeded import documents

from gateway.demo.stage import demo_site
from gateway.index.keys import key
from gateway.ingest import Fetched, Pipeline
from gateway.runtime import clock
from gateway.sandbox.seed import generate
from gateway.store.database import facts
from gateway.store.database.engine import Statement, micros
from gateway.store.database.postgres import Postgres
from gateway.store.database.sqlite import Sqlite
from gateway.store.studies.crawling import NAME, Finished, StoredCursors, SweepRecord

_SERVED = Statement(
    "SELECT r.address, t.value FROM resource r JOIN term t ON t.resource = r.number AND t.key = :key"
    " WHERE r.type = 'DiagnosticReport' AND r.is_suppressed = 0 ORDER BY r.number LIMIT :most"
)


def engine_of(url: str) -> Sqlite | Postgres:
    """Return the engine for a database URL."""
    return Sqlite(Path(url.removeprefix("sqlite:///"))) if url.startswith("sqlite") else Postgres(url)


async def reports(engine: Sqlite | Postgres, most: int) -> list[tuple[str, str]]:
    """Return addresses of some reports in a store, with the addresses of their patients."""
    rows = await engine.fetch(_SERVED, key=key("DiagnosticReport", "patient"), most=most)
    return [(str(address), str(patient)) for address, patient in rows]


def studies(count: int) -> Iterator[Fetched]:
    """Build AutoScribe's documents of so many sandbox studies."""
    for study, listed, users in documents(generate(studies=count)):
        if study.get("studyType") != "external":
            asked = micros(clock.now())
            yield Fetched(study, listed, users, asked, {one["userId"]: asked for one in users})


async def taken_in(engine: Sqlite | Postgres, given: Iterable[Fetched], at_once: int) -> float:
    """Ingest the studies with some concurrency; return the seconds."""
    pipeline, waiting = Pipeline(engine, demo_site(), ZoneInfo("UTC")), iter(given)

    async def work() -> None:
        for one in waiting:

            async def fetch(one: Fetched = one) -> Fetched:
                return one

            await pipeline.ingest(one.study["studyId"], fetch)

    begun = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(at_once)))
    return time.perf_counter() - begun


async def settled(url: str) -> None:
    """Bring a filled database to rest: vacuumed, analysed and written out, so that it has nothing to do of its own."""
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as file:
            file.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return
    connection = await asyncpg.connect(url)
    await connection.execute("VACUUM ANALYZE")
    await connection.execute("CHECKPOINT")
    await connection.close()


async def swept(engine: Sqlite | Postgres, count: int) -> None:
    """Record a full sweep as just finished, of a database that this release made: the index is complete."""
    now = clock.now()
    await facts.claimed(engine, facts.INDEX, facts.INDEX_REVISION)
    await StoredCursors(engine).put(NAME, SweepRecord(1, None, Finished(now, now, count), (now,)).as_json())
