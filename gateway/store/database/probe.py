"""Probe the database by a small write every two seconds, note a full disk, and read the database's revision.

https://sqlite.org/rescode.html (SQLITE_FULL), https://www.postgresql.org/docs/current/errcodes-appendix.html (53100
disk_full); decision D38. A write that hangs is neither cancelled nor waited for: readers get the last known state.
Proved by tests/contract/test_probe.py and tests/contract/test_migrations.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Literal, Protocol

from gateway.runtime import clock
from gateway.runtime.errors import ConfigError, StoreError, StoreUnavailable
from gateway.store.database.engine import Engine, Statement, Steps, ask

FULL: Final = "store-full"
LOST: Final = "store-lost"
Trouble = Literal["", "store-full", "store-lost"]
EVERY: Final = 2.0  # seconds from the end of a write to the next
STUCK: Final = 30.0  # seconds without a sign of life after which the loop that probes counts as stuck
DEADLINE: Final = 2.5  # seconds after which a write that is not done counts as lost
_LEAST_ROOM: Final = 2**20  # bytes
_STAYS: Final = 60.0  # seconds for which the disk counts as full after a write found no room
_NO_ROOM: Final = frozenset({"SQLITE_FULL", "ENOSPC", "EDQUOT", "53100"})
_PUT: Final = Statement("INSERT INTO fact (name, value) VALUES (:name, '')")
_TAKE: Final = Statement("DELETE FROM fact WHERE name = :name")
# An inserted row may fit into existing pages. This makes the server write a small file, which is deleted at the commit
# (https://www.postgresql.org/docs/current/functions-admin.html#FUNCTIONS-SNAPSHOT-SYNCHRONIZATION)
_GROW: Final = {"postgresql": Statement("SELECT pg_export_snapshot()")}


class NoRoom:
    """Time of the last write that failed since the disk was full. Each engine has one."""

    def __init__(self) -> None:
        self._at: float | None = None

    @contextmanager
    def noted(self) -> Iterator[None]:
        """Note the time if a write in the block fails since the disk is full."""
        try:
            yield
        except StoreUnavailable as error:
            if error.cause in _NO_ROOM:
                self._at = clock.monotonic()
            raise

    def __bool__(self) -> bool:
        return self._at is not None and clock.monotonic() - self._at < _STAYS


class Probed(Engine, Protocol):
    """Engine that knows the free space of its disk."""

    no_room: NoRoom

    def room(self) -> int | None:
        """Return the free space in bytes, None if it is unknown."""


class StoreProbe:
    """Repeated small writes that tell if the store takes writes. `name` is unique to this process."""

    def __init__(self, engine: Probed, name: str) -> None:
        self._engine, self._name = engine, f"probe-{name}"
        self._begun: float | None = None
        self._ended = clock.monotonic()
        self._found: Trouble = ""
        self._words, self._has_written = "", False

    async def once(self) -> None:
        """Write once, and remember the outcome."""
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
            self._has_written = True
        finally:
            self._begun, self._ended = None, clock.monotonic()

    @property
    def trouble(self) -> Trouble:
        """Reason why the store takes no writes now; empty if none is known."""
        if self._begun is not None and clock.monotonic() - self._begun > DEADLINE:
            return LOST
        return FULL if not self._found and self._engine.no_room else self._found

    @property
    def is_well(self) -> bool:
        """True if the last write succeeded, and not long ago."""
        return self._has_written and not self.trouble and self.silent < STUCK

    @property
    def words(self) -> str:
        """Error text of the last failed write; empty if it is unknown or nothing is wrong."""
        return self._words if self._found and self.trouble == self._found else ""

    @property
    def silent(self) -> float:
        """Seconds since the last write ended: long if the loop that probes is stuck."""
        return clock.monotonic() - self._ended

    def _work(self) -> Steps[None]:
        """Insert and delete a row that belongs to this process only, so that no other process waits for it."""
        yield from ask(_PUT, name=self._name)
        yield from ask(_TAKE, name=self._name)
        if statement := _GROW.get(self._engine.dialect):
            yield from ask(statement)


_SCRIPTS: Final = Path(__file__).parent / "migrations" / "versions"
_TOO_OLD: Final = (
    "the database was made before release 1.0.0, and no release can bring it forward",
    "Keep it, name a new, empty one, and set `start` of each destination to the time up to which everything was sent,"
    " so that nothing is sent twice: docs/guide.md#a-database-from-before-100.",
)
_TOO_NEW: Final = (
    "the database is of a newer release of the gateway",
    "Run that release, or restore a copy from before it.",
)


def newest() -> str:
    """Return the database revision of this release: the number at the start of the last script's name."""
    return revisions()[-1]


def revisions() -> list[str]:
    """Return every database revision of this release, in order."""
    return sorted(path.name.partition("_")[0] for path in _SCRIPTS.glob("[0-9]*.py"))


async def is_current(engine: Engine) -> bool:
    """True if an open database has the tables of this release; False if it has none or cannot be read."""
    return await revision_of(engine) == newest()


async def revision_of(engine: Engine) -> str | None:
    """Return the revision of an open database; None if it has no tables or cannot be read."""
    try:
        rows = await engine.query("SELECT version_num FROM alembic_version", [])
    except StoreUnavailable:
        return None
    return str(rows[0][0]) if rows else None


def require_known(revision: str) -> None:
    """Refuse the revision of a database that this release can neither read nor migrate.

    Raises:
        ConfigError: the database is from before release 1.0.0, or of a newer release.
    """
    known = revisions()
    if revision not in known:
        raise ConfigError("settings", "database.url", *(_TOO_OLD if revision < known[0] else _TOO_NEW))
