"""SQLite engine of the store: a read-only connection for each event loop, and one thread that does all writes.

https://sqlite.org/wal.html, https://sqlite.org/lang_transaction.html. Waiting work is committed together, each piece in
a savepoint of its own: one that fails does not undo the others. Dead processes that still have the right to send (a
lease) are found by a lock file, https://man7.org/linux/man-pages/man2/flock.2.html: the lock belongs to one open file
and ends with its process, however that ends. Another open file of the same process does not get it either; decision
D33. On a network file system the lock may not work, and neither does SQLite's write-ahead log.
Proved by tests/contract/test_sqlite.py and tests/gateway/store/database/test_holder_lock.py.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import queue
import sqlite3
import threading
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, closing, contextmanager, suppress
from contextvars import Context, copy_context
from copy import copy
from functools import partial
from itertools import repeat
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple, TypeVar, cast

from gateway.runtime import clock
from gateway.runtime.errors import ConfigError, StoreTooSlow, StoreUnavailable
from gateway.store.compression.dictionaries import check_dictionaries
from gateway.store.database.engine import Ask, Bell, Bulk, Dialect, Row, Statement, Steps, Work, micros
from gateway.store.database.probe import NoRoom
from gateway.store.database.trouble import DatabasePlace, unavailable

_PRIVATE: Final = 0o600


class HolderLock:
    """Lock file of one database. The process that holds it writes into it the names under which it holds leases."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: BinaryIO | None = None
        self._own: set[str] = set()
        self._dead: frozenset[str] = frozenset()

    def dead(self, holder: str) -> frozenset[str]:
        """Try to take the lock and record `holder` as alive; return the holders of the lock's previous owner.

        Empty if another process has the lock or it cannot be taken: then nothing is known about other holders. Also
        empty after `forget`, since a new process may take one of those names.
        """
        if self._file is None and not self._taken():
            return frozenset()
        if holder not in self._own:
            self._own.add(holder)
            self._write_holders()
        return self._dead - self._own

    def forget(self, holders: frozenset[str]) -> None:
        """Forget these dead holders, once their leases are ended."""
        self._dead -= holders

    def release(self) -> None:
        """Release the lock, once this process sends nothing more."""
        file, self._file = self._file, None
        self._own.clear()
        if file is not None:
            file.close()

    def _taken(self) -> bool:
        try:
            file = os.fdopen(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _PRIVATE), "r+b", buffering=0)
        except OSError:
            return False
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._dead = frozenset(file.read().decode(errors="replace").split())
        except OSError:
            file.close()
            return False
        self._file = file
        return True

    def _write_holders(self) -> None:
        """Write this process's holders to the file. If that fails, the next process waits until leases expire."""
        if self._file is not None:
            names = "\n".join(sorted(self._own)).encode()
            try:
                self._file.seek(0)
                self._file.truncate()
                self._file.write(names)
            except OSError:
                return


Result = TypeVar("Result")

_BUSY_SECONDS: Final = 10.0
_MOST_TOGETHER: Final = 64
_STATEMENTS: Final = 512
_STEPS_BETWEEN_LOOKS: Final = 20_000
# A query that the loop has time for: so many times so many steps of SQLite's virtual machine, about a millisecond
_SHORT: Final = 20
_STEPS_OF_SHORT: Final = 1_000
_READ: Final = ("PRAGMA query_only = ON", "PRAGMA mmap_size = 1073741824", "PRAGMA cache_size = -8192")
# What is deleted is overwritten with zeros: an erased patient stays in no free page
_WRITE: Final = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    "PRAGMA foreign_keys = ON",
    "PRAGMA cache_size = -8192",
    "PRAGMA secure_delete = ON",
)
_END: Final = None
_NOWHERE: Final = DatabasePlace()
# The last two are for values that SQLite cannot hold: beyond 64 bits, or not Unicode
_OF_THE_LIBRARY: Final = (sqlite3.Error, OSError, OverflowError, UnicodeError)


class _Open(NamedTuple):
    """Open database, beside the writer thread: connections for reading on the loop and in the pool."""

    reader: sqlite3.Connection
    slow: sqlite3.Connection
    pool: ThreadPoolExecutor


class _QueuedWork(NamedTuple):
    """Work for the writer thread, the future for its outcome, and the context of who asked."""

    work: Work[Any]
    future: asyncio.Future[Any]
    context: Context


class _WorkOutcome(NamedTuple):
    """Outcome of work in the writer thread: the result, or the error that ended it."""

    future: asyncio.Future[Any]
    result: Any = None
    error: Exception | None = None


class Sqlite:
    """Database in one file; see `gateway.store.database.engine.Engine`."""

    dialect: Dialect = "sqlite"

    def __init__(self, path: Path) -> None:
        self.path, self.bell = path, Bell()
        self.no_room = NoRoom()
        self.holders = HolderLock(path.with_name(f"{path.name}.holders"))
        self._queue: queue.SimpleQueue[_QueuedWork | None] = queue.SimpleQueue()
        self._open: _Open | None = None
        self._has_writer = True

    def beside(self) -> Sqlite:
        """Return this database for another event loop: its own connections for reading, the same writer thread."""
        twin = copy(self)
        twin._open, twin._has_writer = None, False
        return twin

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Open the file while the block runs; finish queued work before closing."""
        check_dictionaries()
        async with AsyncExitStack() as stack:
            if self._has_writer:
                await stack.enter_async_context(self._writing())
            reader = stack.enter_context(closing(self._connect(writes=False)))
            slow = stack.enter_context(closing(self._connect(writes=False)))
            pool = stack.enter_context(ThreadPoolExecutor(1, thread_name_prefix="store-scan"))
            self._open = _Open(reader, slow, pool)
            try:
                yield
            finally:
                self._open = None
                slow.interrupt()

    @asynccontextmanager
    async def _writing(self) -> AsyncIterator[None]:
        """Run the writer thread while the block runs, and afterwards until its queue is empty."""
        with closing(await asyncio.to_thread(self._connect, writes=True)) as writer:
            thread = threading.Thread(target=self._write, args=(writer,), name="store-writer", daemon=True)
            thread.start()
            try:
                yield
            finally:
                self._queue.put(_END)
                await asyncio.to_thread(thread.join)
                self.holders.release()

    async def fetch(self, statement: Statement, **values: Any) -> Sequence[Row]:
        """Return the rows of a statement, read on the loop: an index bounds them."""
        compiled = statement.compiled("sqlite")
        return await self.query(compiled.sql, compiled.positional(values))

    async def query(self, sql: str, values: Sequence[Any]) -> Sequence[Row]:
        """Return the rows of composed SQL, read on the loop."""
        try:
            return self._opened().reader.execute(sql, values).fetchall()
        except _OF_THE_LIBRARY as error:
            raise unavailable(error, _NOWHERE) from None

    async def scan(self, sql: str, values: Sequence[Any], seconds: float, *, tries_here: bool = False) -> Sequence[Row]:
        """Return the rows of a long query, read in a thread; with `tries_here`, first try it shortly on the loop.

        The thread costs as much as a short query.
        """
        here = self._opened()
        if tries_here:
            with suppress(_IsLong):
                return _tried(here.reader, sql, values)
        return await asyncio.get_running_loop().run_in_executor(here.pool, _scan, here.slow, sql, values, seconds)

    async def now(self) -> int:
        """Return the time by this machine's clock, since a file has one service."""
        return micros(clock.now())

    async def do(self, work: Work[Result]) -> Result:
        """Run the work in the writer thread and return its result once it is on the disk."""
        self._opened()
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._queue.put(_QueuedWork(work, future, copy_context()))
        with self.no_room.noted():
            return await future

    async def emptied_log(self) -> bool:
        """Write the write-ahead log back into the file and empty it; False while another process still reads it."""

        def empty() -> bool:
            with closing(self._connect(writes=True)) as connection, _mapped():
                return not connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]

        return await asyncio.to_thread(empty)

    def room(self) -> int:
        """Return the free bytes on the disk of the file."""
        with _mapped(self.path):
            there = os.statvfs(self.path.parent)
        return there.f_bavail * there.f_frsize

    @contextmanager
    def owned(self) -> Iterator[None]:
        """Lock the file while the block runs, so that only this one service uses it (D8).

        Raises:
            ConfigError: another service has the lock.
        """
        with ExitStack() as stack:
            with _mapped(self.path):
                opened = os.open(f"{self.path}.lock", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, _PRIVATE)
                lock = stack.enter_context(os.fdopen(opened, "wb"))
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                remedy = "Stop it, or give this one a database of its own; several processes need PostgreSQL."
                raise ConfigError("settings", "database.url", "another gateway serves from this file", remedy) from None
            yield

    def make_file(self) -> None:
        """Create the file if it is missing, readable only by its owner.

        Raises:
            StoreUnavailable: the file cannot be created.
        """
        with _mapped(self.path):
            self.path.touch(_PRIVATE)

    def _opened(self) -> _Open:
        if self._open is None:
            raise StoreUnavailable("the database is not open")
        return self._open

    def _connect(self, *, writes: bool) -> sqlite3.Connection:
        with _mapped(self.path):
            self.make_file()
            connection = sqlite3.connect(
                self.path,
                timeout=_BUSY_SECONDS,
                isolation_level=None,
                check_same_thread=False,
                cached_statements=_STATEMENTS,
            )
            with ExitStack() as stack:
                stack.callback(connection.close)
                for pragma in _WRITE if writes else _READ:
                    connection.execute(pragma)
                stack.pop_all()
            return connection

    def _write(self, connection: sqlite3.Connection) -> None:
        """Run queued work in the writer thread, in batches up to a bound."""
        while (first := self._queue.get()) is not _END:
            batch, is_last = [first], False
            while len(batch) < _MOST_TOGETHER and not self._queue.empty():
                item = self._queue.get()
                if item is _END:
                    is_last = True
                    break
                batch.append(item)
            told = _together(connection, [one for one in batch if not one.future.cancelled()])
            _settle(told)
            if is_last:
                return


class _IsLong(Exception):
    """Query that takes too long to run on the event loop."""


def _tried(connection: sqlite3.Connection, sql: str, values: Sequence[Any]) -> Sequence[Row]:
    """Run a query on the event loop, but for no longer than `_SHORT`.

    Raises:
        _IsLong: it takes longer.
    """
    connection.set_progress_handler(partial(next, repeat(0, _SHORT), 1), _STEPS_OF_SHORT)
    try:
        return connection.execute(sql, values).fetchall()
    except _OF_THE_LIBRARY as error:
        if getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_INTERRUPT:
            raise _IsLong from None
        raise unavailable(error, _NOWHERE) from None
    finally:
        connection.set_progress_handler(None, 0)


def _scan(connection: sqlite3.Connection, sql: str, values: Sequence[Any], seconds: float) -> Sequence[Row]:
    until = clock.monotonic() + seconds
    connection.set_progress_handler(lambda: int(clock.monotonic() > until), _STEPS_BETWEEN_LOOKS)
    try:
        with _mapped():
            return connection.execute(sql, values).fetchall()
    except StoreUnavailable as error:
        if error.cause == "SQLITE_INTERRUPT" and clock.monotonic() > until:
            raise StoreTooSlow(f"it took longer than {seconds:g} s") from None
        raise


def _together(connection: sqlite3.Connection, batch: Sequence[_QueuedWork]) -> list[_WorkOutcome]:
    """Run the work of a batch in one transaction, and return each outcome."""
    do = _one if len(batch) > 1 else _alone
    try:
        connection.execute("BEGIN IMMEDIATE")
        told = [do(connection, one) for one in batch]
        connection.execute("COMMIT")
    except Exception as error:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        return [_WorkOutcome(one.future, error=unavailable(error, _NOWHERE)) for one in batch]
    return told


def _alone(connection: sqlite3.Connection, asked: _QueuedWork) -> _WorkOutcome:
    """Run work that has a transaction of its own."""
    try:
        return _WorkOutcome(asked.future, asked.context.run(_drive, connection, asked.work()))
    except Exception as error:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        connection.execute("BEGIN IMMEDIATE")
        return _WorkOutcome(asked.future, error=_shown(error))


def _one(connection: sqlite3.Connection, asked: _QueuedWork) -> _WorkOutcome:
    connection.execute("SAVEPOINT one")
    try:
        result = asked.context.run(_drive, connection, asked.work())
    except Exception as error:
        if not connection.in_transaction:
            raise  # a full disk may have undone the whole batch
        connection.execute("ROLLBACK TO one")
        connection.execute("RELEASE one")
        return _WorkOutcome(asked.future, error=_shown(error))
    connection.execute("RELEASE one")
    return _WorkOutcome(asked.future, result)


def _shown(error: Exception) -> Exception:
    return unavailable(error, _NOWHERE) if isinstance(error, _OF_THE_LIBRARY) else error


def _settle(told: Sequence[_WorkOutcome]) -> None:
    """Pass the outcomes to the futures of their event loops, in one turn of each loop."""
    by_loop: dict[asyncio.AbstractEventLoop, list[_WorkOutcome]] = {}
    for one in told:
        by_loop.setdefault(one.future.get_loop(), []).append(one)
    for loop, outcomes in by_loop.items():
        with suppress(RuntimeError):  # the loop is closed: nobody waits
            loop.call_soon_threadsafe(_settle_here, outcomes)


def _settle_here(told: Sequence[_WorkOutcome]) -> None:
    for future, result, error in told:
        if future.cancelled():
            continue
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(error)


def _drive(connection: sqlite3.Connection, steps: Steps[Result]) -> Result:
    """Run each statement that the steps ask for, and return the result of the last step."""
    rows: list[Row] = []
    try:
        asked = next(steps)
        while True:
            rows = _run(connection, asked)
            asked = steps.send(rows)
    except StopIteration as end:
        return cast(Result, end.value)


def _run(connection: sqlite3.Connection, asked: Ask) -> list[Row]:
    statement, values = asked.statement_for("sqlite"), asked.values
    if statement is None:
        return []
    if isinstance(statement, Bulk):
        for sql in statement.sqlite:
            count = connection.executemany(sql, cast(Sequence[Mapping[str, Any]], values)).rowcount
        return [(count,)]
    compiled = statement.compiled("sqlite")
    if isinstance(values, Sequence):
        connection.executemany(compiled.sql, map(compiled.positional, values))
        return []
    return connection.execute(compiled.sql, compiled.positional(values)).fetchall()


@contextmanager
def _mapped(path: Path | None = None) -> Iterator[None]:
    """Convert errors of the library. `path` is the file to name in the error when it is opened."""
    try:
        yield
    except _OF_THE_LIBRARY as error:
        raise unavailable(error, _NOWHERE if path is None else DatabasePlace(file=str(path))) from None
