"""Make, preview and carry out the plan that changed settings mean for earlier reports.

Carries out no clause of a standard; decisions D20, D31, D37. The holder of a destination's lease puts its settings in
force, and then plans every study ingested before. Planning alone sends and stops nothing.
Proved by tests/contract/test_planning.py.
"""

from __future__ import annotations

from collections.abc import Awaitable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

from gateway.feed.plan.counts import PlanCounts, plan_of
from gateway.ingest.plan_outbox import outbox_row
from gateway.ingest.settings_in_force import SettingsInForce, wanted
from gateway.routing import Destination, InForce
from gateway.routing.filter import Ignore
from gateway.routing.plan_study import KnownReport, PlanRow, PlanStep, after_stop, planned, was_made
from gateway.runtime import clock
from gateway.runtime.computing import computed
from gateway.runtime.errors import StoreError, StoreUnavailable
from gateway.runtime.log import get_logger
from gateway.settings.feed import Feed
from gateway.store.database.engine import Engine, micros
from gateway.store.database.kept import Kept, kept
from gateway.store.database.locks import Outdated
from gateway.store.feed import plans
from gateway.store.feed.leases import PAUSED, Lease, LeaseLost
from gateway.store.feed.plans import (
    PLANNED,
    TO_STOP,
    PlanChange,
    PlanInput,
    PlannedRow,
    StoppedRow,
    in_force_of,
    plan_made,
    put_in_force,
    sent_unasked,
    unplanned,
)
from gateway.store.feed.restoring import doubtful_lanes, is_old
from gateway.store.feed.states import HOLD_FEED, MAY_HAVE_BEEN_SENT, MERGE_HELD, MERGED, OUTBOX_STATES, RESTORED
from gateway.store.known_study import STUDY
from mappings.model import Cause

_MOST_TRIES: Final = 20
_AGAIN: Final = 60.0  # seconds between two tries of studies that could not be planned
_PAUSE: Final = 0.01  # seconds between two pages of reports, so that others can work
_BATCH: Final = 500
_ROWS_EACH: Final = 10  # rows read for each unasked message; a plan with more rows waits for an operator
_TOLD: Final = frozenset({"waiting", "held", "rendered", "merged", "nothing"})


class Planner:
    """Planner of one destination, run by the process with its lease."""

    def __init__(self, engine: Engine, destination: Destination, ignores: tuple[Ignore, ...], limits: Feed) -> None:
        self._engine, self._limits = engine, limits
        self._name, self._wanted = destination.name, wanted(destination.terms, ignores)
        self._settings = SettingsInForce(engine)
        self._is_told = False
        self._lease: Lease | None = None
        self._next_try = 0.0

    async def begin(self, lease: Lease) -> bool:
        """Put the settings in force, and make their plan for earlier reports unless it was made already.

        Return False to try later: after a restore, the database does not know yet which messages were sent.

        Raises:
            LeaseLost: another process holds the lease.
            StoreUnavailable: the store cannot be reached; it is safe to begin again, since nothing is added twice.
        """
        self._lease, self._next_try = lease, 0.0
        standing = await self._engine.do(partial(put_in_force, lease, self._wanted, micros(clock.now())))
        if standing.planned is not None:
            return True
        in_force = await self._settings.current()
        lacking: list[str] = []
        async for page in plans.plan_inputs(self._engine, self._name):
            if await is_old(self._engine, self._name):
                return False
            for reading in page:
                work = _replan(self._engine, self._name, lease, reading, in_force)
                lacking += [] if await _guarded(reading.study_id, work) else [reading.study_id]
            await clock.sleep(_PAUSE)
        await self._engine.do(partial(plan_made, lease, standing.number, micros(clock.now()), lacking))
        get_logger().info("plan-made", destination=self._name, **(await self._counts()))
        return True

    async def look(self) -> None:
        """Plan the studies left over; then carry out the plan if it is small, else log once that it waits.

        Nothing is applied while it is unknown which messages were sent.

        Raises:
            LeaseLost: another process holds the lease.
            StoreUnavailable: the store cannot be reached.
        """
        await self._try_again()
        standing, most = await in_force_of(self._engine, self._name), self._limits.unasked_messages * _ROWS_EACH
        rows = await plans.plan_rows(self._engine, self._name, most)
        doubtful, is_much = await doubtful_lanes(self._engine, self._name) if rows else (), len(rows) > most
        rows = [one for one in rows if one.study_id not in doubtful]
        if not rows or standing is None or standing.planned is None or await self._is_held_back():
            self._is_told = False
            return
        plan, now = plan_of(rows), micros(clock.now())
        if not is_much and plan.is_small(standing.unasked, self._limits, now):
            await self._engine.do(lambda: sent_unasked(standing.number, plan.size))
            await apply_plan(self._engine, self._name, rows)
            get_logger().info("plan-applied", destination=self._name, count=plan.size)
        elif not self._is_told:
            get_logger().warning("plan-waits", destination=self._name, **(await self._counts()))
            self._is_told = True

    async def _is_held_back(self) -> bool:
        """True if the destination is paused after a restore, until an operator resumes it."""
        rows = await self._engine.fetch(PAUSED, name=self._name)
        return bool(rows) and rows[0][0] in {RESTORED, HOLD_FEED}

    async def _counts(self) -> dict[str, int]:
        """Return the plan's counts as log fields."""
        plan = plan_of(await plans.plan_rows(self._engine, self._name))
        critical = plan.critical + plan.resent_critical
        return {"adds": plan.adds, "critical": critical, "stops": plan.stops, "resends": plan.resends}

    async def _try_again(self) -> None:
        """Plan, once a minute, the studies that could not be planned before."""
        standing = await in_force_of(self._engine, self._name)
        if self._lease is None or standing is None or standing.planned is None or clock.monotonic() < self._next_try:
            return
        self._next_try = clock.monotonic() + _AGAIN
        if await is_old(self._engine, self._name):
            return
        known = await unplanned(self._engine, self._name)
        in_force, lacking = await self._settings.current(), set(known)
        for study_id in sorted(known):
            if await _guarded(study_id, self._plan_anew(self._lease, study_id, in_force)):
                lacking.discard(study_id)
        if lacking != known:
            await self._engine.do(partial(plan_made, self._lease, standing.number, micros(clock.now()), lacking))

    async def _plan_anew(self, lease: Lease, study_id: str, in_force: InForce) -> None:
        reading = await plans.plan_input(self._engine, self._name, study_id)
        await _replan(self._engine, self._name, lease, reading, in_force)


async def _guarded(study_id: str, work: Awaitable[object]) -> bool:
    """Run the planning of one study; False if a bug stops it, so that the other studies go on."""
    try:
        await work
    except (LeaseLost, StoreError):
        raise
    except Exception as error:
        get_logger().error("study-not-planned", study_id=study_id, code="internal", exc_info=error)
        return False
    return True


async def apply_plan(engine: Engine, name: str, rows: Sequence[PlannedRow]) -> list[str]:
    """Carry out a plan: send and stop what it says, then plan the stopped studies again.

    Return the studies that a bug kept from being planned again; the lease holder tries them later.

    Raises:
        StoreUnavailable: the store cannot be reached.
    """
    return await _settled(engine, name, rows, is_let_go=False)


async def leave_plan(engine: Engine, name: str, rows: Sequence[PlannedRow]) -> list[str]:
    """Discard a plan: nothing of it is sent, and rows it would stop go on as before.

    Return the studies that a bug kept from being planned again; the lease holder tries them later.

    Raises:
        StoreUnavailable: the store cannot be reached.
    """
    return await _settled(engine, name, rows, is_let_go=True)


async def _settled(engine: Engine, name: str, rows: Sequence[PlannedRow], *, is_let_go: bool) -> list[str]:
    in_force = await SettingsInForce(engine).current()
    lacking: list[str] = []

    async def plan_anew(study_id: str) -> None:
        reading = replace(await plans.plan_input(engine, name, study_id), is_let_go=is_let_go)
        await _replan(engine, name, None, reading, in_force)

    for batch in _batches(rows):
        adds, stops = _parted(batch)
        settle = plans.discard_plan if is_let_go else plans.applied
        await engine.do(partial(settle, name, adds, stops, micros(clock.now())))
        for study_id in dict.fromkeys(one.study_id for one in stops):
            lacking += [] if await _guarded(study_id, plan_anew(study_id)) else [study_id]
    standing = await in_force_of(engine, name)
    if lacking and standing is not None:
        known = await unplanned(engine, name)
        await engine.do(partial(plan_made, None, standing.number, micros(clock.now()), known.union(lacking)))
    return lacking


def _parted(rows: Sequence[PlannedRow]) -> tuple[list[PlannedRow], list[StoppedRow]]:
    """Divide the rows of a plan: those to send, and those to stop."""
    stops = [
        StoppedRow(row.number, row.study_id, row.report_id, *after_stop(row.reason), was_made(row.reason))
        for row in rows
        if row.state == TO_STOP
    ]
    return [row for row in rows if row.state == PLANNED], stops


def _batches(rows: Sequence[PlannedRow]) -> Iterator[Sequence[PlannedRow]]:
    return (rows[start : start + _BATCH] for start in range(0, len(rows), _BATCH))


async def _replan(engine: Engine, name: str, lease: Lease | None, reading: PlanInput, in_force: InForce) -> None:
    """Make the plan of one study and store it."""
    for _ in range(_MOST_TRIES):
        change = await plan_change(engine, reading, name, in_force)
        if change is None:
            return
        try:
            await engine.do(partial(plans.store_plan_change, lease, change, micros(clock.now())))
        except Outdated:  # the study changed meanwhile
            reading = replace(await plans.plan_input(engine, name, reading.study_id), is_let_go=reading.is_let_go)
            continue
        return
    raise StoreUnavailable("others wrote the same study again and again")


@dataclass(frozen=True, slots=True)
class PlanPreview:
    """Rows of the plan that settings would make; not `is_whole` if time ran out before the last study.

    `lacking` are studies that could not be planned because of a bug.
    """

    rows: Sequence[PlannedRow]
    is_whole: bool = True
    lacking: Sequence[str] = ()

    @property
    def plan(self) -> PlanCounts:
        """Counts of the plan."""
        return plan_of(self.rows)


async def preview(engine: Engine, destination: Destination, ignores: tuple[Ignore, ...], seconds: float) -> PlanPreview:
    """Return the plan that settings of a destination would make if they came in force now; nothing is written.

    Raises:
        StoreUnavailable: the store cannot be reached.
    """
    current, until = await SettingsInForce(engine).current(), clock.monotonic() + seconds
    in_force = current.changed(destination.terms, ignores, clock.now())
    rows: list[PlannedRow] = []
    lacking: list[str] = []

    async def foresee(reading: PlanInput) -> None:
        change = await plan_change(engine, reading, destination.name, in_force)
        rows.extend(_waiting(reading, change, destination.name))

    async for page in plans.plan_inputs(engine, destination.name):
        for reading in page:
            lacking += [] if await _guarded(reading.study_id, foresee(reading)) else [reading.study_id]
        if clock.monotonic() > until:
            return PlanPreview(rows, is_whole=False, lacking=lacking)
    return PlanPreview(rows, lacking=lacking)


def _waiting(reading: PlanInput, change: PlanChange | None, name: str) -> Iterator[PlannedRow]:
    """Yield the rows of a study that would be in the plan after the change."""
    now = {row["number"]: row for row in change.rows} if change else {}
    for row in reading.rows:
        number, state, reason = int(row[2]), str(row[6]), str(row[7])
        if number in now:
            state, reason = now[number]["state"], now[number]["reason"]
        if row[5] == name and state in {PLANNED, TO_STOP}:
            yield PlannedRow(number, reading.study_id, str(row[1]), state, reason, bool(row[9]), row[10])
    for new in change.new if change else ():
        if new["state"] == PLANNED:
            is_critical, signed = bool(new["is_critical"]), new["signed"]
            yield PlannedRow(0, reading.study_id, new["report_id"], PLANNED, new["reason"], is_critical, signed)


async def plan_change(engine: Engine, reading: PlanInput, name: str, in_force: InForce) -> PlanChange | None:
    """Return what the settings in force change for a study; None if they change nothing.

    Raises:
        StoreUnavailable: the store cannot be reached.
    """
    if not _may_change(reading, name):
        return None
    rows = await engine.fetch(STUDY, study_id=reading.study_id)
    if not rows:
        return None
    known = await computed(kept, rows[0][2])
    steps = [] if known.study.study_type == "external" else _steps(known, reading, name, in_force)
    return _changed(known, reading, name, steps, int(rows[0][0])) if steps else None


def _may_change(reading: PlanInput, name: str) -> bool:
    """True unless every signed report is queued or sent there already, and no row is unrouted or ignored."""
    own = [row for row in reading.rows if row[5] == name]
    told = {str(row[1]) for row in own if row[6] in _TOLD}
    is_settled = reading.is_sent and all(row[6] in _TOLD for row in own) and told >= set(reading.completed)
    return not is_settled or any(row[6] in {"unrouted", "ignored"} for row in reading.rows)


def _steps(known: Kept, reading: PlanInput, name: str, in_force: InForce) -> list[PlanStep]:
    there = {int(row[2]) for row in reading.rows if row[5:8] == (name, "left", MAY_HAVE_BEEN_SENT)}
    rows = [
        PlanRow(
            int(number),
            Cause(str(report_id), kind, str(version)),
            str(destination),
            str(state),
            str(reason),
            bool(is_move),
            destination == name and (int(number) in there or reading.is_said(int(number), str(report_id))),
            reading.beside(int(number), str(report_id)),
        )
        for _, report_id, number, kind, version, destination, state, reason, is_move, *_ in reading.rows
        if destination == name or is_move not in {MERGED, MERGE_HELD}  # a merge moves what the other one was sent alone
    ]
    report = KnownReport(
        known.study, known.facts.gone, known.version, rows, bool(there) or reading.is_sent or reading.is_let_go
    )
    steps = planned(report, name, in_force)
    if reading.is_let_go:  # the operator has just decided: changes that are owed now need no second question
        return [replace(one, state="waiting", reason="") if one.state == PLANNED else one for one in steps]
    return steps


def _changed(known: Kept, reading: PlanInput, name: str, steps: Sequence[PlanStep], revision: int) -> PlanChange:
    now = micros(clock.now())
    reports = {one.report_id: one for one in (*known.facts.gone, *known.study.reports)}
    moved = {(str(row[1]), str(row[4])) for row in reading.rows if row[8]}
    new = []
    for step in steps:
        if step.number is None:
            is_move = int((step.cause.report_id, step.cause.content_version) in moved)
            new.append({**outbox_row(step.cause, step, reports.get(step.cause.report_id), now), "is_move": is_move})
    was = {int(row[2]): (str(row[6]), str(row[7])) for row in reading.rows}
    return PlanChange(
        name,
        reading,
        revision,
        [_row(step, was.get(step.number, ("", "")), now) for step in steps if step.number is not None],
        new,
    )


def _row(step: PlanStep, was: tuple[str, str], now: int) -> dict[str, Any]:
    is_open = OUTBOX_STATES[step.state].is_open
    made = int(step.state == "waiting" and was_made(was[1]))
    settled = None if is_open else now
    return {"number": step.number, "state": step.state, "reason": step.reason, "settled": settled, "made": made}
