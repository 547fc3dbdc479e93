"""Interface of the SQLite and PostgreSQL engines: read rows, and run a transaction that commits whole or not at all.

Carries out no clause of a standard. Work is a generator function whose steps are statements. An engine may call it
again after a rollback, so it reads nothing but the store.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol, TypeVar

from gateway.store.database.bell import Bell
from gateway.store.database.statements import Dialect, Row, Statement, Work

Result = TypeVar("Result")


class Engine(Protocol):
    """Database connection. Every method raises `StoreUnavailable`."""

    @property
    def bell(self) -> Bell:
        """Bell that this process rings when there is new work to send."""

    @property
    def dialect(self) -> Dialect:
        """SQL dialect of the engine."""

    async def fetch(self, statement: Statement, **values: Any) -> Sequence[Row]:
        """Return the rows of a statement that an index bounds."""

    async def query(self, sql: str, values: Sequence[Any]) -> Sequence[Row]:
        """Return the rows of composed SQL in the engine's dialect that an index bounds."""

    async def scan(self, sql: str, values: Sequence[Any], seconds: float, *, tries_here: bool = False) -> Sequence[Row]:
        """Return the rows of composed SQL that may take long; with `tries_here` it is often short, and goes by indexes.

        Raises:
            StoreTooSlow: the query took longer than that many seconds.
        """

    async def now(self) -> int:
        """Return the time in microseconds by the clock that all processes of this database share."""

    async def do(self, work: Work[Result]) -> Result:
        """Run the work in a transaction and return its result. If the work raises, nothing is written."""

    def opened(self) -> AbstractAsyncContextManager[None]:
        """Open the database while the block runs."""
