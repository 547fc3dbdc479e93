"""Store in memory that works at once, and a loop whose time passes only when nothing is left to do.

https://docs.python.org/3/library/asyncio-eventloop.html: a loop asks its selector to wait; this one moves its clock.
So a feed with waits of minutes runs in a moment, in the same way each time.
"""

from __future__ import annotations

import asyncio
import selectors
import sqlite3
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager, closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from gateway.runtime import clock
from gateway.store.database.engine import Bell, Dialect, Row, Statement, Work, micros
from gateway.store.database.sqlite import _drive

START = datetime(2026, 1, 5, tzinfo=UTC)


class Inline:
    """An `Engine` on a copy of a migrated SQLite file; each piece of work is a transaction, done at once."""

    dialect: Dialect = "sqlite"

    def __init__(self, migrated: Path) -> None:
        self.bell = Bell()
        self._database = sqlite3.connect(":memory:", isolation_level=None)
        with closing(sqlite3.connect(migrated)) as file:
            file.backup(self._database)

    async def fetch(self, statement: Statement, **values: Any) -> Sequence[Row]:
        compiled = statement.compiled("sqlite")
        return await self.query(compiled.sql, compiled.positional(values))

    async def query(self, sql: str, values: Sequence[Any]) -> Sequence[Row]:
        await asyncio.sleep(0)
        return self._database.execute(sql, values).fetchall()

    async def scan(self, sql: str, values: Sequence[Any], seconds: float, *, tries_here: bool = False) -> Sequence[Row]:
        return await self.query(sql, values)

    async def now(self) -> int:
        return micros(clock.now())

    async def do(self, work: Work[Any]) -> Any:
        await asyncio.sleep(0)
        self._database.execute("BEGIN")
        try:
            result = _drive(self._database, work())
        except BaseException:
            self._database.execute("ROLLBACK")
            raise
        self._database.execute("COMMIT")
        return result

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        with closing(self._database):
            yield


class _Selector(selectors.SelectSelector):
    """Selector that moves the clock of its loop instead of waiting."""

    seconds = 0.0

    def select(self, timeout: float | None = None) -> Any:
        if timeout is None:
            raise RuntimeError("the loop would wait for ever")
        self.seconds += max(timeout, 0)
        return super().select(0)


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._clock = _Selector()
        super().__init__(self._clock)

    def time(self) -> float:
        return self._clock.seconds


def in_no_time(work: Coroutine[Any, Any, Any], monkeypatch: Any) -> Any:
    """Run work that waits by `gateway.runtime.clock` or by the loop; the clock begins at `START`."""
    with asyncio.Runner(loop_factory=_Loop) as runner:
        loop = runner.get_loop()
        monkeypatch.setattr(clock, "monotonic", loop.time)
        monkeypatch.setattr(clock, "now", lambda: START + timedelta(seconds=loop.time()))
        return runner.run(work)
