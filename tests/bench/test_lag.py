"""Lag of the event loop while every commit takes 5 ms longer than usual.

Run by `make bench`: a process feeds one lane and takes in studies, eight side by side, and looks every 5 ms how late it
comes; by turns with commits as they are and with slow ones, as of a disk that takes its time for fsync(2).
"""

from __future__ import annotations

import asyncio
import statistics
import time
from typing import Any

import pytest
from bench import queued, stores
from bench.machine import MEASURED, on_core
from bench.margins import at_most
from bench.test_feed import receiver
from fakes.databases import at_once

from gateway.runtime.loops import alongside
from gateway.store.database.postgres import Postgres
from gateway.store.database.sqlite import Sqlite

MESSAGES, STUDIES, ROUNDS = 3_000, 300, 3
LONGER, EVERY = 0.005, 0.005  # seconds

pytestmark = pytest.mark.timeout(600)


class _SlowCommits:
    """A connection of which each commit takes longer, in the thread that it is asked for in."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def execute(self, sql: str, *values: Any) -> Any:
        if sql == "COMMIT":
            time.sleep(LONGER)
        return self._connection.execute(sql, *values)


class SlowSqlite(Sqlite):
    """SQLite on such a disk."""

    def _connect(self, *, writes: bool) -> Any:
        connection = super()._connect(writes=writes)
        return _SlowCommits(connection) if writes else connection


class SlowPostgres(Postgres):
    """A server on such a disk: its answer to a commit comes later."""

    async def _drive(self, connection: Any, steps: Any) -> Any:
        result = await super()._drive(connection, steps)
        await asyncio.sleep(LONGER)
        return result


async def watched(late: list[float]) -> None:
    """Measure the lag of the event loop repeatedly, in seconds."""
    while True:
        due = time.perf_counter() + EVERY
        await asyncio.sleep(EVERY)
        late.append(time.perf_counter() - due)


async def lag(engine: Sqlite | Postgres, port: int) -> tuple[list[float], float]:
    """Return the lag of the loop during ingest and delivery, and the messages delivered a second."""
    late: list[float] = []
    given = list(stores.studies(STUDIES))
    async with engine.opened():
        await queued.fill(engine, MESSAGES)
        async with queued.served(engine, queued.destination(port)):
            while await queued.left(engine) == MESSAGES:
                await asyncio.sleep(0.01)
            async with alongside([watched(late)]):
                seconds = await stores.taken_in(engine, given, 8)
            rest = await queued.left(engine)
    assert rest, "it was fed all the while"
    return late, (MESSAGES - rest) / seconds


def at_99(values: list[float]) -> float:
    return statistics.quantiles(values, n=100)[98] * 1e3


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_the_loop_while_every_commit_takes_longer(kind, new_database, say) -> None:
    engines = {"sqlite": (Sqlite, SlowSqlite), "postgresql": (Postgres, SlowPostgres)}[kind]
    as_is, slow, rates = [], [], []
    with receiver() as port, on_core(MEASURED):
        for _ in range(ROUNDS):
            for engine, into in zip(engines, (as_is, slow), strict=True):
                with new_database(kind) as database:
                    late, rate = at_once(lag(engine(database), port))
                into.extend(late)
                rates.append(rate)
    say(
        f"loop lag, {kind}, commits {LONGER * 1e3:.0f} ms longer: p99 {at_99(slow):.1f} ms, at most"
        f" {max(slow) * 1e3:.0f} ms; commits as they are: p99 {at_99(as_is):.1f} ms"
        f" {at_most(at_99(slow), 20, unit=' ms')}"
    )
    mine, slower = (statistics.median(rates[start::2]) for start in (0, 1))
    say(f"  {mine:.0f} and {slower:.0f} messages/s, while {STUDIES} studies were taken in")
