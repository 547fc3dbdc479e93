"""Time that a commit keeps all other writers of versions waiting: the row of `tick` is locked last.

Run by `make bench`: two pipelines with engines of their own ingest sandbox studies into one PostgreSQL. Also the share
of commits with several studies. With `fsync = off` the time is the gateway's and the server's own.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from typing import Any

import pytest
from bench import stores
from fakes.databases import at_once

from gateway.store.database.postgres import Postgres
from gateway.store.database.statements import Steps, Work

STUDIES = 200  # for each pipeline
AT_ONCE = 8
_WHOLE = " FROM ticked"  # end of the statement that does all in one


class _Noting:
    """Connection that notes when the row of `tick` is locked, by the server's clock, which is this machine's."""

    def __init__(self, connection: Any) -> None:
        self._connection, self.begun, self.locked = connection, time.time(), 0.0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    async def fetch(self, sql: str, *values: Any) -> Any:
        if "UPDATE tick SET last" not in sql:
            return await self._connection.fetch(sql, *values)
        timed = sql.replace("RETURNING last", "RETURNING last, extract(epoch FROM clock_timestamp()) AS locked")
        if timed.endswith(_WHOLE):
            timed = f"{timed.removesuffix(_WHOLE)}, ticked.locked{_WHOLE}"
        rows = await self._connection.fetch(timed, *values)
        self.locked = float(rows[0][-1])
        return [row[:-1] for row in rows]


class Held(Postgres):
    """PostgreSQL that measures how long each transaction holds the row, and how long it takes, in seconds."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.held: list[float] = []
        self.whole: list[float] = []
        self._noting: dict[Any, _Noting] = {}

    async def do(self, work: Work[Any]) -> Any:
        try:
            return await super().do(work)
        finally:
            noting = self._noting.pop(asyncio.current_task(), None)
            if noting is not None and noting.locked:
                self.held.append(time.time() - noting.locked)
                self.whole.append(time.time() - noting.begun)

    async def _drive(self, connection: Any, steps: Steps[Any]) -> Any:
        noting = self._noting[asyncio.current_task()] = _Noting(connection)
        return await super()._drive(noting, steps)


async def held(url: str) -> tuple[list[float], list[float], float]:
    """Return the times that the row was held and that the transactions took, and the studies a second."""
    given = list(stores.studies(2 * STUDIES))
    engines = [Held(url), Held(url)]
    async with engines[0].opened(), engines[1].opened():
        begun = time.perf_counter()
        await asyncio.gather(
            *(stores.taken_in(engine, given[place::2], AT_ONCE) for place, engine in enumerate(engines))
        )
        seconds = time.perf_counter() - begun
    return engines[0].held + engines[1].held, engines[0].whole + engines[1].whole, len(given) / seconds


@pytest.mark.timeout(600)
def test_how_long_a_commit_holds_the_clock(postgres_database, say) -> None:
    times, whole, speed = at_once(held(postgres_database))
    at = statistics.quantiles(times, n=100)
    say(
        f"clock of the store held, postgresql without fsync: p50 {at[49] * 1e3:.2f} ms a commit (to reach: 1.5 ms),"
        f" p10 {at[9] * 1e3:.2f} ms, p99 {at[98] * 1e3:.1f} ms; {statistics.median(times) / statistics.median(whole):.0%}"  # noqa: E501
        " of the transaction"
    )
    say(f"  {2 * STUDIES / len(times):.1f} studies a commit, {speed:.0f} studies/s from two pipelines")
