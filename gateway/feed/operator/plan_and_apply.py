"""`feed plan`, `feed apply`: show which earlier reports changed settings would send or stop, then carry that out.

Carries out no clause of a standard; decisions D26, D37. Prints counts and codes, nothing about a patient. A plan lacks
the reports that are not in the index yet, so it is not shown before the index is whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any, Final

from gateway.crawl.account_pace import pace_of
from gateway.feed.operator.arguments import (
    CommandAnswer,
    RefusedCommand,
    at,
    counted,
    destination_named,
    destinations_named,
    json_of,
)
from gateway.feed.plan.counts import PlanCounts, plan_of, reports_of
from gateway.feed.plan.planner import apply_plan, leave_plan, preview
from gateway.ingest.assembly import engine_of
from gateway.ingest.settings_in_force import wanted
from gateway.routing import Destination, routes_of
from gateway.routing.plan_study import RESENT, after_stop
from gateway.runtime import clock
from gateway.runtime.errors import ConfigError, StoreError
from gateway.settings import Configuration
from gateway.store.database.engine import Engine, instant_text, micros, moment
from gateway.store.database.facts import noted
from gateway.store.database.probe import is_current
from gateway.store.database.sqlite import Sqlite
from gateway.store.feed import plans
from gateway.store.feed.destinations import known_as
from gateway.store.feed.plans import TO_STOP, PlannedRow, in_force_of, unplanned
from gateway.store.feed.restoring import doubtful_lanes, is_old
from gateway.store.studies.crawling import StoredCursors, read_record

_SHORT: Final = 10.0  # seconds for each destination
_MOST_LINES: Final = 100
_NOT_PLANNED: Final = "is not planned because of a bug (study-not-planned in the log); it is tried again"
_REMEDY: Final = "Wait until `/readyz` of the service answers 200, or run `sync`; then try again."
_LONG: Final = 3600.0  # seconds: a command waits


@dataclass(frozen=True, slots=True)
class PlannedReport:
    """Report in a plan: `does` is `add`, `stop` or `resend`; `detail` says why it is stopped."""

    report_id: str
    study_id: str
    does: str
    detail: str
    signed: datetime | None
    is_critical: bool

    def __str__(self) -> str:
        signed = f"signed {at(self.signed)}" if self.signed else "when it was signed is not known"
        detail = f"  {self.detail}" if self.detail else ""
        critical = "  CRITICAL" if self.is_critical else ""
        return f"{self.does}  {self.report_id}  {self.study_id}  {signed}{detail}{critical}"


@dataclass(frozen=True, slots=True)
class DestinationPlan:
    """Plan of a destination; with `differs`, as the settings of this process would make it.

    `since` is when the settings came in force, in microseconds; None before the first lease. `is_made` is False while
    the lease holder still makes the plan. `lacking` are studies that could not be planned because of a bug.
    """

    name: str
    rows: Sequence[PlannedRow]
    since: int | None = None
    differs: bool = False
    is_made: bool = True
    is_whole: bool = True
    is_small: bool = False
    lacking: Sequence[str] = ()

    @property
    def plan(self) -> PlanCounts:
        """Counts of the plan."""
        return plan_of(self.rows)

    @property
    def reports(self) -> list[PlannedReport]:
        """Reports of the plan, critical results first."""
        ordered = sorted(reports_of(self.rows), key=lambda one: (not one.is_critical, one.signed or 0, one.report_id))
        return [_report(one) for one in ordered]

    @property
    def said(self) -> dict[str, Any]:
        """The plan as JSON, without its reports."""
        since, oldest = json_of([moment(self.since), moment(self.plan.oldest or None)])
        rest = {"settingsSince": since, "differs": self.differs, "isMade": self.is_made, "isWhole": self.is_whole}
        return {"name": self.name, **self.plan.counts, "oldest": oldest, **rest, "unplanned": list(self.lacking)}

    @property
    def line(self) -> str:
        """The plan as one line for people."""
        text = f"{self.name}: {'' if self.is_whole else 'at least '}{self.plan}"
        if self.lacking:
            text += f"; not planned, because of a bug: {counted(len(self.lacking), 'study')}"
        if self.differs:
            then = "applied at the start without asking" if self.is_small else "waits for feed apply"
            return f"{text}; once these settings are in force" + (f": {then}" if self.plan.size else "")
        if not self.is_made:
            return f"{text}; the plan is still being made"
        return f"{text}; feed apply {self.name}" if self.plan.size else text


async def plan_at(
    engine: Engine, destination: Destination, configuration: Configuration, seconds: float = _LONG
) -> DestinationPlan:
    """Return a destination's plan by the settings in force; if this process's settings differ, as they would make it.

    Raises:
        StoreUnavailable: the store cannot be reached.
    """
    known = replace(destination, name=await known_as(engine, destination.name, destination.formerly))
    planned = await _planned_as(engine, known, configuration, seconds)
    return replace(planned, name=destination.name)


async def _planned_as(
    engine: Engine, destination: Destination, configuration: Configuration, seconds: float
) -> DestinationPlan:
    """Return the stored plan if this process's settings are in force; else the plan that they would make."""
    ignores = routes_of(configuration).ignores
    standing = await in_force_of(engine, destination.name)
    if standing is not None and standing.digest == wanted(destination.terms, ignores).digest:
        rows = await plans.plan_rows(engine, destination.name)
        lacking = sorted(await unplanned(engine, destination.name))
        return DestinationPlan(
            destination.name, rows, standing.since, is_made=standing.planned is not None, lacking=lacking
        )
    foreseen = await preview(engine, destination, ignores, seconds)
    since = standing.since if standing else None
    is_small = foreseen.plan.is_small(0, configuration.settings.feed, micros(clock.now()))
    return DestinationPlan(
        destination.name,
        foreseen.rows,
        since,
        differs=True,
        is_whole=foreseen.is_whole,
        is_small=foreseen.is_whole and is_small,
        lacking=foreseen.lacking,
    )


def _report(row: PlannedRow) -> PlannedReport:
    does = "stop" if row.state == TO_STOP else "resend" if row.reason == RESENT else "add"
    detail = " ".join(filter(None, after_stop(row.reason))) if does == "stop" else ""
    return PlannedReport(row.report_id, row.study_id, does, detail, moment(row.signed), row.is_critical)


async def index_gap(engine: Engine, configuration: Configuration) -> str:
    """Return why the index may lack reports: no sweep has ended, or the last is too old; empty if it is complete."""
    record = await read_record(StoredCursors(engine))
    longest = pace_of(record, configuration.settings.sync).max_index_age
    if record.is_current(clock.now(), longest):
        return ""
    if record.finished is None:
        return f"the first sweep of AutoScribe has not ended ({counted(record.studies_seen, 'study')} so far)"
    ended = instant_text(micros(record.finished.ended))
    return f"the last sweep of AutoScribe ended at {ended}, longer ago than {longest:.0f} s (sync.max_index_age)"


@dataclass(frozen=True, slots=True)
class Plans(CommandAnswer):
    """Answer of `feed plan`: plans of destinations, or in `refused` why none is shown."""

    plans: tuple[DestinationPlan, ...] = ()
    lists_reports: bool = False
    refused: str = ""

    @property
    def exit_code(self) -> int:
        """Exit code: 1 if a plan waits for `feed apply`, is incomplete, or is not shown."""
        waits = any(one.lacking or (one.plan.size and not one.differs) for one in self.plans)
        return int(waits or bool(self.refused))

    @property
    def document(self) -> Any:
        """The plans as JSON, with the reports of each if they are listed."""
        if self.refused:
            return {"refused": self.refused, "destinations": []}
        reports = [{"reports": json_of(one.reports)} if self.lists_reports else {} for one in self.plans]
        return {"destinations": [{**one.said, **listed} for one, listed in zip(self.plans, reports, strict=True)]}

    def lines(self) -> Iterator[str]:
        """Yield a line for each plan, and for each report if they are listed."""
        if self.refused:
            yield self.refused
            return
        for planned in self.plans:
            yield planned.line
            yield from (f"  {study_id}  {_NOT_PLANNED}" for study_id in planned.lacking[:_MOST_LINES])
            reports = planned.reports if self.lists_reports else []
            yield from (f"  {one}" for one in reports[:_MOST_LINES])
            if len(reports) > _MOST_LINES:
                yield f"  {len(reports) - _MOST_LINES} more: --json lists all"
        if not self.plans:
            yield "no destination is set up"


async def plan(engine: Engine, configuration: Configuration, name: str | None, *, reports: bool = False) -> Plans:
    """Return the plan of one destination or all; with `reports`, report by report.

    Raises:
        ConfigError: no such destination.
        StoreUnavailable: the store cannot be reached.
    """
    destinations = destinations_named(configuration, name)
    if gap := await index_gap(engine, configuration):
        text = f"no plan is shown: {gap}, and the plan would lack the reports that are still to be found. {_REMEDY}"
        return Plans(refused=text)
    return Plans(tuple([await plan_at(engine, one, configuration) for one in destinations]), reports)


async def foreseen_plans(configuration: Configuration) -> list[DestinationPlan]:
    """Return the plans that would arise if the service started with these settings; without a database none."""
    destinations = destinations_named(configuration, None)
    try:
        engine = engine_of(configuration)
        if not destinations or (isinstance(engine, Sqlite) and not engine.path.exists()):
            return []
        async with engine.opened():
            if not await is_current(engine):
                return []
            plans_made = [await plan_at(engine, one, configuration, _SHORT) for one in destinations]
    except (ConfigError, StoreError):
        return []  # `check-config --online` reports these
    return [one for one in plans_made if one.plan.size or one.lacking]


@dataclass(frozen=True, slots=True)
class AppliedPlan(CommandAnswer):
    """Answer of `feed apply`: the plan was carried out, or with `leaves` discarded.

    `are_in_doubt`: messages that may have been sent before the database was restored stay held. `lacking` are studies
    that could not be planned again because of a bug.
    """

    name: str
    counts: PlanCounts
    leaves: bool
    are_in_doubt: bool
    lacking: tuple[str, ...]

    @property
    def exit_code(self) -> int:
        """1 if a study could not be planned again."""
        return int(bool(self.lacking))

    def lines(self) -> Iterator[str]:
        """Yield the lines about what was queued, or discarded."""
        counts, did = self.counts, "left unsent" if self.leaves else "queued"
        critical = counts.critical + counts.resent_critical
        yield f"{self.name}: {counted(counts.adds + counts.resends, 'report')} {did}, {critical} of them critical"
        if counts.stops:
            yield f"{self.name}: {counted(counts.stops, 'report')} {'sent after all' if self.leaves else 'stopped'}"
        if self.are_in_doubt:
            yield f"{self.name}: messages that may have been sent before the database was restored stay held"
        for study_id in self.lacking:
            yield f"{self.name}: {study_id}  {_NOT_PLANNED}"


async def foresee_apply(engine: Engine, configuration: Configuration, name: str) -> Plans | RefusedCommand:
    """Return the plan that `apply` would carry out or discard, report by report; refused as `apply` is, or no plan.

    Raises:
        ConfigError: no such destination.
        StoreUnavailable: the store cannot be reached.
    """
    if refused := await _why_not(engine, configuration, name):
        return refused
    found = await plan(engine, configuration, name, reports=True)
    return RefusedCommand((found.refused,)) if found.refused else found


@dataclass(frozen=True, slots=True)
class PlanDecision:
    """The decision of an operator about a plan: it is carried out, or with `leaves` discarded.

    `agreed` are the rows that the operator saw: nothing else is settled. None: the whole plan.
    """

    reason: str = ""
    leaves: bool = False
    agreed: Sequence[PlannedRow] | None = None


async def apply(
    engine: Engine, configuration: Configuration, name: str, decision: PlanDecision
) -> AppliedPlan | RefusedCommand:
    """Carry out the plan of a destination: send what it adds, stop what it stops; or discard it.

    Refused if the plan is still being made, these settings are not in force, or it is unknown which messages were sent.
    Messages held because they may have been sent stay held.

    Raises:
        ConfigError: no such destination.
        StoreUnavailable: the store cannot be reached.
    """
    if refused := await _why_not(engine, configuration, name):
        return refused
    standing, doubtful = await plans.plan_rows(engine, name), await doubtful_lanes(engine, name)
    agreed = set(standing if decision.agreed is None else decision.agreed)
    every = [one for one in standing if one in agreed]
    rows = [one for one in every if one.study_id not in doubtful]
    verb, counts = "feed-leave" if decision.leaves else "feed-apply", plan_of(rows)
    await engine.do(partial(noted, verb, f"{name} {counts}", decision.reason, micros(clock.now())))
    lacking = await (leave_plan if decision.leaves else apply_plan)(engine, name, rows)
    return AppliedPlan(name, counts, decision.leaves, len(rows) < len(every), tuple(lacking))


async def _why_not(engine: Engine, configuration: Configuration, name: str) -> RefusedCommand | None:
    """Return why the plan of a destination cannot be applied now, None if it can."""
    destination = destination_named(configuration, name)
    if await is_old(engine, name):
        return _refused(name, "the database was put back, and what was sent since is not known: `feed resume` first")
    standing = await in_force_of(engine, name)
    own = wanted(destination.terms, routes_of(configuration).ignores)
    if standing is None or standing.digest != own.digest:
        return _refused(name, "these settings are not in force: start the service with them first")
    if standing.planned is None:
        return _refused(name, "the plan is still being made: try again in a moment")
    return None


def _refused(name: str, problem: str) -> RefusedCommand:
    return RefusedCommand((f"{name}: {problem}",))
