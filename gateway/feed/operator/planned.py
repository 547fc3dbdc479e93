"""`feed plan`, `feed apply`: show which earlier reports changed settings would send or stop, then carry that out.

Carries out no clause of a standard; decisions D26, D37. Prints counts and codes, nothing about a patient. A plan lacks
the reports that are not in the index yet, so it is not shown before the index is whole.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any, Final

from gateway.crawl.account_pace import pace_of
from gateway.feed.operator.arguments import Say, counted, destination_named
from gateway.feed.plan.counts import PlanCounts, plan_of, reports_of
from gateway.feed.plan.planning import apply_plan, leave_plan, preview
from gateway.ingest.assembly import engine_of, store_for_command
from gateway.ingest.settings_in_force import wanted
from gateway.routing import Destination, routes_of
from gateway.routing.plan import RESENT, after_stop
from gateway.runtime import clock
from gateway.runtime.errors import ConfigError, StoreError
from gateway.settings import Configuration
from gateway.store.database.engine import Engine, instant_text, micros
from gateway.store.database.operator_acts import noted
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
class DestinationPlan:
    """Plan of a destination by the settings in force; with `differs`, the plan that this process's settings would make.

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
    def reports(self) -> list[dict[str, Any]]:
        """Reports of the plan as JSON, critical results first, each with its study and what would be done."""
        ordered = sorted(reports_of(self.rows), key=lambda one: (not one.is_critical, one.signed or 0, one.report_id))
        return [_report(one) for one in ordered]

    @property
    def said(self) -> dict[str, Any]:
        """The plan as JSON."""
        since = None if self.since is None else instant_text(self.since)
        counts = {key: value for key, value in asdict(self.plan).items() if key != "oldest"}
        oldest = None if not self.plan.oldest else instant_text(self.plan.oldest)
        rest = {"settingsSince": since, "differs": self.differs, "isMade": self.is_made, "isWhole": self.is_whole}
        return {"name": self.name, **counts, "oldest": oldest, **rest, "unplanned": list(self.lacking)}

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
    """Return the plan of a destination by the settings in force, or as these settings would make it if they differ.

    Raises:
        StoreUnavailable: the store cannot be reached.
    """
    known = replace(destination, name=await known_as(engine, destination.name, destination.formerly))
    planned = await _planned_as(engine, known, configuration, seconds)
    return replace(planned, name=destination.name)


async def _planned_as(
    engine: Engine, destination: Destination, configuration: Configuration, seconds: float
) -> DestinationPlan:
    """Return the plan of a destination under its name in the database."""
    ignores = routes_of(configuration).ignores
    standing = await in_force_of(engine, destination.name)
    if standing is not None and standing.digest == wanted(destination.terms, ignores).digest:
        rows = await plans.waiting(engine, destination.name)
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


def _report(row: PlannedRow) -> dict[str, Any]:
    does = "stop" if row.state == TO_STOP else "resend" if row.reason == RESENT else "add"
    return {
        "reportId": row.report_id,
        "studyId": row.study_id,
        "does": does,
        "detail": " ".join(filter(None, after_stop(row.reason))) if does == "stop" else "",
        "signed": None if row.signed is None else instant_text(row.signed),
        "isCritical": row.is_critical,
    }


def _lines(reports: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for report in reports[:_MOST_LINES]:
        signed = f"signed {report['signed']}" if report["signed"] else "when it was signed is not known"
        detail = f"  {report['detail']}" if report["detail"] else ""
        critical = "  CRITICAL" if report["isCritical"] else ""
        yield f"  {report['does']}  {report['reportId']}  {report['studyId']}  {signed}{detail}{critical}"
    if len(reports) > _MOST_LINES:
        yield f"  {len(reports) - _MOST_LINES} more: --json lists all"


async def index_gap(engine: Engine, configuration: Configuration) -> str:
    """Return why the index may lack reports: the first sweep has not ended, or the last is too old; empty if not."""
    record = await read_record(StoredCursors(engine))
    longest = pace_of(record, configuration.settings.sync).max_index_age
    if record.is_current(clock.now(), longest):
        return ""
    if record.finished is None:
        return f"the first sweep of AutoScribe has not ended ({counted(record.studies_seen, 'study')} so far)"
    ended = instant_text(micros(record.finished.ended))
    return f"the last sweep of AutoScribe ended at {ended}, longer ago than {longest:.0f} s (sync.max_index_age)"


async def plan(
    configuration: Configuration, name: str | None, say: Say, *, as_json: bool = False, reports: bool = False
) -> int:
    """Print the plan of one destination or all; return 1 if a plan waits for `feed apply`, or is not complete.

    With `reports`, each report of a plan is listed. No plan is shown while the index may lack reports.

    Raises:
        ConfigError: no such destination.
        StoreUnavailable: the store cannot be reached.
    """
    destinations = [one for one in routes_of(configuration).destinations if one.is_enabled]
    if name is not None:
        destinations = [destination_named(configuration, name)]
    async with store_for_command(configuration, writes=False) as engine:
        gap = await index_gap(engine, configuration)
        plans_made = [] if gap else [await plan_at(engine, one, configuration) for one in destinations]
    if gap:
        text = f"no plan is shown: {gap}, and the plan would lack the reports that are still to be found. {_REMEDY}"
        say(json.dumps({"refused": text, "destinations": []}, indent=2) if as_json else text)
        return 1
    if as_json:
        as_data = [{**one.said, **({"reports": one.reports} if reports else {})} for one in plans_made]
        say(json.dumps({"destinations": as_data}, indent=2))
    else:
        for planned in plans_made:
            say(planned.line)
            for study_id in planned.lacking[:_MOST_LINES]:
                say(f"  {study_id}  {_NOT_PLANNED}")
            for line in _lines(planned.reports) if reports else ():
                say(line)
        if not plans_made:
            say("no destination is set up")
    return int(any(one.lacking or (one.plan.size and not one.differs) for one in plans_made))


async def note_plans(configuration: Configuration, say: Say) -> None:
    """Print what the settings would send or stop if the service started with them; nothing without a database."""
    destinations = [one for one in routes_of(configuration).destinations if one.is_enabled]
    try:
        engine = engine_of(configuration)
        if not destinations or (isinstance(engine, Sqlite) and not engine.path.exists()):
            return
        async with engine.opened():
            if not await is_current(engine):
                return
            plans_made = [await plan_at(engine, one, configuration, _SHORT) for one in destinations]
    except (ConfigError, StoreError):
        return  # `check-config --online` reports these
    for planned in plans_made:
        if planned.plan.size or planned.lacking:
            say(f"note: plan {planned.line}")


async def apply(configuration: Configuration, name: str, say: Say, *, leaves: bool = False, reason: str = "") -> int:
    """Send what the plan of a destination adds and stop what it stops; with `leaves`, discard the plan for a reason.

    Return 1 if the plan is still being made, these settings are not in force, it is unknown which messages were sent,
    or a bug kept a study from being planned again. Messages held because they may have been sent stay held.

    Raises:
        ConfigError: no such destination.
        StoreUnavailable: the store cannot be reached.
    """
    destination = destination_named(configuration, name)
    async with store_for_command(configuration) as engine:
        if await is_old(engine, name):
            say(f"{name}: the database was put back, and what was sent since is not known: `feed resume` first")
            return 1
        standing = await in_force_of(engine, name)
        own = wanted(destination.terms, routes_of(configuration).ignores)
        if standing is None or standing.digest != own.digest:
            say(f"{name}: these settings are not in force: start the service with them first")
            return 1
        if standing.planned is None:
            say(f"{name}: the plan is still being made: try again in a moment")
            return 1
        every, doubtful = await plans.waiting(engine, name), await doubtful_lanes(engine, name)
        rows = [one for one in every if one.study_id not in doubtful]
        now = micros(clock.now())
        verb, counts = "feed-leave" if leaves else "feed-apply", plan_of(rows)
        await engine.do(partial(noted, verb, f"{name} {counts}", reason, now))
        lacking = await (leave_plan if leaves else apply_plan)(engine, name, rows)
    did = "left unsent" if leaves else "queued"
    critical = counts.critical + counts.resent_critical
    say(f"{name}: {counted(counts.adds + counts.resends, 'report')} {did}, {critical} of them critical")
    if counts.stops:
        say(f"{name}: {counted(counts.stops, 'report')} {'sent after all' if leaves else 'stopped'}")
    if len(rows) < len(every):
        say(f"{name}: messages that may have been sent before the database was restored stay held")
    for study_id in lacking:
        say(f"{name}: {study_id}  {_NOT_PLANNED}")
    return int(bool(lacking))
