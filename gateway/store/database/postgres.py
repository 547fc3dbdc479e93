"""PostgreSQL engine of the store, over asyncpg connection pools; several gateway processes may share the database.

https://www.postgresql.org/docs/current/transaction-iso.html: READ COMMITTED. A transaction that writes versions locks
the row of `tick` last, until its commit, so that instants are in commit order (D29). The server ends the session of a
process that stops in a transaction: https://www.postgresql.org/docs/current/runtime-config-client.html
(idle_in_transaction_session_timeout). Connections of the pool are kept between two uses: to give one back costs as much
as a short query. Notifications wake tasks of other processes: https://www.postgresql.org/docs/current/sql-notify.html.
A ring is sent after the commit, over a connection of its own. One that is lost costs the time until the next poll of
the store. asyncpg is an optional extra.
Proved by tests/contract/test_postgres.py and tests/contract/test_kept_connections.py.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, contextmanager, suppress
from typing import Any, Final, NamedTuple, TypeVar, cast, get_args

from gateway.runtime import clock
from gateway.runtime.errors import ConfigError, StoreTooSlow, StoreUnavailable
from gateway.runtime.log import get_logger
from gateway.store.compression.dictionaries import check_dictionaries
from gateway.store.database.engine import (
    Ask,
    Bell,
    Bulk,
    Dialect,
    Raced,
    Row,
    Statement,
    Steps,
    Topic,
    Values,
    Work,
    micros,
)
from gateway.store.database.probe import NoRoom
from gateway.store.database.trouble import place_of, unavailable

_UNUSED: Final = 60.0  # seconds after which the pool gets a connection back, when the next use of another one ends


class KeptConnections:
    """Connections kept from a pool and lent to one user at a time; the last one used is lent first.

    `interface_error` is asyncpg's error for a connection that the pool took back itself, since it was lost.
    """

    def __init__(self, pool: Any, interface_error: type[Exception]) -> None:
        self._pool, self._interface_error = pool, interface_error
        self._kept: deque[tuple[Any, float]] = deque()
        self._waiting = 0
        self._is_closed = False

    async def fetch(self, sql: str, *values: Any) -> Sequence[Any]:
        """Return the rows of a query; raise as asyncpg does."""
        async with self.lent() as connection:
            rows: Sequence[Any] = await connection.fetch(sql, *values)
            return rows

    def lent(self) -> AbstractAsyncContextManager[Any]:
        """Lend a connection while a block runs; wait for one if all are lent."""
        return _Lent(self)

    async def close(self) -> None:
        """Give all connections back to the pool, those that are lent as soon as they can be."""
        self._is_closed = True
        try:
            while self._kept:
                await self._pool.release(self._kept.pop()[0])
        except BaseException:
            self._pool.terminate()  # its own close would wait for the connections that are left
            raise

    async def take(self) -> Any:
        """Take a connection; wait for one if all are taken."""
        while self._kept:
            connection, _ = self._kept.pop()
            if not self._is_spent(connection):
                return connection
            await self._pool.release(connection)
        self._waiting += 1
        try:
            return await self._pool.acquire()
        finally:
            self._waiting -= 1

    async def give_back(self, connection: Any, *, has_failed: bool) -> None:
        """Give a connection back.

        After an error the pool gets it: it waits until the server has given up what was cancelled.
        """
        if has_failed or self._waiting or self._is_closed or self._is_spent(connection):
            await self._pool.release(connection)
            return
        now = clock.monotonic()
        self._kept.append((connection, now))
        if now - self._kept[0][1] > _UNUSED:
            await self._pool.release(self._kept.popleft()[0])

    def _is_spent(self, connection: Any) -> bool:
        """Return True if a connection is lost, or in a transaction that nobody ended: the pool resets it."""
        try:
            return bool(connection.is_closed() or connection.is_in_transaction())
        except self._interface_error:
            return True


class _Lent:
    """Connection lent while a block runs. A class, since a generator for each query costs a twentieth of a search."""

    __slots__ = ("_connection", "_connections")

    def __init__(self, connections: KeptConnections) -> None:
        self._connections = connections

    async def __aenter__(self) -> Any:
        self._connection = await self._connections.take()
        return self._connection

    async def __aexit__(self, error: type[BaseException] | None, *_: object) -> None:
        await self._connections.give_back(self._connection, has_failed=error is not None)


CHANNEL: Final = "autoscribe_gateway"
_BELL_PAUSE: Final = 2.0  # seconds after a lost connection
_TOPICS: Final[tuple[Topic, ...]] = get_args(Topic)


class SharedBell:
    """Carry rings of the bell between processes (LISTEN/NOTIFY). `errors` are those of an unusable connection."""

    def __init__(
        self, bell: Bell, connect: Callable[[], Awaitable[Any]], errors: tuple[type[BaseException], ...]
    ) -> None:
        self._bell, self._connect, self._errors = bell, connect, errors
        self._rung: set[Topic] = set()
        self._news = asyncio.Event()
        self._is_lost = False

    @asynccontextmanager
    async def shared(self) -> AsyncIterator[None]:
        """Pass rings on to and from other processes while the block runs."""
        loop = asyncio.get_running_loop()
        self._bell.told = lambda topic: loop.call_soon_threadsafe(self._note, topic)
        task = asyncio.create_task(self._run())
        try:
            yield
        finally:
            self._bell.told = lambda _: None
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            try:
                await self._carry()
            except self._errors as error:
                get_logger().warning("bell-not-shared", code="store-unavailable", exc_info=error)
            await clock.sleep(_BELL_PAUSE)

    async def _carry(self) -> None:
        """Pass rings on until the connection is lost."""
        connection = await self._connect()
        try:
            self._is_lost = False
            connection.add_termination_listener(self._lose)
            await connection.add_listener(CHANNEL, self._note_ring)
            for topic in _TOPICS:  # rings of the time without a connection
                self._bell.heard(topic)
            while not self._is_lost:
                await self._news.wait()
                self._news.clear()
                while self._rung:
                    await connection.execute("SELECT pg_notify($1, $2)", CHANNEL, self._rung.pop())
        finally:
            with suppress(*self._errors):
                await connection.close(timeout=1)

    def _note(self, topic: Topic) -> None:
        self._rung.add(topic)
        self._news.set()

    def _lose(self, _: Any) -> None:
        self._is_lost = True
        self._news.set()

    def _note_ring(self, connection: Any, sender: int, _: str, payload: str) -> None:
        if sender != connection.get_server_pid() and payload in _TOPICS:
            self._bell.heard(payload)


Result = TypeVar("Result")

_MOST_TRIES: Final = 5
_PAUSE: Final = 0.05
_FOR_LEASES: Final = 2
_CONNECT: Final = 10  # seconds
_QUERY_TIME: Final = 60  # seconds for a statement
MIGRATION_TIME: Final = 24 * 3_600  # seconds: an index of a large table takes minutes
_ERRORS: Final = ("PostgresError", "InterfaceError", "InternalClientError")  # the last one of a dropped connection
# https://www.postgresql.org/docs/current/runtime-config-query.html: every query uses an index, also while the
# statistics of a table are missing. Quick queries share one plan for all values, since planning takes longer than
# running them. Long queries are planned for their values, on connections of their own. Several workers for one query
# would read a whole index between them, to have a page sorted
_BY_INDEX: Final = {
    **dict.fromkeys(("enable_seqscan", "enable_mergejoin", "enable_hashjoin", "jit"), "off"),
    "max_parallel_workers_per_gather": "0",
}
PLANNED_ONCE: Final = {**_BY_INDEX, "plan_cache_mode": "force_generic_plan"}
PLANNED_EACH: Final = {**_BY_INDEX, "plan_cache_mode": "force_custom_plan"}
_UNREADABLE: Final = (
    "settings",
    "database.url",
    "the driver of PostgreSQL cannot use it: a part cannot be read, or a certificate that it names is not there",
    "Write postgresql://user:password@host:port/name, with @ : / ? # % of user and password percent-encoded.",
)
_MIGRATION_LOCK: Final = 0x6761_7465  # any number that no other program uses


class _Open(NamedTuple):
    """Connections of an open database: for quick queries, for long queries, and only for leases."""

    quick: KeptConnections
    slow: Any
    leases: KeptConnections


class Postgres:
    """Database behind a URL; see `gateway.store.database.engine.Engine`.

    `connections` is the maximum for quick queries. Long queries get a quarter more, leases two, and the bell one. If a
    process says nothing to the server for `idle` seconds in the middle of a transaction, since it is frozen, the server
    ends its session: the locks that it holds would keep another process from taking over (D33).
    """

    dialect: Dialect = "postgresql"

    def __init__(self, url: str, connections: int = 10, idle: float = 6.0) -> None:
        self._url, self._connections, self.bell = url, connections, Bell()
        self._idle = {"idle_in_transaction_session_timeout": str(round(idle * 1_000))}
        self.no_room, self._place = NoRoom(), place_of(url)
        try:
            import asyncpg
        except ImportError:
            remedy = "Install the extra: pip install 'autoscribe-gateway[postgres]'."
            raise ConfigError("settings", "database.url", "PostgreSQL needs asyncpg", remedy) from None
        self._library = asyncpg
        self._open: _Open | None = None

    @property
    def ahead(self) -> Postgres:
        """Return this database over the connections for leases: renewing one must not wait for other work (D33)."""
        return _Ahead(self)

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Open the pools while the block runs."""
        check_dictionaries()
        async with AsyncExitStack() as stack:
            slow = await self._pool(stack, max(1, self._connections // 4), PLANNED_EACH)
            quick = await self._kept(stack, self._connections)
            self._open = _Open(quick, slow, await self._kept(stack, _FOR_LEASES))
            errors = (OSError, *(getattr(self._library, name) for name in _ERRORS))
            await stack.enter_async_context(SharedBell(self.bell, self._connection, errors).shared())
            try:
                yield
            finally:
                self._open = None

    async def _kept(self, stack: AsyncExitStack, connections: int) -> KeptConnections:
        pool = await self._pool(stack, connections, PLANNED_ONCE)
        kept = KeptConnections(pool, self._library.InterfaceError)
        stack.push_async_callback(kept.close)
        return kept

    async def _pool(self, stack: AsyncExitStack, connections: int, settings: Mapping[str, str]) -> Any:
        with self._mapped():
            try:
                pool = await self._library.create_pool(
                    self._url,
                    min_size=1,
                    max_size=connections,
                    statement_cache_size=500,
                    command_timeout=_QUERY_TIME,
                    server_settings={**settings, **self._idle},
                    reset=_as_it_is,
                )
            except ValueError:  # the error's text has parts of the URL
                raise ConfigError(*_UNREADABLE) from None
        stack.push_async_callback(pool.close)
        return pool

    async def _connection(self) -> Any:
        return await self._library.connect(self._url, timeout=_CONNECT, command_timeout=_CONNECT)

    async def fetch(self, statement: Statement, **values: Any) -> Sequence[Row]:
        """Return the rows of a statement."""
        compiled = statement.compiled("postgresql")
        return await self.query(compiled.sql, compiled.positional(values))

    async def query(self, sql: str, values: Sequence[Any]) -> Sequence[Row]:
        """Return the rows of composed SQL."""
        with self._mapped():
            return cast(Sequence[Row], await self._opened().quick.fetch(sql, *values))

    async def scan(self, sql: str, values: Sequence[Any], seconds: float, *, tries_here: bool = False) -> Sequence[Row]:
        """Return the rows of composed SQL that may take long; `tries_here` has no effect here."""
        with self._mapped():
            async with self._opened().slow.acquire() as connection:
                try:
                    return cast(Sequence[Row], await connection.fetch(sql, *values, timeout=seconds))
                except TimeoutError:
                    raise StoreTooSlow(f"it took longer than {seconds:g} s") from None

    async def now(self) -> int:
        """Return the time by the server's clock, in microseconds."""
        return micros((await self.query("SELECT clock_timestamp()", []))[0][0])

    async def do(self, work: Work[Result]) -> Result:
        """Run the work in a transaction and return its result; retry it if the server rolls it back."""
        for attempt in range(1, _MOST_TRIES + 1):
            try:
                with self.no_room.noted(), self._mapped():
                    async with self._opened().quick.lent() as connection, _transaction(connection):
                        return await self._drive(connection, work())
            except self._library.TransactionRollbackError:
                await clock.sleep(_PAUSE * attempt)
        raise StoreUnavailable("a transaction was rolled back again and again")

    def room(self) -> None:
        """Return None: this process does not know the free space on the server's disk."""

    @asynccontextmanager
    async def migrating(self) -> AsyncIterator[Any]:
        """Yield a connection in a transaction that commits when the block ends. One process at a time may migrate."""
        with self._mapped():
            async with self._opened().quick.lent() as connection, connection.transaction():
                lock = f"SELECT pg_advisory_xact_lock({_MIGRATION_LOCK})"
                await connection.execute(
                    f"SET LOCAL idle_in_transaction_session_timeout = 0; {lock}", timeout=MIGRATION_TIME
                )
                yield connection

    def _opened(self) -> _Open:
        if self._open is None:
            raise StoreUnavailable("the database is not open")
        return self._open

    async def _drive(self, connection: Any, steps: Steps[Result]) -> Result:
        """Run each statement that the steps ask for, then commit; return the result of the last step."""
        bound: list[Any] = []
        try:
            asked = next(steps)
            while True:
                rows = await (_bind(connection, asked, bound) if asked.at_commit else _run(connection, asked))
                asked = steps.send(rows)
        except StopIteration as end:
            result = cast(Result, end.value)
        try:
            await connection.execute("; ".join([*(f"MOVE ALL IN {one._portal_name}" for one in bound), "COMMIT"]))
        except self._library.InvalidTextRepresentationError:  # of `unless_raced`
            raise Raced from None
        return result

    @contextmanager
    def _mapped(self) -> Iterator[None]:
        """Convert errors of the library by code and class, never by text, since the text may hold values of a row."""
        try:
            yield
        except self._library.TransactionRollbackError:
            raise
        except (
            OSError,
            self._library.PostgresError,
            self._library.InterfaceError,
            self._library.InternalClientError,  # of a connection that was dropped a moment ago
        ) as error:
            raise unavailable(error, self._place) from None


class _Ahead(Postgres):
    """The same database over the connections that are kept for leases."""

    def __init__(self, engine: Postgres) -> None:
        self._engine, self._library = engine, engine._library
        self.bell, self.no_room, self._place = engine.bell, engine.no_room, engine._place

    def _opened(self) -> _Open:
        here = self._engine._opened()
        return here._replace(quick=here.leases)


@asynccontextmanager
async def _transaction(connection: Any) -> AsyncIterator[None]:
    """Begin a transaction, which the block commits; roll it back if the block fails.

    The server may have begun it although a cancelled waiter did not hear of it. If the connection is lost, too, the
    first error stands: the end of a task must not be taken for trouble of the store.
    """
    try:
        await connection.execute("BEGIN")
        yield
    except BaseException:
        with suppress(Exception):
            await connection.execute("ROLLBACK")
        raise


async def _bind(connection: Any, asked: Ask, bound: list[Any]) -> list[Row]:
    """Send the values of a statement that runs at the commit, and add its cursor to `bound`.

    https://www.postgresql.org/docs/current/protocol-overview.html#PROTOCOL-QUERY-CONCEPTS: the server keeps both as a
    portal, which SQL knows as a cursor. A statement that writes does not begin, and has no snapshot, before `MOVE`.
    """
    statement = asked.statement_for("postgresql")
    if statement is None:
        return []
    if isinstance(statement, Bulk):
        arrays = statement.arrays(cast(Sequence[Values], asked.values))
        bound.append(await connection.cursor(f"{statement.over_arrays} RETURNING 1", *arrays))
    else:
        compiled = statement.compiled("postgresql")
        bound.append(await connection.cursor(compiled.sql, *compiled.positional(cast(Values, asked.values))))
    return [()]


async def _run(connection: Any, asked: Ask) -> list[Row]:
    statement, values = asked.statement_for("postgresql"), asked.values
    if statement is None:
        return []
    if isinstance(statement, Bulk):
        done = await connection.execute(statement.over_arrays, *statement.arrays(cast(Sequence[Values], values)))
        return [(int(done.rpartition(" ")[2]),)]
    compiled = statement.compiled("postgresql")
    if isinstance(values, Sequence):
        await connection.executemany(compiled.sql, list(map(compiled.positional, values)))
        return []
    return cast(list[Row], await connection.fetch(compiled.sql, *compiled.positional(values)))


async def _as_it_is(_: Any) -> None:
    """Leave a connection as it is when it returns to its pool: no transaction leaves session state behind."""
