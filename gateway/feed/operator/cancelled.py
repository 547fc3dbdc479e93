"""`feed withdraw`, `feed leave`: decide on signed reports that AutoScribe cancelled, and list those still undecided.

Carries out no clause of a standard; decision D21. A withdrawal goes as where the site withdraws by itself: FHIR
`entered-in-error`, and a message to each destination that has the report. Ids and codes, nothing about a patient.
Proved by tests/gateway/cli/test_cancelled.py.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Final, Literal

from gateway.feed.fate import fates, places
from gateway.feed.operator.arguments import CommandAnswer, RefusedCommand, Say, at, counted, id_of, say_answer, wrong
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
_STAYS: Final = "stays as it is, in FHIR and wherever it was sent; another version of it opens the item again"
_SERVICE: Final = "the service sends it within seconds"
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


@dataclass(frozen=True, slots=True)
class CancelledReports(CommandAnswer):
    """Cancelled reports that a decision is about, with their fates; `items` is empty if it was decided so already."""

    report_id: str
    does: Literal["withdraw", "leave"]
    items: tuple[CancelledItem, ...]
    said: tuple[str, ...]

    def lines(self) -> Iterator[str]:
        """Yield each report with its fate at each destination."""
        yield from self.said


@dataclass(frozen=True, slots=True)
class DecidedCancellation(CommandAnswer):
    """Answer of `feed withdraw|leave`: what was decided, as a sentence."""

    sentence: str

    def lines(self) -> Iterator[str]:
        """Yield the sentence."""
        yield self.sentence


async def foresee_withdrawal(engine: Engine, configuration: Configuration, report: str) -> CancelledReports:
    """Find what withdrawing a report withdraws: all signed reports of its study if AutoScribe cancelled the study.

    Raises:
        ConfigError: no such report is stored, or AutoScribe did not cancel it.
        StoreUnavailable: the store cannot be reached.
    """
    item = await _cancelled(engine, report)
    every = [one for one in await items_of_studies(engine, [item.study_id]) if one.what == item.what]
    about = [one for one in every if one.state != "withdrawn"] if item.what == "study" else [item]
    if item.state == "withdrawn":
        return CancelledReports(item.report_id, "withdraw", (), (f"{item.report_id} is withdrawn already",))
    said = await _said(configuration, engine, about)
    return CancelledReports(item.report_id, "withdraw", tuple(about), said)


async def foresee_leaving(engine: Engine, configuration: Configuration, report: str) -> CancelledReports:
    """Find the cancelled report that is to stay as it is.

    Raises:
        ConfigError: no such report is stored, AutoScribe did not cancel it, or its study is withdrawn.
        StoreUnavailable: the store cannot be reached.
    """
    item = await _cancelled(engine, report)
    others = await items_of_studies(engine, [item.study_id])
    if item.what == "study" and any(one.what == "study" and one.state.startswith("withdraw") for one in others):
        remedy = "Write `feed withdraw` for this report too, or reinstate the study in AutoScribe."
        raise wrong(item.report_id, f"{item.study_id} is withdrawn, and no report of it can stand alone", remedy)
    if item.state == "left":
        return CancelledReports(item.report_id, "leave", (), (f"{item.report_id} was left already, and stays so",))
    return CancelledReports(item.report_id, "leave", (item,), await _said(configuration, engine, [item]))


async def carry_out(engine: Engine, about: CancelledReports, reason: str) -> CommandAnswer:
    """Withdraw or leave what was foreseen; refused if a report changed meanwhile.

    Raises:
        StoreUnavailable: the store cannot be reached.
    """
    if not about.items:
        return about
    now, is_left = micros(clock.now()), about.does == "leave"
    withdraws = partial(withdraw_cancelled, about.items, reason, now)
    try:
        await engine.do(partial(leave_cancelled, about.items[0], reason, now) if is_left else withdraws)
    except ItemChanged:
        return RefusedCommand((f"{about.report_id} {_CHANGED}",))
    if is_left:
        return DecidedCancellation(f"{about.report_id} {_STAYS}")
    number = counted(len(about.items), "report")
    return DecidedCancellation(f"{number} of {about.items[0].study_id} withdrawn; {_SERVICE}")


async def withdraw(configuration: Configuration, report: str, reason: str, say: Say, *, dry_run: bool = False) -> int:
    """Withdraw a cancelled report; see `foresee_withdrawal`.

    Return 1 if the report changed meanwhile. With `dry_run` it only says what would be withdrawn, and where from.

    Raises:
        ConfigError: no such report is stored, or AutoScribe did not cancel it.
        StoreUnavailable: the store cannot be reached.
    """
    return await _decided(configuration, partial(foresee_withdrawal, report=report), reason, say, dry_run=dry_run)


async def leave(configuration: Configuration, report: str, reason: str, say: Say, *, dry_run: bool = False) -> int:
    """Leave a cancelled report as it is, in FHIR and at every destination, until its content changes.

    Return 1 if the report changed meanwhile.

    Raises:
        ConfigError: no such report is stored, AutoScribe did not cancel it, or its study is withdrawn.
        StoreUnavailable: the store cannot be reached.
    """
    return await _decided(configuration, partial(foresee_leaving, report=report), reason, say, dry_run=dry_run)


async def _decided(
    configuration: Configuration,
    foresee: Callable[[Engine, Configuration], Awaitable[CancelledReports]],
    reason: str,
    say: Say,
    *,
    dry_run: bool,
) -> int:
    async with store_for_command(configuration, writes=not dry_run) as engine:
        about = await foresee(engine, configuration)
        say_answer(about, say)
        if about.items and dry_run:
            say(f"nothing is {'left' if about.does == 'leave' else 'withdrawn'}: --dry-run")
        if not about.items or dry_run:
            return 0
        return say_answer(await carry_out(engine, about, reason), say)


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


async def _said(configuration: Configuration, engine: Engine, items: Sequence[CancelledItem]) -> tuple[str, ...]:
    """Return a line for each of these reports, and its fate at each destination."""
    known = await places(engine, routes_of(configuration).destinations)
    every = await fates(engine, [items[0].study_id], known)
    lines = []
    for one in items:
        lines.append(f"{one.report_id}{'  CRITICAL' if one.is_critical else ''}")
        lines += [f"  {found.place.label}: {found.fate}" for found in every if found.report_id == one.report_id]
    return tuple(lines)


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
