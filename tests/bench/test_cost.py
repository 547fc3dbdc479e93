"""Cost of a report: processor time from AutoScribe's JSON to the acknowledgement, and bytes that stay in the database.

Run by `make bench`: sandbox studies are ingested, as an account grows, and their messages are composed and sent, all in
this process. With PostgreSQL the server's own time is counted, too. The number of studies is that of test_stored.py.
"""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from pathlib import Path

import pytest
from bench import queued
from bench.processor_time import spent
from bench.test_feed import receiver
from bench.test_stored import stored
from fakes.databases import at_once

from gateway.store.database.engine import Statement
from gateway.store.database.postgres import Postgres
from gateway.store.database.sqlite import Sqlite

_PROCESSES = "SELECT pid FROM pg_stat_activity"
_REPORTS = Statement("SELECT count(*) FROM report WHERE status = 'completed'")
_STUDIES = Statement("SELECT count(*) FROM study")
_WAITING = Statement("SELECT count(*) FROM outbox WHERE destination = 'ehr' AND state = 'waiting'")
_SIZE = {
    "sqlite": "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size",
    "postgresql": "SELECT pg_database_size(current_database())",
}

pytestmark = pytest.mark.timeout(900)


@dataclass
class Cost:
    """Milliseconds of processor time to ingest and to send a report, and bytes of a study in the database."""

    ingest: float
    send: float
    size: float


async def _cpu(engine: Sqlite | Postgres) -> float:
    """Return CPU seconds so far of this process and of the server."""
    rows = await engine.query(_PROCESSES, []) if isinstance(engine, Postgres) else []
    return spent([os.getpid(), *(int(process) for (process,) in rows)])


async def cost(engine: Sqlite | Postgres, port: int, folder: Path) -> Cost:
    """Ingest and send, and measure."""
    one = queued.destination(port)
    async with engine.opened():
        empty, begun = int((await engine.query(_SIZE[engine.dialect], []))[0][0]), await _cpu(engine)
        await stored(engine, one)
        ingested = await _cpu(engine)
        reports, studies = [int((await engine.fetch(statement))[0][0]) for statement in (_REPORTS, _STUDIES)]
        async with queued.served(engine, one, folder):
            while int((await engine.fetch(_WAITING))[0][0]) or await queued.left(engine):
                await asyncio.sleep(0.05)
        sent = await _cpu(engine)
        if isinstance(engine, Sqlite):
            await engine.emptied_log()
        size = int((await engine.query(_SIZE[engine.dialect], []))[0][0]) - empty
    return Cost((ingested - begun) / studies * 1e3, (sent - ingested) / reports * 1e3, size / studies)


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_the_cost_of_a_report(kind, new_database, tmp_path, say) -> None:
    with receiver() as port, new_database(kind) as place:
        found = at_once(cost(Sqlite(place) if kind == "sqlite" else Postgres(place), port, tmp_path))
    say(
        f"cost, {kind}: {found.ingest:.1f} ms CPU to ingest a study once, {found.send:.1f} ms to compose and send a"
        f" report, {found.size / 1000:.0f} kB of a study with its messages"
    )
