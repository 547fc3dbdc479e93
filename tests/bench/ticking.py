"""Processes that ingest studies into one PostgreSQL, and the times for which their commits hold the row of `tick`.

https://www.postgresql.org/docs/current/functions-info.html#FUNCTIONS-COMMIT-TIMESTAMP. A trigger notes when the row is
locked. The end of the lock is the server's commit; when the process hears of it is noted beside it.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import time
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable
from typing import Any, NamedTuple

import asyncpg
from bench import stores
from fakes.databases import at_once

from gateway.ingest import Fetched
from gateway.store.database.engine import Steps, Work
from gateway.store.database.postgres import Postgres

AT_ONCE = 8  # studies of each process under way
_PATIENCE = 600.0  # seconds
_NOTE = """
CREATE TABLE noted (xid xid, process INTEGER, locked TIMESTAMPTZ);
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO noted VALUES (CAST(pg_current_xact_id() AS xid), pg_backend_pid(), clock_timestamp());
    RETURN NEW;
END $$;
CREATE TRIGGER noting BEFORE UPDATE ON tick FOR EACH ROW EXECUTE FUNCTION note();
"""
_COMMITS = """
SELECT process, extract(epoch FROM locked), extract(epoch FROM pg_xact_commit_timestamp(xid)) FROM noted
"""


class Held(NamedTuple):
    """Seconds for which one commit held the row: until the server's commit, and until its process heard of it."""

    on_server: float
    until_heard: float


class Ran(NamedTuple):
    """Work of all processes together."""

    held: list[Held]
    studies: int
    versions: int
    seconds: float


class _Hearing(Postgres):
    """PostgreSQL that notes when it hears of each commit, by the clock of the server, which is this machine's."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.heard: list[tuple[int, float]] = []
        self._processes: dict[Any, int] = {}

    async def do(self, work: Work[Any]) -> Any:
        try:
            return await super().do(work)
        finally:
            self.heard.append((self._processes.pop(asyncio.current_task(), 0), time.time()))

    async def _drive(self, connection: Any, steps: Steps[Any]) -> Any:
        self._processes[asyncio.current_task()] = connection.get_server_pid()
        return await super()._drive(connection, steps)


def _ingest(url: str, share: slice, studies: int, ready: Any, told: Any) -> None:
    """Ingest a share of the studies, once the others are ready too: all of a process."""
    told.put(at_once(_ingested(url, list(stores.studies(studies))[share], ready)))


async def _ingested(url: str, given: Iterable[Fetched], ready: Any) -> tuple[list[tuple[int, float]], float]:
    engine = _Hearing(url)
    async with engine.opened():
        ready.wait(_PATIENCE)
        return engine.heard, await stores.taken_in(engine, given, AT_ONCE)


def ingest(url: str, processes: int, studies: int) -> Ran:
    """Ingest the studies into an empty database, by so many processes at the same time."""
    at_once(_execute(url, _NOTE))
    spawning = multiprocessing.get_context("spawn")
    ready, told = spawning.Barrier(processes), spawning.Queue()
    shares = [slice(place, None, processes) for place in range(processes)]
    running = [spawning.Process(target=_ingest, args=(url, share, studies, ready, told)) for share in shares]
    for one in running:
        one.start()
    answers = [told.get(timeout=_PATIENCE) for _ in running]
    for one in running:
        one.join(_PATIENCE)
    commits = at_once(_execute(url, _COMMITS))
    ((stored, versions),) = at_once(_execute(url, "SELECT (SELECT count(*) FROM study), count(*) FROM version"))
    held = _held(commits, [one for heard, _ in answers for one in heard])
    return Ran(held, stored, versions, max(seconds for _, seconds in answers))


def _held(commits: Iterable[tuple[int, float, float]], heard: Iterable[tuple[int, float]]) -> list[Held]:
    """Return the times of each commit: a process hears of it next after it."""
    by_process: dict[int, list[float]] = defaultdict(list)
    for process, at in sorted(heard):
        by_process[process].append(at)
    return [
        Held(float(done - locked), times[place] - float(locked))
        for process, locked, done in commits
        for times in (by_process[process],)
        if (place := bisect_left(times, float(done))) < len(times)
    ]


async def _execute(url: str, sql: str) -> list[Any]:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetch(sql) if sql.lstrip().startswith("SELECT") else [await connection.execute(sql)]
    finally:
        await connection.close()
