"""SQLite database in memory behind the `Engine` interface: each call is executed inline, after a while.

Carries out no clause of a standard. A call can be delayed before it is executed, or between that and its return. If it
fails, the caller does not know which of the two happened.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Any

from fakes.simulation.loops import Loop

from gateway.runtime.errors import StoreUnavailable
from gateway.store.database.engine import Bell, Row, Statement, Work
from gateway.store.database.sqlite import _drive

SECOND = 1_000_000
_CALL = 0.0005


def in_memory(file: Path) -> sqlite3.Connection:
    """Copy a migrated database into memory."""
    database = sqlite3.connect(":memory:", isolation_level=None, cached_statements=512)
    with sqlite3.connect(file) as source:
        source.backup(database)
    source.close()
    return database


def done(database: sqlite3.Connection, work: Work[Any]) -> Any:
    """Run work in a transaction and return its result; if it raises, nothing is done."""
    database.execute("BEGIN")
    try:
        result = _drive(database, work())
    except BaseException:
        database.execute("ROLLBACK")
        raise
    database.execute("COMMIT")
    return result


class Direct:
    """The database without any wait, for an observer; `now` is the time by its own clock."""

    dialect = "sqlite"

    def __init__(self, database: sqlite3.Connection, now: Callable[[], int]) -> None:
        self.database, self._now = database, now

    async def fetch(self, statement: Statement, **values: Any) -> Sequence[Row]:
        compiled = statement.compiled("sqlite")
        return await self.query(compiled.sql, compiled.positional(values))

    async def query(self, sql: str, values: Sequence[Any]) -> Sequence[Row]:
        return self.database.execute(sql, values).fetchall()

    async def scan(self, sql: str, values: Sequence[Any], seconds: float, *, tries_here: bool = False) -> Sequence[Row]:
        return await self.query(sql, values)

    async def now(self) -> int:
        return self._now()

    async def do(self, work: Work[Any]) -> Any:
        return done(self.database, work)


class Distant(Direct):
    """The database of a gateway: each call takes time, and waits until `frozen_until`.

    `after` is called with the work and its result, before the caller gets it.
    """

    def __init__(self, database: sqlite3.Connection, now: Callable[[], int], loop: Loop, dice: Random) -> None:
        self.bell = Bell()
        super().__init__(database, now)
        self._loop, self._dice = loop, dice
        self.frozen_until = 0.0
        self.after: Callable[[Any, Any], None] = lambda work, result: None

    async def _wait(self) -> None:
        await asyncio.sleep(_CALL)
        if self._loop.time() < self.frozen_until:
            await asyncio.sleep(self.frozen_until - self._loop.time())
            if self._dice.random() < 0.5:
                raise StoreUnavailable("frozen")

    async def query(self, sql: str, values: Sequence[Any]) -> Sequence[Row]:
        await self._wait()
        return await super().query(sql, values)

    async def now(self) -> int:
        await self._wait()
        return self._now()

    async def do(self, work: Work[Any]) -> Any:
        await self._wait()
        result = done(self.database, work)
        self.after(work, result)
        await self._wait()
        return result
