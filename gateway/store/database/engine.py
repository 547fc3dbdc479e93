"""What both engines offer: rows of a statement, and work that is done whole or not at all.

Carries out no clause of a standard. Work is a function that makes steps; it may be called again where an engine had to
start over, so it reads nothing but the store.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol, TypeVar

from gateway.store.database.bell import Bell
from gateway.store.database.statements import Dialect, Row, Statement, Work

Result = TypeVar("Result")


class Engine(Protocol):
    """A database. Every method raises `StoreUnavailable`."""

    @property
    def bell(self) -> Bell:
        """Rung by this process once there is something new to be told."""

    @property
    def dialect(self) -> Dialect:
        """Whose SQL it speaks."""

    async def fetch(self, statement: Statement, **values: Any) -> Sequence[Row]:
        """The rows of a statement that an index bounds."""

    async def query(self, sql: str, values: Sequence[Any]) -> Sequence[Row]:
        """The rows of composed SQL of the engine's dialect that an index bounds."""

    async def scan(self, sql: str, values: Sequence[Any], seconds: float) -> Sequence[Row]:
        """The rows of composed SQL that may take a while.

        Raises:
            StoreTooSlow: it took longer than that many seconds.
        """

    async def now(self) -> int:
        """The time in microseconds by the clock that all processes of this database share."""

    async def do(self, work: Work[Result]) -> Result:
        """The result of work, committed; if it raises, nothing of it was done."""

    def opened(self) -> AbstractAsyncContextManager[None]:
        """Open while the block runs."""
