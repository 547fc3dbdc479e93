"""Processes that share the crawl on PostgreSQL: who is alive, who lists, and until when AutoScribe asked to wait.

Carries out no clause of a standard; decision D26. The first of the living processes lists studies. If two believe for
some seconds that they are first, studies are listed twice, which does no harm. Times are the database's.
Proved by tests/gateway/crawl/test_sharing.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from gateway.store.database.engine import Engine
from gateway.store.database.statements import PerDialect, Statement, Steps, ask

_SECOND: Final = 1_000_000
_NOW: Final = "CAST(extract(epoch FROM statement_timestamp()) * 1000000 AS BIGINT)"
# A process that was away for long joins anew, behind the others
_BEAT: Final = PerDialect(
    {
        "postgresql": Statement(
            f"INSERT INTO crawler (holder, joined, until, closed) VALUES (:holder, {_NOW}, {_NOW} + :length,"  # noqa: S608 (constants)
            f" {_NOW} + :closed) ON CONFLICT (holder) DO UPDATE SET until = excluded.until, closed = excluded.closed,"
            " joined = CASE WHEN crawler.until < excluded.joined THEN excluded.joined ELSE crawler.joined END"
        )
    }
)
_ALIVE: Final = PerDialect(
    {
        "postgresql": Statement(
            f"SELECT holder, closed - {_NOW} FROM crawler WHERE until > {_NOW} ORDER BY joined, holder"  # noqa: S608 (constants)
        )
    }
)
_LEAVE: Final = PerDialect(
    {"postgresql": Statement(f"DELETE FROM crawler WHERE holder = :holder OR until < {_NOW} - 86400000000")}  # noqa: S608 (constants)
)


@dataclass(frozen=True, slots=True)
class Standing:
    """Standing of a process among those that share the crawl: how many, whether it is the first, seconds to wait."""

    processes: int
    is_first: bool
    closed_for: float


class Crawlers:
    """Processes that share the crawl, as one of them sees them. Every method raises `StoreUnavailable`."""

    def __init__(self, engine: Engine, holder: str, seconds: float) -> None:
        self._engine, self._holder, self._seconds = engine, holder, seconds

    async def beat(self, closed_for: float) -> Standing:
        """Say that this process lives, and for how long AutoScribe asked it to wait; return where it stands."""
        values = {"length": int(self._seconds * _SECOND), "closed": int(max(0.0, closed_for) * _SECOND)}

        def work() -> Steps[Standing]:
            yield from ask(_BEAT, holder=self._holder, **values)
            alive = yield from ask(_ALIVE)
            closed = max((int(closed) for _, closed in alive), default=0)
            return Standing(len(alive), bool(alive) and alive[0][0] == self._holder, max(0, closed) / _SECOND)

        return await self._engine.do(work)

    async def leave(self) -> None:
        """End the part of this process."""
        await self._engine.do(lambda: ask(_LEAVE, holder=self._holder))
