"""The settings in force of each destination, each change a row, and the plan that a change made.

Carries out no clause of a standard; decision D37. Only who holds a destination's lease changes its settings; intake
reads them and holds its decision against them when it writes, so that from the commit on all go by the new ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from gateway.store.database.engine import Engine
from gateway.store.database.statements import Row, Statement, Steps, ask
from gateway.store.feed.leases import Lease, held
from gateway.store.studies import versions

LATEST: Final = Statement("SELECT coalesce(max(number), 0) FROM in_force")
EVERY: Final = Statement("SELECT number, name, since, settings FROM in_force ORDER BY number")
_OF: Final = Statement(
    "SELECT number, since, digest, planned, unasked, asks FROM in_force WHERE name = :name ORDER BY number DESC LIMIT 1"
)
_FACT: Final = Statement("SELECT value FROM fact WHERE name = :name")
_PUT: Final = Statement(
    "INSERT INTO in_force (name, since, digest, settings, planned, unasked, asks)"
    " VALUES (:name, :since, :digest, :settings, NULL, :unasked, :asks)"
)
_WAITS: Final = Statement("SELECT 1 FROM outbox WHERE destination = :name AND state = :state LIMIT 1")
_NOT_LATER: Final = Statement("UPDATE in_force SET since = :now WHERE number = :number AND since > :now")
_PLANNED: Final = Statement("UPDATE in_force SET planned = :now WHERE number = :number AND planned IS NULL")
_UNPLANNED: Final = Statement(
    "INSERT INTO fact (name, value) SELECT 'unplanned:' || name, :study_ids FROM in_force WHERE number = :number"
    " ON CONFLICT (name) DO UPDATE SET value = excluded.value"
)
_UNASKED: Final = Statement("UPDATE in_force SET unasked = unasked + :count WHERE number = :number")


@dataclass(frozen=True, slots=True)
class SettingsRecord:
    """The settings in force of a destination; instants in microseconds.

    `planned` is when the plan was made of what was signed before, None while it is being made; `unasked` how many
    messages of it were sent without asking. None is where `asks`: an older release served the destination.
    """

    number: int
    since: int
    digest: str
    planned: int | None
    unasked: int
    asks: bool


@dataclass(frozen=True, slots=True)
class WantedSettings:
    """The settings of a destination as its holder has them, with their digest."""

    name: str
    settings: str
    digest: str


async def in_force_of(engine: Engine, name: str) -> SettingsRecord | None:
    """The settings in force of a destination; None before its first lease.

    Raises:
        StoreUnavailable: the store cannot be reached.
    """
    return _in_force(await engine.fetch(_OF, name=name))


def put_in_force(
    lease: Lease | None, wanted: WantedSettings, now: int, *, since: int | None = None
) -> Steps[SettingsRecord]:
    """Have these settings in force from this commit on, or as though from another instant; without a lease for tests.

    Those that a clock that was ahead put in force later than now are so from now on.
    Where an older release served the destination they count from the beginning: what it had not decided goes as before.

    Raises:
        LeaseLost: somebody else holds it by now.
    """
    clock = yield from versions.begin(now)  # one after the other with all that is taken in
    if lease is not None:
        yield from held(lease)
    found = _in_force((yield from ask(_OF, name=wanted.name)))
    if found is None or found.digest != wanted.digest:
        routed = yield from ask(_FACT, name=f"routed:{wanted.name}")
        is_upgrade = found is None and bool(routed)
        # What waits for an operator goes on doing so, whatever else is changed
        before = found if found is not None and (yield from _is_planned(found, wanted.name)) else None
        asks, unasked = (before.asks, before.unasked) if before is not None else (is_upgrade, 0)
        key = {"name": wanted.name, "digest": wanted.digest, "settings": wanted.settings}
        since = 0 if is_upgrade else now if since is None else since
        yield from ask(_PUT, **key, since=since, asks=int(asks), unasked=unasked)
    elif lease is not None:
        yield from ask(_NOT_LATER, number=found.number, now=now)
    rows = yield from ask(_OF, name=wanted.name)
    yield from versions.end(clock)
    return _made(rows[0])


def _is_planned(found: SettingsRecord, name: str) -> Steps[bool]:
    """True where some of the plan of these settings waits, or is still to be made."""
    lacking = yield from ask(_FACT, name=f"unplanned:{name}")
    if found.planned is None or (lacking and lacking[0][0]):
        return True
    adds = yield from ask(_WAITS, name=name, state="planned")
    return bool(adds or (yield from ask(_WAITS, name=name, state="to_stop")))


async def unplanned(engine: Engine, name: str) -> frozenset[str]:
    """The studies of which a fault kept the plan of a destination from being made: they are tried again.

    Raises:
        StoreUnavailable: the store cannot be reached.
    """
    rows = await engine.fetch(_FACT, name=f"unplanned:{name}")
    return frozenset(str(rows[0][0]).split()) if rows else frozenset()


def plan_made(lease: Lease | None, number: int, now: int, lacking: Iterable[str] = ()) -> Steps[None]:
    """Note that the plan of a change was made, of all studies but those that it is `lacking`.

    Raises:
        LeaseLost: somebody else holds the lease by now.
    """
    if lease is not None:
        yield from held(lease)
    yield from ask(_PLANNED, number=number, now=now)
    yield from ask(_UNPLANNED, number=number, study_ids=" ".join(sorted(lacking)))


def sent_unasked(number: int, count: int) -> Steps[None]:
    """Note how many messages of a plan were sent without asking."""
    yield from ask(_UNASKED, number=number, count=count)


def _in_force(rows: Sequence[Row]) -> SettingsRecord | None:
    return _made(rows[0]) if rows else None


def _made(row: Row) -> SettingsRecord:
    number, since, digest, planned, unasked, asks = row
    return SettingsRecord(int(number), int(since), str(digest), planned, int(unasked), bool(asks))
