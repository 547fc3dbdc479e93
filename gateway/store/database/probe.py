"""The store's readiness for writes, as last seen in a small write every two seconds, or in any that met a full disk.

https://sqlite.org/rescode.html (SQLITE_FULL), https://www.postgresql.org/docs/current/errcodes-appendix.html (53100
disk_full); decision D38. A write that hangs is never cancelled or waited for: whoever asks gets what is known by then.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, Literal, Protocol

from gateway.runtime import clock
from gateway.runtime.errors import StoreError, StoreUnavailable
from gateway.store.database.engine import Engine
from gateway.store.database.statements import Statement, Steps, ask

FULL: Final = "store-full"
LOST: Final = "store-lost"
Trouble = Literal["", "store-full", "store-lost"]
EVERY: Final = 2.0  # seconds from the end of a write to the next
DEADLINE: Final = 2.5  # seconds after which a write that is not done counts as lost
_LEAST_ROOM: Final = 2**20  # bytes
_STAYS: Final = 60.0  # seconds for which a disk that had no room for a write counts as full
_NO_ROOM: Final = frozenset({"SQLITE_FULL", "ENOSPC", "EDQUOT", "53100"})
_PUT: Final = Statement("INSERT INTO fact (name, value) VALUES (:name, '')")
_TAKE: Final = Statement("DELETE FROM fact WHERE name = :name")
# A row fits into pages that are there; this makes the server write a small file, which is gone at the commit
# (https://www.postgresql.org/docs/current/functions-admin.html#FUNCTIONS-SNAPSHOT-SYNCHRONIZATION)
_GROW: Final = {"postgresql": Statement("SELECT pg_export_snapshot()")}


class NoRoom:
    """Keeps in mind when a write last found no room on the disk; each engine has one."""

    def __init__(self) -> None:
        self._at: float | None = None

    @contextmanager
    def noted(self) -> Iterator[None]:
        """Note it, if the write that the block waits for fails by that."""
        try:
            yield
        except StoreUnavailable as error:
            if error.cause in _NO_ROOM:
                self._at = clock.monotonic()
            raise

    def __bool__(self) -> bool:
        return self._at is not None and clock.monotonic() - self._at < _STAYS


class Probed(Engine, Protocol):
    """An engine that says how much room its disk has."""

    no_room: NoRoom

    def room(self) -> int | None:
        """The bytes that may still be written, None where that is not known."""


class StoreProbe:
    """Writes to the store again and again; `name` is this process's own."""

    def __init__(self, engine: Probed, name: str) -> None:
        self._engine, self._name = engine, f"probe-{name}"
        self._begun: float | None = None
        self._found: Trouble = ""
        self._words = ""

    async def once(self) -> None:
        """Write, and keep in mind what came of it."""
        self._begun = clock.monotonic()
        try:
            room = await asyncio.to_thread(self._engine.room)
            await self._engine.do(self._work)
        except StoreError as error:
            self._found, self._words = FULL if error.cause in _NO_ROOM else LOST, error.words
        except Exception:
            self._found, self._words = LOST, ""
            raise
        else:
            self._found, self._words = FULL if room is not None and room < _LEAST_ROOM else "", ""
        finally:
            self._begun = None

    @property
    def trouble(self) -> Trouble:
        """The trouble that keeps the store from taking writes; empty if there is none, as far as is known."""
        if self._begun is not None and clock.monotonic() - self._begun > DEADLINE:
            return LOST
        return FULL if not self._found and self._engine.no_room else self._found

    @property
    def words(self) -> str:
        """The error that the last failed write met; empty if it is not known, or nothing is wrong."""
        return self._words if self._found and self.trouble == self._found else ""

    def _work(self) -> Steps[None]:
        """A row of this process's own, that nobody waits for, written and taken away again."""
        yield from ask(_PUT, name=self._name)
        yield from ask(_TAKE, name=self._name)
        if statement := _GROW.get(self._engine.dialect):
            yield from ask(statement)
