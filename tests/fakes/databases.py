"""Migrated databases for the tests, one per test: made once, then copied.

https://www.postgresql.org/docs/current/manage-ag-templatedbs.html, https://sqlite.org/wal.html.
"""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from collections.abc import Callable, Coroutine, Iterator
from contextlib import closing, contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import asyncpg
from fakes.cluster import binaries, cluster

from gateway.store.database.migrate import migrate
from gateway.store.database.postgres import Postgres
from gateway.store.database.sqlite import Sqlite

Engines = Callable[[], Sqlite | Postgres]
_TEMPLATE = "migrated"


def at_once(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine on a loop of its own and return its result."""
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        return runner.run(coroutine)


class Server:
    """PostgreSQL server with a migrated database that is copied for each test."""

    def __init__(self, url: str) -> None:
        self._url, self._numbers = url, count()
        at_once(self._make_template())

    @contextmanager
    def database(self, template: str = _TEMPLATE) -> Iterator[str]:
        """Yield the URL of a copy of the migrated database, or of another (`template0` is an empty one)."""
        name = f"test{next(self._numbers)}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")
        try:
            yield f"{self._url}/{name}"
        finally:
            self.execute(f"DROP DATABASE {name} WITH (FORCE)")

    def execute(self, sql: str, name: str = "postgres") -> None:
        """Run a test's statement in a database."""
        at_once(self._execute(sql, name))

    async def _execute(self, sql: str, name: str) -> None:
        connection = await asyncpg.connect(f"{self._url}/{name}")
        try:
            await connection.execute(sql)
        finally:
            await connection.close()

    async def _make_template(self) -> None:
        await self._execute(f"CREATE DATABASE {_TEMPLATE}", "postgres")
        await migrated_database(f"{self._url}/{_TEMPLATE}")


@contextmanager
def server(*settings: str) -> Iterator[Server | None]:
    """Run a server with these settings while the block runs; None if PostgreSQL is not installed."""
    programs = binaries()
    if programs is None:
        yield None
        return
    with cluster(programs, *settings) as url:
        yield Server(url)


async def migrated_database(url: str) -> None:
    """Make the tables of an empty PostgreSQL database."""
    engine = Postgres(url)
    async with engine.opened():
        await migrate(engine)


def migrated_file(folder: Path) -> Path:
    """Make a migrated SQLite database to copy."""
    path = folder / "migrated.db"
    at_once(migrate(Sqlite(path)))
    return path


def copied(file: Path, folder: Path) -> Path:
    """Copy the file into a folder."""
    return Path(shutil.copyfile(file, folder / "gateway.db"))


def is_new(path: Path) -> bool:
    """Return True if a SQLite database is there and has no tables."""
    with closing(sqlite3.connect(path)) as database:
        return database.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)


def filled(path: Path, migrated: Path) -> None:
    """Copy a migrated SQLite database into a new one, which may be open: it has then all tables and no rows."""
    with closing(sqlite3.connect(migrated)) as source, closing(sqlite3.connect(path)) as target:
        source.backup(target)
