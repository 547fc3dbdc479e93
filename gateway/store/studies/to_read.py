"""Studies that the crawl has yet to read, shared by several processes on PostgreSQL: each is claimed by one of them.

https://www.postgresql.org/docs/current/sql-select.html#SQL-FOR-UPDATE-SHARE (SKIP LOCKED); decision D26. A claim ends
after a time, so that another process takes over the work of one that was killed. Times are the database's.
Proved by tests/gateway/crawl/test_sharing.py.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from gateway.store.database.bell import CRAWL
from gateway.store.database.engine import Engine
from gateway.store.database.statements import Bulk, PerDialect, Statement, Steps, ask, ask_rows

Json = Mapping[str, Any]
_SECOND: Final = 1_000_000
_NOW: Final = "CAST(extract(epoch FROM statement_timestamp()) * 1000000 AS BIGINT)"


def _there(sql: str) -> PerDialect:
    return PerDialect({"postgresql": Statement(sql.replace("{now}", _NOW))})


# `asked` counts: a study that is asked for again while somebody reads it is read once more
_ADD: Final = Bulk(
    "study_id TEXT, loop TEXT, listed TEXT",
    f"INSERT INTO to_read (study_id, loop, listed, due, asked, attempts, holder) SELECT study_id, loop, listed, {_NOW},"  # noqa: S608 (constants)
    " 1, 0, '' FROM {rows} ORDER BY study_id ON CONFLICT (study_id) DO UPDATE SET listed = excluded.listed,"
    " asked = to_read.asked + 1, due = CASE WHEN to_read.holder = '' THEN excluded.due ELSE to_read.due END",
    (),
)
_CLAIM: Final = _there(
    "UPDATE to_read SET holder = :holder, due = {now} + :length WHERE study_id IN (SELECT study_id FROM to_read"
    " WHERE due <= {now} ORDER BY due LIMIT :most FOR UPDATE SKIP LOCKED)"
    " RETURNING study_id, loop, listed, asked, attempts"
)
# The first step of whatever changes several: in the order of `_ADD`, so that the two do not deadlock
_LOCK: Final = _there(
    "SELECT study_id FROM to_read WHERE holder = :holder AND study_id IN listed(:ids) ORDER BY study_id FOR UPDATE"
)
_RENEW: Final = _there("UPDATE to_read SET due = {now} + :length WHERE holder = :holder AND study_id IN listed(:ids)")
_RELEASE: Final = _there(
    "UPDATE to_read SET due = {now}, holder = '' WHERE holder = :holder AND study_id IN listed(:ids)"
)
_DROP: Final = Bulk(
    "study_id TEXT, asked BIGINT, holder TEXT",
    "DELETE FROM to_read t USING {rows} WHERE t.study_id = row.study_id AND t.asked = row.asked"
    " AND t.holder = row.holder",
    (),
)
# What is left of the same claims was asked for again: it is due at once
_AGAIN: Final = Bulk(
    "study_id TEXT, wait BIGINT, failed BIGINT, holder TEXT",
    f"UPDATE to_read t SET holder = '', due = {_NOW} + row.wait, attempts = t.attempts + row.failed FROM {{rows}}"  # noqa: S608 (constants)
    " WHERE t.study_id = row.study_id AND t.holder = row.holder",
    (),
)
_NEW: Final = _there("SELECT count(*) FROM to_read WHERE study_id IN listed(:ids) AND attempts = 0")


@dataclass(frozen=True, slots=True)
class Claimed:
    """Study claimed to be read, the loop that found it, and the number of tries that failed."""

    study_id: str
    loop: str
    listed: Json | None
    asked: int
    attempts: int


@dataclass(frozen=True, slots=True)
class Settled:
    """Outcome of a claim: done or given up, or with `wait` to be tried again after that many seconds."""

    claim: Claimed
    wait: float | None = None


class ToRead:
    """Studies to be read, as one process sees them; its claims end after `seconds` unless it renews them.

    Every method raises `StoreUnavailable`.
    """

    def __init__(self, engine: Engine, holder: str, seconds: float) -> None:
        self._engine, self._holder, self._length = engine, holder, int(seconds * _SECOND)
        self._claimed: set[str] = set()

    async def add(self, loop: str, given: Iterable[tuple[str, Json | None]]) -> None:
        """Hand out studies, each with its listing if there is one."""
        rows = [
            {"study_id": study_id, "loop": loop, "listed": None if listed is None else json.dumps(listed)}
            for study_id, listed in dict(given).items()
        ]
        await self._engine.do(lambda: ask_rows(_ADD, rows))
        self._engine.bell.ring(CRAWL)

    async def turn(self, settled: Sequence[Settled], held: Collection[str], most: int) -> list[Claimed]:
        """Settle claims, renew those of the studies still `held`, and claim at most so many more."""
        changed = [*(one.claim.study_id for one in settled), *held]

        def work() -> Steps[list[Claimed]]:
            if changed:
                yield from ask(_LOCK, holder=self._holder, ids=json.dumps(changed))
            yield from self._settle(settled)
            length = self._length
            if held:
                yield from ask(_RENEW, holder=self._holder, length=length, ids=json.dumps(list(held)))
            rows = (yield from ask(_CLAIM, holder=self._holder, length=length, most=most)) if most else []
            return [
                Claimed(str(study_id), str(loop), None if listed is None else json.loads(listed), asked, attempts)
                for study_id, loop, listed, asked, attempts in rows
            ]

        claims = await self._engine.do(work)
        self._claimed -= {one.claim.study_id for one in settled}
        self._claimed |= {one.study_id for one in claims}
        return claims

    async def unread(self, study_ids: Sequence[str]) -> int:
        """Count those of these studies that no process has read or tried to read yet."""
        return int((await self._engine.do(lambda: ask(_NEW, ids=json.dumps(study_ids))))[0][0])

    async def release(self) -> None:
        """Give back all claims of this process."""
        ids = json.dumps(sorted(self._claimed))

        def work() -> Steps[None]:
            yield from ask(_LOCK, holder=self._holder, ids=ids)
            yield from ask(_RELEASE, holder=self._holder, ids=ids)

        await self._engine.do(work)

    def _settle(self, settled: Sequence[Settled]) -> Steps[None]:
        of = sorted(settled, key=lambda one: one.claim.study_id)
        over = [{"study_id": one.claim.study_id, "asked": one.claim.asked} for one in of if one.wait is None]
        yield from ask_rows(_DROP, [{**one, "holder": self._holder} for one in over])
        again = [
            {
                "study_id": one.claim.study_id,
                "wait": int((one.wait or 0) * _SECOND),
                "failed": int(one.wait is not None),
                "holder": self._holder,
            }
            for one in of
        ]
        yield from ask_rows(_AGAIN, again)
