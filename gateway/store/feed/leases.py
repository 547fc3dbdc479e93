"""Leases: give one process at a time the right to send to a destination, timed by the database's clock.

Carries out no clause of a standard; decision D33. A fence is a number that grows with every holder. A holder shows its
fence when it writes, and locks the row until the commit.
Proved by tests/contract/test_leases.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from gateway.runtime import clock
from gateway.store.database.engine import Dialect, Engine, Statement, Steps, ask
from gateway.store.database.postgres import Postgres
from gateway.store.database.sqlite import Sqlite
from gateway.store.feed.states import BREAKER_REASONS

_SECOND: Final = 1_000_000
_MOST: Final = 1_000
_SOON, _LATER = 0.5, 1.0  # seconds; on SQLite, where a lock reveals a dead holder at once, and on PostgreSQL
_ADD: Final = Statement(
    "INSERT INTO destination (name, fence, expires, holder, paused) VALUES (:name, 0, 0, '', '')"
    " ON CONFLICT (name) DO NOTHING"
)
_TAKE: Final = Statement(
    "UPDATE destination SET holder = :holder, fence = fence + 1, expires = :until"
    " WHERE name = :name AND became = '' AND (expires <= :now OR holder = :holder OR expires > :beyond) RETURNING fence"
)
_RENEW: Final = Statement(
    "UPDATE destination SET expires = :until WHERE name = :name AND holder = :holder AND fence = :fence RETURNING fence"
)
# One query, by the server's own clock: on a starved machine every further query may be a second late
_RENEW_THERE: Final[dict[Dialect, Statement]] = {
    "postgresql": Statement(
        "UPDATE destination SET expires = CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS BIGINT) + :length"
        " WHERE name = :name AND holder = :holder AND fence = :fence RETURNING fence"
    )
}
_GIVE_BACK: Final = Statement(
    "UPDATE destination SET expires = 0 WHERE name = :name AND holder = :holder AND fence = :fence"
)
_END: Final = Statement("UPDATE destination SET expires = 0 WHERE name = :name AND holder = :holder")
_HELD: Final = Statement("SELECT paused FROM destination WHERE name = :name AND fence = :fence FOR UPDATE")
PAUSED: Final = Statement("SELECT paused FROM destination WHERE name = :name")
_PAUSE: Final = Statement(
    "UPDATE destination SET paused = :reason, paused_since = :now WHERE name = :name"
    " AND paused IN ('', 'refused-for-now', 'application-refuses-for-now') RETURNING fence"
)
_RESUME: Final = Statement(
    "UPDATE destination SET paused = '', paused_since = NULL WHERE name = :name AND paused <> '' RETURNING fence"
)
_LOCK: Final = Statement("SELECT fence FROM destination WHERE name = :name FOR UPDATE")
STANDING: Final = Statement(
    "SELECT name, holder, fence, expires, paused, paused_since FROM destination ORDER BY name LIMIT :most"
)


@dataclass(frozen=True, slots=True)
class LeaseStanding:
    """Holder of a destination's lease, if any, and the reason for a pause; instants in microseconds."""

    name: str
    holder: str
    expires: int
    paused: str
    paused_since: int | None


class LeaseLost(Exception):
    """Another process holds the lease now: nothing was written."""


@dataclass(frozen=True, slots=True)
class Lease:
    """Right of this process to send to a destination; `until` in seconds of its own monotonic clock."""

    destination: str
    holder: str
    fence: int
    until: float


class Leases:
    """Take and renew leases. `again` is the pause in seconds before retrying a lease that another process holds.

    Every method raises `StoreUnavailable`.
    """

    def __init__(self, engine: Engine, holder: str, seconds: float) -> None:
        self._engine, self._holder, self.seconds = _ahead(engine), holder, seconds
        self._locks = engine.holders if isinstance(engine, Sqlite) else None
        self.again = _SOON if self._locks else _LATER

    async def take(self, destination: str) -> Lease | None:
        """Take the lease if no live process holds it; the new fence number marks work of earlier holders as not ours.

        A destination that was renamed has no lease under its former name.
        """
        begun, now = clock.monotonic(), await self._engine.now()
        dead = self._locks.dead(self._holder) if self._locks else frozenset()

        def work() -> Steps[Lease | None]:
            yield from _ended(dead)
            yield from ask(_ADD, name=destination)
            until = now + int(self.seconds * _SECOND)
            beyond = now + 2 * (until - now)  # no lease is that long: the clock was set back
            key = {"name": destination, "holder": self._holder}
            rows = yield from ask(_TAKE, **key, now=now, until=until, beyond=beyond)
            return Lease(destination, self._holder, int(rows[0][0]), begun + self.seconds) if rows else None

        lease = await self._engine.do(work)
        if self._locks and dead:
            self._locks.forget(dead)
        return lease

    async def renew(self, lease: Lease) -> Lease:
        """Renew a lease.

        Raises:
            LeaseLost: another process holds it.
        """
        begun, length = clock.monotonic(), int(self.seconds * _SECOND)
        key = {"name": lease.destination, "holder": lease.holder, "fence": lease.fence}
        if there := _RENEW_THERE.get(self._engine.dialect):
            rows = await self._engine.fetch(there, **key, length=length)
        else:
            until = await self._engine.now() + length
            rows = await self._engine.do(lambda: ask(_RENEW, **key, until=until))
        if not rows:
            raise LeaseLost
        return Lease(lease.destination, lease.holder, lease.fence, begun + self.seconds)

    async def give_back(self, lease: Lease) -> None:
        """End a lease at once, so that another process can take it."""
        key = {"name": lease.destination, "holder": lease.holder, "fence": lease.fence}
        await self._engine.do(lambda: ask(_GIVE_BACK, **key))

    async def paused(self, destination: str) -> str:
        """Return why a destination is paused; empty if it is not."""
        rows = await self._engine.fetch(PAUSED, name=destination)
        return str(rows[0][0]) if rows else ""


def _ahead(engine: Engine) -> Engine:
    """Return the engine over connections of its own, if it has them, so that a renewal never waits for other work."""
    return engine.ahead if isinstance(engine, Postgres) else engine


def _ended(holders: frozenset[str]) -> Steps[None]:
    """End the leases of holders whose process has died."""
    for name, holder, *_ in (yield from ask(STANDING, most=_MOST)) if holders else ():
        if holder in holders:
            yield from ask(_END, name=name, holder=holder)


def check_lease(lease: Lease) -> Steps[bool]:
    """Check the lease and lock it until the commit; False if the destination is paused (an open breaker is no pause).

    Raises:
        LeaseLost: it does not stand.
    """
    rows = yield from ask(_HELD, name=lease.destination, fence=lease.fence)
    if not rows:
        raise LeaseLost
    return rows[0][0] in ("", *BREAKER_REASONS)


def paused(destination: str, reason: str, now: int) -> Steps[bool]:
    """Pause a destination, also one never served or with an open breaker; False if it is paused already."""
    yield from ask(_ADD, name=destination)
    return bool((yield from ask(_PAUSE, name=destination, reason=reason, now=now)))


def resumed(destination: str) -> Steps[bool]:
    """Resume a destination; False if it is not paused."""
    return bool((yield from ask(_RESUME, name=destination)))


def lock_destination(destination: str) -> Steps[None]:
    """Lock a destination's row until the commit, so that no lease holder writes meanwhile."""
    yield from ask(_ADD, name=destination)
    yield from ask(_LOCK, name=destination)


async def lease_standings(engine: Engine) -> list[LeaseStanding]:
    """Return lease and pause of every destination ever served or paused; an expired lease has no holder."""
    now = await engine.now()
    return [
        LeaseStanding(str(name), str(holder) if expires > now else "", int(expires), str(reason), since)
        for name, holder, _, expires, reason, since in await engine.fetch(STANDING, most=_MOST)
    ]
