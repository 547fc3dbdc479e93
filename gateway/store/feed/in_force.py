"""Store each destination's settings in force: every change, with the state of its plan for reports signed earlier.

Carries out no clause of a standard; decision D37. Only the holder of a destination's lease changes its settings. An
ingest reads them, and compares when it writes: from the commit on, every ingest uses the new settings.
Proved by tests/contract/test_planning.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from gateway.store.database.engine import Engine
from gateway.store.database.instants import micros
from gateway.store.database.statements import Row, Statement, Steps, ask, ask_each
from gateway.store.feed.leases import Lease, held
from gateway.store.studies import locks

LATEST_NUMBER: Final = "SELECT coalesce(max(number), 0) AS number FROM in_force"
LATEST: Final = Statement(LATEST_NUMBER)
EVERY: Final = Statement("SELECT number, name, since, settings FROM in_force ORDER BY number")
_OF: Final = Statement(
    "SELECT number, since, digest, planned, unasked FROM in_force WHERE name = :name ORDER BY number DESC LIMIT 1"
)
# A destination was retired, and no settings were put in force since
IS_RETIRED: Final = (
    "SELECT 1 FROM destination d WHERE d.name = {} AND d.retired > 0 AND d.retired >="
    " (SELECT coalesce(max(f.since), 0) FROM in_force f WHERE f.name = d.name)"
)
_IS_RETIRED: Final = Statement(IS_RETIRED.format(":name"))
_FACT: Final = Statement("SELECT value FROM fact WHERE name = :name")
_BEGUN: Final = "first-start:"
_BEGIN: Final = Statement("INSERT INTO fact (name, value) VALUES (:name, :value) ON CONFLICT (name) DO NOTHING")
# The start itself takes a while, and AutoScribe's clock, which dates a signature, may be behind
_EARLIER: Final = timedelta(minutes=1)
_PUT: Final = Statement(
    "INSERT INTO in_force (name, since, digest, settings, planned, unasked)"
    " VALUES (:name, :since, :digest, :settings, NULL, :unasked)"
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
    """Settings in force of a destination; instants in microseconds.

    `planned` is when the plan for reports signed earlier was made, None until then. `unasked` counts its messages sent
    without confirmation.
    """

    number: int
    since: int
    digest: str
    planned: int | None
    unasked: int


@dataclass(frozen=True, slots=True)
class WantedSettings:
    """Settings of a destination as its holder has them, with their digest."""

    name: str
    settings: str
    digest: str


async def in_force_of(engine: Engine, name: str) -> SettingsRecord | None:
    """Return the settings in force of a destination; None before its first lease.

    Raises:
        StoreUnavailable: the store cannot be reached.
    """
    return _in_force(await engine.fetch(_OF, name=name))


async def begun(engine: Engine, names: Iterable[str], now: datetime) -> None:
    """Record that a process serves these destinations from now on, unless one did before: their first start.

    However often a start is killed before its settings are in force, what is signed since then is in no plan.

    Raises:
        StoreUnavailable: the store cannot be reached.
    """
    at = str(micros(now - _EARLIER))
    await engine.do(lambda: ask_each(_BEGIN, [{"name": f"{_BEGUN}{name}", "value": at} for name in names]))


async def is_retired(engine: Engine, name: str) -> bool:
    """Return True for a destination that an operator retired, until other settings of it are in force.

    Raises:
        StoreUnavailable: the store cannot be reached.
    """
    return bool(await engine.fetch(_IS_RETIRED, name=name))


def put_in_force(
    lease: Lease | None, wanted: WantedSettings, now: int, *, since: int | None = None
) -> Steps[SettingsRecord]:
    """Put these settings in force from this commit on, or as of `since`; the first ones as of the first start.

    Only tests pass no lease. If a clock that was ahead dated the present settings in the future, they count from now.

    Raises:
        LeaseLost: another process holds the lease.
    """
    yield from locks.take_alone()  # serialized with every ingest
    if lease is not None:
        yield from held(lease)
    present = _in_force((yield from ask(_OF, name=wanted.name)))
    if present is None or present.digest != wanted.digest:
        # A plan that waits for an operator keeps waiting, whatever else changes
        before = present if present is not None and (yield from _is_planned(present, wanted.name)) else None
        unasked = before.unasked if before is not None else 0
        key = {"name": wanted.name, "digest": wanted.digest, "settings": wanted.settings}
        if since is None:
            since = now if present is not None else (yield from _first_start(wanted.name, now))
        yield from ask(_PUT, **key, since=since, unasked=unasked)
    elif lease is not None:
        yield from ask(_NOT_LATER, number=present.number, now=now)
    rows = yield from ask(_OF, name=wanted.name)
    return _made(rows[0])


def _first_start(name: str, now: int) -> Steps[int]:
    rows = yield from ask(_FACT, name=f"{_BEGUN}{name}")
    return min(now, int(rows[0][0])) if rows else now


def _is_planned(settings: SettingsRecord, name: str) -> Steps[bool]:
    """True if part of the plan of these settings waits for an operator, or is still to be made."""
    lacking = yield from ask(_FACT, name=f"unplanned:{name}")
    if settings.planned is None or (lacking and lacking[0][0]):
        return True
    adds = yield from ask(_WAITS, name=name, state="planned")
    return bool(adds or (yield from ask(_WAITS, name=name, state="to_stop")))


async def unplanned(engine: Engine, name: str) -> frozenset[str]:
    """Return the studies whose plan for a destination failed; they are tried again.

    Raises:
        StoreUnavailable: the store cannot be reached.
    """
    rows = await engine.fetch(_FACT, name=f"unplanned:{name}")
    return frozenset(str(rows[0][0]).split()) if rows else frozenset()


def plan_made(lease: Lease | None, number: int, now: int, lacking: Iterable[str] = ()) -> Steps[None]:
    """Record that the plan of a change was made, for all studies but those `lacking`.

    Raises:
        LeaseLost: another process holds the lease.
    """
    if lease is not None:
        yield from held(lease)
    yield from ask(_PLANNED, number=number, now=now)
    yield from ask(_UNPLANNED, number=number, study_ids=" ".join(sorted(lacking)))


def sent_unasked(number: int, count: int) -> Steps[None]:
    """Add to the number of a plan's messages that were sent without confirmation."""
    yield from ask(_UNASKED, number=number, count=count)


def _in_force(rows: Sequence[Row]) -> SettingsRecord | None:
    return _made(rows[0]) if rows else None


def _made(row: Row) -> SettingsRecord:
    number, since, digest, planned, unasked = row
    return SettingsRecord(int(number), int(since), str(digest), planned, int(unasked))
