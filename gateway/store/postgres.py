"""PostgreSQL through an asyncpg pool, for more than one process.

https://www.postgresql.org/docs/current/transaction-iso.html: READ COMMITTED; who writes versions holds the row of
`tick` until the commit, so that instants are in commit order (D29). asyncpg is an extra: it is imported when opened.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final, TypeVar, cast

from gateway import clock
from gateway.errors import ConfigError, StoreTooSlow, StoreUnavailable
from gateway.store.statements import Dialect, Row, Statement, Steps, Work

Result = TypeVar("Result")

_MOST_TRIES: Final = 5
_PAUSE: Final = 0.05
_MIGRATION_LOCK: Final = 0x6761_7465  # any number that nobody else takes


class Postgres:
    """A database behind a URL; see `gateway.store.engine.Engine`. `connections` is the most it opens."""

    dialect: Dialect = "postgresql"

    def __init__(self, url: str, connections: int = 10) -> None:
        self._url, self._connections = url, connections
        try:
            import asyncpg
        except ImportError:
            remedy = "Install the extra: pip install 'autoscribe-gateway[postgres]'."
            raise ConfigError("settings", "database.url", "PostgreSQL needs asyncpg", remedy) from None
        self._library = asyncpg
        self._pool: Any = None

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Open while the block runs."""
        with self._mapped():
            self._pool = await self._library.create_pool(
                self._url,
                min_size=1,
                max_size=self._connections,
                statement_cache_size=500,
                command_timeout=60,
                reset=_as_it_is,
            )
        try:
            yield
        finally:
            pool, self._pool = self._pool, None
            await pool.close()

    async def fetch(self, statement: Statement, **values: Any) -> Sequence[Row]:
        """The rows of a statement."""
        compiled = statement.compiled("postgresql")
        return await self.query(compiled.sql, compiled.positional(values))

    async def query(self, sql: str, values: Sequence[Any]) -> Sequence[Row]:
        """The rows of composed SQL."""
        with self._mapped():
            return cast(Sequence[Row], await self._open_pool().fetch(sql, *values))

    async def scan(self, sql: str, values: Sequence[Any], seconds: float) -> Sequence[Row]:
        """The rows of composed SQL that may take a while."""
        with self._mapped():
            async with self._open_pool().acquire() as connection:
                try:
                    return cast(Sequence[Row], await connection.fetch(sql, *values, timeout=seconds))
                except TimeoutError:
                    raise StoreTooSlow(f"it took longer than {seconds:g} s") from None

    async def do(self, work: Work[Result]) -> Result:
        """The result of work, committed; begun anew where the server asks for it."""
        for attempt in range(1, _MOST_TRIES + 1):
            try:
                with self._mapped():
                    async with self._open_pool().acquire() as connection, connection.transaction():
                        return await self._drive(connection, work())
            except self._library.TransactionRollbackError:
                await clock.sleep(_PAUSE * attempt)
        raise StoreUnavailable("a transaction was rolled back again and again")

    @asynccontextmanager
    async def migrating(self) -> AsyncIterator[Any]:
        """A connection in a transaction that commits where the block ends, held by one process at a time."""
        with self._mapped():
            async with self._open_pool().acquire() as connection, connection.transaction():
                await connection.execute(f"SELECT pg_advisory_xact_lock({_MIGRATION_LOCK})")
                yield connection

    def _open_pool(self) -> Any:
        if self._pool is None:
            raise StoreUnavailable("the database is not open")
        return self._pool

    async def _drive(self, connection: Any, steps: Steps[Result]) -> Result:
        """Answer each question of the steps until they end."""
        rows: list[Row] = []
        try:
            asked = next(steps)
            while True:
                compiled = asked.statement.compiled("postgresql")
                if isinstance(asked.values, Sequence):
                    await connection.executemany(compiled.sql, list(map(compiled.positional, asked.values)))
                    rows = []
                else:
                    rows = await connection.fetch(compiled.sql, *compiled.positional(asked.values))
                asked = steps.send(rows)
        except StopIteration as end:
            return cast(Result, end.value)

    @contextmanager
    def _mapped(self) -> Iterator[None]:
        """The library's words may hold values of a row; its codes and classes never do."""
        try:
            yield
        except self._library.TransactionRollbackError:
            raise
        except (OSError, self._library.PostgresError, self._library.InterfaceError) as error:
            reason = getattr(error, "sqlstate", None) or type(error).__name__
            raise StoreUnavailable(str(reason)) from None


async def _as_it_is(_: Any) -> None:
    """What a connection is given back as: nothing that is done here outlives its transaction, so nothing is reset."""
