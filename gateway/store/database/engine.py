"""Run SQL in one of two databases: statement text, transactions of steps, stored instants, and the bell for new rows.

Carries out no clause of a standard. An engine is Sqlite or Postgres; a statement is written once, with differences
marked. Any thread may ring the bell once rows are committed. Every waiting task also polls the store at intervals:
another process hears the bell on PostgreSQL only.
Proved by tests/contract/test_engines.py and tests/gateway/store/database/test_bell.py.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property, lru_cache
from threading import Lock
from typing import Any, Final, Literal, NamedTuple, Protocol, TypeAlias, TypeVar

from sqlalchemy import text
from sqlalchemy.dialects import postgresql, sqlite

from gateway.index.keys import bounded

Topic = Literal["outbox", "webhook", "crawl", "inbound"]
OUTBOX: Final[Topic] = "outbox"
WEBHOOK: Final[Topic] = "webhook"
CRAWL: Final[Topic] = "crawl"
INBOUND: Final[Topic] = "inbound"


class Listener:
    """Task that waits on one event loop for the bell. A ring between two waits ends the next wait at once."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._rung = asyncio.Event()

    def wake(self) -> None:
        """End the wait, from any thread."""
        self._loop.call_soon_threadsafe(self._rung.set)

    async def wait(self, seconds: float) -> None:
        """Wait until the bell rings, or at most this many seconds."""
        try:
            async with asyncio.timeout(seconds):
                await self._rung.wait()
        except TimeoutError:
            return
        self._rung.clear()


class Bell:
    """Bell that wakes tasks waiting for new rows. `told` is called with each topic rung, to tell other processes."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._listeners: tuple[tuple[Topic, Listener], ...] = ()
        self.told: Callable[[Topic], object] = lambda _: None

    def ring(self, topic: Topic = OUTBOX) -> None:
        """Wake every listener to new rows of this topic, in this and all other processes of the database."""
        self.heard(topic)
        self.told(topic)

    def heard(self, topic: Topic) -> None:
        """Wake the listeners of this process only."""
        for about, listener in self._listeners:
            if about == topic:
                listener.wake()

    @contextmanager
    def listener(self, topic: Topic = OUTBOX) -> Iterator[Listener]:
        """Yield a new listener and remove it when the block ends."""
        entry = (topic, Listener())
        with self._lock:
            self._listeners += (entry,)
        try:
            yield entry[1]
        finally:
            with self._lock:
                self._listeners = tuple(other for other in self._listeners if other is not entry)


Dialect = Literal["sqlite", "postgresql"]
Row: TypeAlias = Sequence[Any]
Values: TypeAlias = Mapping[str, Any]
Result = TypeVar("Result")

# Characters that PostgreSQL cannot hold in a text: NUL and lone surrogates
_UNFIT: Final = re.compile("[\x00\ud800-\udfff]")
_REPLACEMENT: Final = "\ufffd"
_DIALECTS: Final = {
    "sqlite": sqlite.dialect(paramstyle="qmark"),
    "postgresql": postgresql.dialect(paramstyle="numeric_dollar"),  # type: ignore[no-untyped-call]
}
# `IN listed(:name)` -> among the values of a JSON array of strings; as an array, so that PostgreSQL uses the index
_LISTED: Final = re.compile(r"(NOT )?IN listed\((:\w+)\)")
_LISTS: Final = {
    ("sqlite", None): "IN (SELECT value FROM json_each({}))",
    ("sqlite", "NOT "): "NOT IN (SELECT value FROM json_each({}))",
    ("postgresql", None): "= ANY (ARRAY(SELECT json_array_elements_text(CAST({} AS json))))",
    ("postgresql", "NOT "): "<> ALL (ARRAY(SELECT json_array_elements_text(CAST({} AS json))))",
}

# A test of one resource by its index rows. PostgreSQL would read all rows with that value, of any resource, where its
# statistics say that they are few: a key that is computed keeps it from the index of values
_OF_RESOURCE: Final = re.compile(r"\b(\w+)\.resource = (\w+)\.(number|term_set) AND \1\.key (=|IN)")
_LOCKING: Final = " FOR UPDATE"
_RACED: Final = "rolled back and done again, since another process wrote the same rows"


def storable(text: str) -> str:
    """Return a text in the form in which a column can hold it; also use it to look the text up."""
    return text if text.isascii() and "\0" not in text else _UNFIT.sub(_REPLACEMENT, text)


def uid_key(study_instance_uid: str) -> str:
    """Return a study's UID in the form in which the store keeps it, whatever characters it has."""
    return bounded(storable(study_instance_uid))


def by_resource(sql: str) -> str:
    """Return PostgreSQL's SQL in which index rows are found by their resource rather than by their value."""
    return _OF_RESOURCE.sub(r"\1.resource = \2.\3 AND \1.key + 0 \4", sql)


class Compiled(NamedTuple):
    """SQL with positional placeholders, and the names of the values in their order."""

    sql: str
    names: tuple[str, ...]

    def positional(self, values: Values) -> tuple[Any, ...]:
        """Return the values in the order of the placeholders."""
        return tuple([values[name] for name in self.names])


@dataclass(frozen=True)
class Statement:
    """SQL that both engines understand, with `:name` for values and `IN listed(:name)` for a JSON array of strings.

    ` FOR UPDATE` at its end locks the row until the commit. SQLite has one writer at a time and drops the clause.
    """

    sql: str

    def compiled(self, dialect: Dialect) -> Compiled:
        """Return the SQL for a dialect."""
        return self._sqlite if dialect == "sqlite" else self._postgresql

    @cached_property
    def _sqlite(self) -> Compiled:
        return self._compile("sqlite")

    @cached_property
    def _postgresql(self) -> Compiled:
        return self._compile("postgresql")

    def _compile(self, dialect: Dialect) -> Compiled:
        sql = self.sql.removesuffix(_LOCKING) if dialect == "sqlite" else by_resource(self.sql)
        listed = _LISTED.sub(lambda match: _LISTS[dialect, match[1]].format(match[2]), sql)
        made = text(listed).compile(dialect=_DIALECTS[dialect])
        return Compiled(str(made), tuple(made.positiontup or ()))


class PerDialect(dict[Dialect, Statement]):
    """SQL for one purpose, by database. An engine whose dialect is missing skips the step: no rows."""


@dataclass(frozen=True)
class Bulk:
    """SQL that writes many rows: one statement over arrays on PostgreSQL, one statement for each row on SQLite.

    `columns` are those of a row, with PostgreSQL's types. `{rows}` in `postgresql` is the table of all rows. The step
    returns one row: how many rows the last statement wrote.
    """

    columns: str
    postgresql: str
    sqlite: tuple[str, ...]

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of the columns."""
        return tuple(one.split()[0] for one in self.columns.split(", "))

    @cached_property
    def over_arrays(self) -> str:
        """SQL for PostgreSQL, with an array for each column."""
        kinds = [one.split()[1] for one in self.columns.split(", ")]
        arrays = ", ".join(f"${place}::{kind}[]" for place, kind in enumerate(kinds, 1))
        return self.postgresql.replace("{rows}", f"unnest({arrays}) AS row ({', '.join(self.names)})")

    def arrays(self, rows: Sequence[Values]) -> list[list[Any]]:
        """Return the values of the rows, column by column."""
        return [[row[name] for row in rows] for name in self.names]


def inserting(table: str, columns: str, conflict: str = "") -> Bulk:
    """Return SQL that inserts rows; `conflict` is the clause for rows that exist already."""
    names = ", ".join(one.split()[0] for one in columns.split(", "))
    placeholders = ", ".join(f":{one}" for one in names.split(", "))
    postgresql = f"INSERT INTO {table} ({names}) SELECT {names} FROM {{rows}} {conflict}"  # noqa: S608 (constants)
    return Bulk(columns, postgresql, (f"INSERT INTO {table} ({names}) VALUES ({placeholders}) {conflict}",))  # noqa: S608 (constants)


class Ask(NamedTuple):
    """One statement with its values. With a list of values, the statement runs once for each and returns no rows.

    On PostgreSQL, what is asked for `at_commit` runs after all other steps, in one message with the commit. So nobody
    waits for this process while its last locks are held. One row without a value says that this will be done.
    """

    statement: Statement | PerDialect | Bulk
    values: Values | Sequence[Values]
    at_commit: bool = False

    def statement_for(self, dialect: Dialect) -> Statement | Bulk | None:
        """Return the statement of an engine; None if the engine has to skip it."""
        return self.statement.get(dialect) if isinstance(self.statement, PerDialect) else self.statement


class Raced(Exception):
    """Another process wrote the same rows at the same time: run the transaction again.

    On PostgreSQL a statement that runs at the commit says so by `unless_raced`.
    """


def unless_raced(value: str, holds: str) -> str:
    """Return PostgreSQL's SQL for a number; where the condition does not hold, it raises an error that means `Raced`.

    The number is not a constant. A text that is no number is how plain SQL raises, and the server logs the text.
    """
    return f"CASE WHEN {holds} THEN {value} ELSE CAST('{_RACED}: ' || {value} AS BIGINT) END"


Steps: TypeAlias = Generator[Ask, list[Row], Result]
Work: TypeAlias = Callable[[], Steps[Result]]


def ask(statement: Statement | PerDialect, **values: Any) -> Steps[list[Row]]:
    """Run one statement as a step of a transaction: `rows = yield from ask(STATEMENT, name=value)`."""
    return (yield Ask(statement, values))


def ask_each(statement: Statement, rows: Sequence[Values]) -> Steps[None]:
    """Run a statement as one step of a transaction, once for each row of values, if there are any."""
    if rows:
        yield Ask(statement, rows)


def ask_rows(statement: Bulk, rows: Sequence[Values]) -> Steps[int]:
    """Write many rows as one step of a transaction, if there are any; return how many were written."""
    return int((yield Ask(statement, rows))[0][0]) if rows else 0


def at_commit(statement: PerDialect, **values: Any) -> Steps[bool]:
    """Run one writing statement at the commit; it returns no rows. False if the engine has no such statement."""
    return bool((yield Ask(statement, values, at_commit=True)))


def rows_at_commit(statement: Bulk, rows: Sequence[Values]) -> Steps[None]:
    """Write many rows at the commit, if there are any."""
    if rows:
        yield Ask(statement, rows, at_commit=True)


class Engine(Protocol):
    """Database connection. Every method raises `StoreUnavailable`."""

    @property
    def bell(self) -> Bell:
        """Bell that this process rings when there is new work to send."""

    @property
    def dialect(self) -> Dialect:
        """SQL dialect of the engine."""

    async def fetch(self, statement: Statement, **values: Any) -> Sequence[Row]:
        """Return the rows of a short statement: an index limits how many rows are read."""

    async def query(self, sql: str, values: Sequence[Any]) -> Sequence[Row]:
        """Return the rows of composed SQL in the engine's dialect; an index limits how many rows are read."""

    async def scan(self, sql: str, values: Sequence[Any], seconds: float, *, tries_here: bool = False) -> Sequence[Row]:
        """Return the rows of composed SQL that may take long; `tries_here`: it goes by indexes and is often short.

        Raises:
            StoreTooSlow: the query took longer than that many seconds.
        """

    async def now(self) -> int:
        """Return the time in microseconds by the clock that all processes of this database share."""

    async def do(self, work: Work[Result]) -> Result:
        """Run the work in a transaction and return its result. If the work raises, nothing is written."""

    def opened(self) -> AbstractAsyncContextManager[None]:
        """Keep the database open while the block runs."""


_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_TICK: Final = timedelta(microseconds=1)


def micros(instant: datetime) -> int:
    """Return an instant as microseconds, cutting off finer digits."""
    return (instant - _EPOCH) // _TICK


def instant(microseconds: int) -> datetime:
    """Convert microseconds to an instant."""
    return _EPOCH + timedelta(microseconds=microseconds)


def moment(microseconds: int | None) -> datetime | None:
    """Convert microseconds to an instant; None stays None."""
    return None if microseconds is None else instant(microseconds)


def instant_text(microseconds: int) -> str:
    """Convert microseconds to a FHIR instant, always with six digits, so that texts sort as the instants do."""
    second, fraction = divmod(microseconds, 1_000_000)
    return f"{_second_text(second)}.{fraction:06d}Z"


@lru_cache(maxsize=1024)
def _second_text(second: int) -> str:
    """Return a second since 1970 as text; cached, since what is served together was often stored in the same second."""
    return instant(second * 1_000_000).isoformat(timespec="seconds").removesuffix("+00:00")
