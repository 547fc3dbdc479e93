"""`feed withdraw`, `feed leave`: decide on signed reports that AutoScribe cancelled, and list those still undecided.

Carries out no clause of a standard; decision D21. A withdrawal goes as where the site withdraws by itself: FHIR
`entered-in-error`, and a message to each destination that has the report. Ids and codes, nothing about a patient.
Proved by tests/gateway/cli/test_cancelled.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Final

from gateway.feed.fate import fates, places
from gateway.feed.operator.arguments import Say, at, counted, id_of, wrong
from gateway.ingest.assembly import store_for_command
from gateway.routing import routes_of
from gateway.runtime import clock
from gateway.settings import Configuration
from gateway.store.database.engine import Engine, instant, micros
from gateway.store.feed.cancelled_reports import (
    CancelledItem,
    ItemChanged,
    item_of,
    items_of_studies,
    leave_cancelled,
    open_items,
    withdraw_cancelled,
)
from gateway.store.feed.outbox import study_of

MOST: Final = 1_000
_CHANGED: Final = "is another version by now, or was decided meanwhile: nothing is done. Look at it, and try again"
_LISTED: Final = 20


@dataclass(frozen=True, slots=True)
class OpenCancellation:
    """Signed report that AutoScribe cancelled and nobody decided on; `cancelled` is `study` or `report`."""

    report_id: str
    study_id: str
    cancelled: str
    state: str
    since: datetime
    is_critical: bool


async def withdraw(configuration: Configuration, report: str, reason: str, say: Say, *, dry_run: bool = False) -> int:
    """Withdraw a cancelled report, and with it all signed reports of its study if AutoScribe cancelled the study.

    Return 1 if the report changed meanwhile. With `dry_run` it only says what would be withdrawn, and where from.

    Raises:
        ConfigError: no such report is stored, or AutoScribe did not cancel it.
        StoreUnavailable: the store cannot be reached.
    """
    async with store_for_command(configuration, writes=not dry_run) as engine:
        item = await _cancelled(engine, report)
        every = [one for one in await items_of_studies(engine, [item.study_id]) if one.what == item.what]
        about = [one for one in every if one.state != "withdrawn"] if item.what == "study" else [item]
        if item.state == "withdrawn":
            say(f"{item.report_id} is withdrawn already")
            return 0
        for line in await _said(configuration, engine, about):
            say(line)
        if dry_run:
            say("nothing is withdrawn: --dry-run")
            return 0
        try:
            await engine.do(partial(withdraw_cancelled, about, reason, micros(clock.now())))
        except ItemChanged:
            say(f"{item.report_id} {_CHANGED}")
            return 1
    say(f"{counted(len(about), 'report')} of {item.study_id} withdrawn; the service sends it within seconds")
    return 0


async def leave(configuration: Configuration, report: str, reason: str, say: Say, *, dry_run: bool = False) -> int:
    """Leave a cancelled report as it is, in FHIR and at every destination, until its content changes.

    Return 1 if the report changed meanwhile.

    Raises:
        ConfigError: no such report is stored, AutoScribe did not cancel it, or its study is withdrawn.
        StoreUnavailable: the store cannot be reached.
    """
    async with store_for_command(configuration, writes=not dry_run) as engine:
        item = await _cancelled(engine, report)
        others = await items_of_studies(engine, [item.study_id])
        if item.what == "study" and any(one.what == "study" and one.state.startswith("withdraw") for one in others):
            remedy = "Write `feed withdraw` for this report too, or reinstate the study in AutoScribe."
            raise wrong(item.report_id, f"{item.study_id} is withdrawn, and no report of it can stand alone", remedy)
        if item.state == "left":
            say(f"{item.report_id} was left already, and stays so")
            return 0
        for line in await _said(configuration, engine, [item]):
            say(line)
        if dry_run:
            say("nothing is left: --dry-run")
            return 0
        try:
            await engine.do(partial(leave_cancelled, item, reason, micros(clock.now())))
        except ItemChanged:
            say(f"{item.report_id} {_CHANGED}")
            return 1
    say(
        f"{item.report_id} stays as it is, in FHIR and wherever it was sent; another version of it opens the item again"
    )
    return 0


async def _cancelled(engine: Engine, report: str) -> CancelledItem:
    """Find the item of a cancelled report.

    Raises:
        ConfigError: no such report is stored, or AutoScribe did not cancel it.
    """
    report_id = id_of(report)
    item = await item_of(engine, report_id)
    if item is None and await study_of(engine, report_id) is None:
        raise wrong(report, "no such report is stored", "`sync` takes in all that AutoScribe lists.")
    if item is None:
        raise wrong(
            report, "AutoScribe did not cancel it", "Cancel its study in AutoScribe: only that withdraws a report."
        )
    return item


async def _said(configuration: Configuration, engine: Engine, items: Sequence[CancelledItem]) -> list[str]:
    """Return a line for each of these reports, and its fate at each destination."""
    known = await places(engine, routes_of(configuration).destinations)
    every = await fates(engine, [items[0].study_id], known)
    lines = []
    for one in items:
        lines.append(f"{one.report_id}{'  CRITICAL' if one.is_critical else ''}")
        lines += [f"  {found.place.label}: {found.fate}" for found in every if found.report_id == one.report_id]
    return lines


async def cancelled_open(engine: Engine) -> tuple[OpenCancellation, ...]:
    """Return the undecided items, critical results first."""
    ordered = sorted(await open_items(engine, MOST), key=lambda one: (not one.is_critical, one.since))
    return tuple(
        OpenCancellation(one.report_id, one.study_id, one.what, one.state, instant(one.since), one.is_critical)
        for one in ordered
    )


def cancelled_lines(items: Sequence[OpenCancellation]) -> Iterator[str]:
    """Yield the lines of `feed status` about undecided cancellations."""
    if not items:
        return
    critical = sum(one.is_critical for one in items)
    number = counted(len(items), "report")
    yield f"cancelled after signing: {number}, {critical} of them critical; feed withdraw or feed leave REPORT"
    for one in items[:_LISTED]:
        mark = ", critical" if one.is_critical else ""
        yield f"  cancelled {one.report_id}  {one.study_id}, since {at(one.since)}{mark}, {one.state}"
    if len(items) > _LISTED:
        yield f"  cancelled {counted(len(items) - _LISTED, 'more report')}: --json lists them"
