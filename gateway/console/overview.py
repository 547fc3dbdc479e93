"""Pages that hold no data of patients: the overview, the alerts, and the work that waits for somebody.

HL7 v2.5.1 §2.9.2 (AA: the receiver's interface has accepted the message); decisions D37, D49, D53. They show the
answers of `feed status` and `feed dead-letters`, by ids and counts.
Proved by tests/gateway/console/test_pages.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from http import HTTPStatus
from typing import Any, Final, Generic, TypeVar

from starlette.responses import RedirectResponse, Response

from gateway.console.actions import ActionLink, action_link
from gateway.console.frame import ConsoleVisit, address, gate_of
from gateway.feed.alerts.conditions import NOT_CONNECTED, ROWS
from gateway.feed.operator.acknowledging import acknowledge, acknowledgements, ended_alerts
from gateway.feed.operator.forms import critical_reports
from gateway.feed.operator.needing import WaitingElsewhere, critical_of_day, waiting_elsewhere
from gateway.feed.operator.status import (
    DeadLetters,
    DestinationStatus,
    FeedStatus,
    HeldStudy,
    ListedDeadLetter,
    UncomposedReport,
    dead_letters,
    status,
)
from gateway.fhir_api.audit.audited import trail_of
from gateway.runtime import clock

NO_ORDER: Final = "no order"  # kind of an item; there may be very many, so they come last
EVERY: Final = 10  # seconds between two renewals of a page by its script
_FRESH: Final = 5.0  # seconds for which an answer is not computed anew: the counts of a long queue take half a second
_STALE: Final = 30.0  # seconds for which one is shown while the next is computed
_MOST_ITEMS: Final = 200
_MOST_PAST: Final = 100
_OPEN_MESSAGES: Final = ("queued", "sending", "held", "indeterminate")
_OPEN_ROWS: Final = ("waiting", "held")
_DOWN: Final = "connection-down"
_SHAPES: Final = {"valid": "good", "expires soon": "wait"}
_WHOSE: Final = {"own": "our", "peer": "the receiver's", "authority": "the authority's"}

Read = TypeVar("Read")


class Shared(Generic[Read]):
    """Answer that all visitors share: however many look, it is computed once at a time.

    One that is older than `_FRESH` is still given, while a new one is computed; one older than `_STALE` is not.
    """

    def __init__(self) -> None:
        self._task: asyncio.Task[Read] | None = None
        self._begun = 0.0
        self._last: tuple[float, Read] | None = None

    async def get(self, ask: Callable[[], Awaitable[Read]]) -> Read:
        """Return the answer.

        Raises:
            StoreUnavailable: the store cannot be reached, and no answer is young enough.
        """
        now = clock.monotonic()
        if self._task is None or (self._task.done() and now - self._begun >= _FRESH):
            self._begun, self._task = now, asyncio.ensure_future(self._asked(ask))
            self._task.add_done_callback(lambda done: done.cancelled() or done.exception())  # else it is logged as lost
        if self._last is not None and now - self._last[0] < _STALE:
            return self._last[1]
        return await asyncio.shield(self._task)

    def forget(self) -> None:
        """Have the next visitor wait for a new answer."""
        self._task = self._last = None

    async def _asked(self, ask: Callable[[], Awaitable[Read]]) -> Read:
        found = await ask()
        self._last = clock.monotonic(), found
        return found


@dataclass(frozen=True, slots=True)
class ShownCertificate:
    """Certificate of a destination, in words: whose it is, as shape and word how it stands, and until when."""

    whose: str
    until: datetime | None
    kind: str
    word: str


@dataclass(frozen=True, slots=True)
class DestinationRow:
    """Row of a destination: whether messages go there, as shape (`kind`) and word, why not, and since when."""

    status: DestinationStatus
    kind: str
    word: str
    why: str = ""
    since: datetime | None = None
    certificates: tuple[ShownCertificate, ...] = ()

    @property
    def name(self) -> str:
        """Name in the settings."""
        return self.status.link.name

    @property
    def queue(self) -> int:
        """Number of open messages, composed or not."""
        return self.status.queue.queue

    @property
    def held(self) -> int:
        """Number of held studies, and of reports that no message is composed of."""
        return self.status.queue.held


@dataclass(frozen=True, slots=True)
class WorkItem:
    """Something that waits for somebody, with the command that is the next step, and what may be done of it here."""

    kind: str
    destination: str
    report_id: str
    study_id: str
    reason: str
    since: datetime | None
    step: str
    is_critical: bool = False
    acts: tuple[ActionLink, ...] = ()


class FeedPages:
    """Overview, alerts and work of one application."""

    def __init__(self) -> None:
        self._status: Shared[FeedStatus] = Shared()
        self._letters: Shared[DeadLetters] = Shared()
        self._others: Shared[tuple[WaitingElsewhere, ...]] = Shared()

    def forget(self) -> None:
        """Read everything anew for the next visitor, since somebody changed something."""
        for one in (self._status, self._letters, self._others):
            one.forget()

    async def overview(self, visit: ConsoleVisit) -> Response:
        """Answer with the state of everything: one look tells whether to worry."""
        found = await self._read(visit)
        critical = await critical_of_day(visit.serving.engine, visit.configuration)
        rows = [replace(_row(one, found), certificates=_certificates(found, one)) for one in found.destinations]
        index = _index(visit)
        own_alerts = _own_alerts(visit, found)
        missed = sum(one.fate.is_open for one in critical)
        verdict = _verdict(found, rows, missed, own_alerts, is_current=index["is_current"])
        values = {"status": found, "rows": rows, "critical": critical, "index": index, "verdict": verdict}
        values |= {"own_alerts": own_alerts}
        return visit.render("overview.html", {"here": "overview", "every": EVERY, **values})

    async def alerts(self, visit: ConsoleVisit, fault: str = "") -> Response:
        """Answer with the open alerts, each with its runbook, and with those that are over."""
        meanings = {code: row.meaning for code, row in ROWS.items()}
        found, past = await self._read(visit), await ended_alerts(visit.serving.engine, _MOST_PAST)
        seen = await acknowledgements(visit.serving.engine, 2 * _MOST_PAST)
        reasons = {(one.alert, one.destination, one.at): one.reason for one in seen}
        values = {"alerts": found.alerts, "meanings": meanings, "at": found.at, "past": past, "reasons": reasons}
        values |= {"own_alerts": _own_alerts(visit, found)}
        status = HTTPStatus.BAD_REQUEST if fault else HTTPStatus.OK
        return visit.render("alerts.html", {"here": "alerts", "every": EVERY, "fault": fault, **values}, status)

    async def acknowledge(self, visit: ConsoleVisit) -> Response:
        """Acknowledge an alert as `feed ack` does, after it is noted in the audit, and show the alerts again."""
        form = await visit.form()
        reason = form.get("reason", "").strip()
        if not reason:
            return await self.alerts(visit, "Write why: the audit keeps it.")
        scope = visit.request.scope
        trail, about = trail_of(scope), (form.get("alert", ""), form.get("at", ""))
        with trail.acting(scope, "feed ack", reason, about) if trail else nullcontext():
            await acknowledge(visit.serving.engine, *about, reason)
        self.forget()
        return RedirectResponse(address("alerts"), HTTPStatus.SEE_OTHER, gate_of(visit.request).headers())

    async def work(self, visit: ConsoleVisit) -> Response:
        """Answer with what waits for somebody, critical results first."""
        found = await self._read(visit)
        asked = partial(dead_letters, visit.serving.engine, visit.configuration, None)
        letters = (await self._letters.get(asked)).letters
        studies = {lane.study_id for one in found.destinations for lane in one.queue.lanes}
        critical = await critical_reports(visit.serving.engine, studies)
        others = await self._others.get(partial(waiting_elsewhere, visit.serving.engine, _MOST_ITEMS))
        items = [*_of_status(found, critical), *map(_of_letter, letters), *map(_of_other, others)]
        items.sort(key=lambda one: (not one.is_critical, one.kind == NO_ORDER, one.since is None, one.since))
        more = list(_not_listed(found))
        if len(items) > _MOST_ITEMS:
            more.append(
                f"{len(items) - _MOST_ITEMS} more items: feed status, feed dead-letters and orders list have them."
            )
        values = {"items": items[:_MOST_ITEMS], "more": more, "at": found.at}
        return visit.render("work.html", {"here": "work", "every": EVERY, **values})

    async def _read(self, visit: ConsoleVisit) -> FeedStatus:
        """Return the answer of `feed status`, without the counts that take longer the more reports there are."""
        engine = visit.serving.engine
        return await self._status.get(partial(status, engine, visit.configuration, is_brief=True))


def _row(one: DestinationStatus, found: FeedStatus) -> DestinationRow:
    link = one.link
    down = next((alert for alert in found.alerts if (alert.alert, alert.destination) == (_DOWN, link.known_as)), None)
    if link.settings != "enabled":
        return DestinationRow(one, "", "not enabled" if link.settings == "not enabled" else "not in the settings")
    if link.paused:
        return DestinationRow(one, "bad", "paused", link.paused, link.paused_since)
    if link.breaker:
        return DestinationRow(one, "bad", "probing", link.breaker, link.breaker_since)
    if not link.holder:
        return DestinationRow(one, "bad", "not served", "no process sends to it")
    if down is not None:
        return DestinationRow(one, "bad", "down", NOT_CONNECTED, down.since)
    return DestinationRow(one, "good", "up")


def _certificates(found: FeedStatus, one: DestinationStatus) -> tuple[ShownCertificate, ...]:
    own = [each for each in found.certificates if each.destination == one.link.name]
    words = [(each, each.standing(found.at)) for each in own]
    return tuple(
        ShownCertificate(_WHOSE[each.kind], each.until, _SHAPES.get(word, "bad"), word) for each, word in words
    )


def _index(visit: ConsoleVisit) -> dict[str, Any]:
    """Return how fresh the index is, and how far the present sweep."""
    record, now = visit.serving.sweep(), clock.now()
    running, finished = record.running, record.finished
    left = None
    if running is not None and record.percent:
        gone = now - running.started
        left = timedelta(seconds=gone.total_seconds() * (100 - record.percent) / record.percent)
    return {
        "is_current": record.is_current(now, visit.serving.max_index_age()),
        "ended": finished.ended if finished else None,
        "running": running.started if running else None,
        "studies": record.studies_seen,
        "percent": record.percent,
        "left": left,
    }


def _own_alerts(visit: ConsoleVisit, found: FeedStatus) -> list[tuple[str, str]]:
    """Return code and destination of the alerts of the gateway's own processes, such as a full disk; none is stored."""
    stored = {(one.alert, one.destination) for one in found.alerts}
    return sorted(visit.request.app.state.ops.metrics.alerts() - stored)


def _verdict(
    found: FeedStatus, rows: list[DestinationRow], critical: int, processes: list[tuple[str, str]], *, is_current: bool
) -> dict[str, Any]:
    """Return whether to worry, in a word, and why."""
    bad = [f"{code} at {name}" if name else code for code, name in processes]
    bad += [f"{row.name} is {row.word}" for row in rows if row.kind == "bad"]
    own = [(row.name, one) for row in rows for one in row.certificates]
    bad += [f"{one.whose} certificate for {name} is {one.word}" for name, one in own if one.kind == "bad"]
    bad += [f"{critical} critical not acknowledged"] if critical else []
    unseen = sum(not one.acknowledged_by for one in found.alerts)
    bad += [f"{unseen} {'alert' if unseen == 1 else 'alerts'} nobody acknowledged"] if unseen else []
    if bad:
        return {"kind": "bad", "word": "Somebody is needed", "why": bad}
    waits = [f"a plan waits at {row.name}" for row in rows if row.status.standing.plan]
    waits += [f"{row.held} held at {row.name}" for row in rows if row.held]
    waits += [f"{one.whose} certificate for {name} {one.word}" for name, one in own if one.kind == "wait"]
    waits += [] if is_current else ["the index is not complete"]
    if waits:
        return {"kind": "wait", "word": "Something waits", "why": waits}
    return {"kind": "good", "word": "Nothing needs you", "why": []}


def _of_status(found: FeedStatus, critical: Collection[str]) -> Iterator[WorkItem]:
    """Yield what waits by the status; `critical` are the held studies that have critical results."""
    for one in found.destinations:
        name, queue, plan = one.link.name, one.queue, one.standing.plan
        acts: tuple[ActionLink, ...]
        if one.link.paused:
            acts = () if one.link.needs_journal else (action_link("resume", at=name),)
            pause = one.link.paused, one.link.paused_since, one.link.resume_step
            yield WorkItem("paused", name, "", "", *pause, acts=acts)
        if one.link.breaker:
            probing = one.link.breaker, one.link.breaker_since, one.link.resume_step
            yield WorkItem("probing", name, "", "", *probing, acts=(action_link("resume", at=name),))
        if plan is not None:
            is_critical = bool(plan.critical or plan.stopped_critical or plan.resent_critical)
            since = one.standing.settings_since
            acts = action_link("apply", at=name), action_link("discard", at=name)
            yield WorkItem("plan", name, "", "", str(plan), since, f"feed plan {name} --reports", is_critical, acts)
        for lane in queue.lanes:
            is_critical = lane.study_id in critical
            about, acts = (lane.study_id, _reason(lane), lane.since, lane.step), _acts_of_held(name, lane)
            yield WorkItem("held study", name, "", *about, is_critical, acts)
        for row in queue.held_rows:
            about, acts = (row.study_id, _reason(row), row.since, row.step), _acts_of_held(name, row)
            yield WorkItem("held report", name, "", *about, row.is_critical, acts)
        if queue.indeterminate:
            step = f"feed resume {name} --held indeterminate --dry-run"
            acts = (action_link("let-go", at=name, held="indeterminate"),)
            text = f"{queue.indeterminate} sent without an answer"
            yield WorkItem("in doubt", name, "", "", text, None, step, acts=acts)
    for item in found.cancelled_after_sign:
        told = item.report_id, item.study_id, f"AutoScribe cancelled the {item.cancelled}: {item.state}", item.since
        step = f"feed withdraw {item.report_id} --dry-run"
        acts = tuple(action_link(one, report=item.report_id) for one in ("withdraw", "leave"))
        yield WorkItem("cancelled after signing", "", *told, step, item.is_critical, acts)


def _reason(held: HeldStudy) -> str:
    return f"{held.reason}; {held.about}" if held.about else held.reason


def _acts_of_held(name: str, held: HeldStudy) -> tuple[ActionLink, ...]:
    if isinstance(held, UncomposedReport) and not held.is_freed_by_hand:
        return ()
    wanted = ("let-go", "left") if held.reason == "may-have-been-sent" else ("let-go",)
    acts = tuple(action_link(one, at=name, study=held.study_id) for one in wanted)
    return (*acts, *_acts_of_order(held.study_id)) if held.reason == "order-awaited" else acts


def _of_letter(letter: ListedDeadLetter) -> WorkItem:
    reason = f"{letter.reason} ({letter.rule})" if letter.rule else letter.reason
    step = f"feed replay {letter.destination} --study {letter.study_id} --dry-run"
    about = letter.destination, letter.report_id, letter.study_id
    acts = (action_link("resend", at=letter.destination, study=letter.study_id),)
    return WorkItem("dead letter", *about, reason, letter.since, step, letter.is_critical, acts)


def _of_other(other: WaitingElsewhere) -> WorkItem:
    if other.number is not None:
        step = f"orders message {other.number}"
        return WorkItem("order message", "", "", "", other.reason, other.since, step)
    about = other.study_id, other.reason, other.since
    if other.patient_id:
        acts = [action_link(one, patient=other.patient_id, study=other.study_id) for one in ("link", "separate")]
        return WorkItem("identity conflict", "", "", *about, "identity list", acts=tuple(acts))
    step = f"orders show {other.study_id}"
    return WorkItem(NO_ORDER, "", "", *about, step, acts=_acts_of_order(other.study_id))


def _acts_of_order(study_id: str) -> tuple[ActionLink, ...]:
    return tuple(action_link(one, study=study_id) for one in ("match", "release"))


def _not_listed(found: FeedStatus) -> Iterator[str]:
    for one in found.destinations:
        queue = one.queue
        if queue.held_lanes > len(queue.lanes):
            yield f"{queue.held_lanes - len(queue.lanes)} more held studies at {one.link.name}."
        if (more := queue.outbox.get("held", 0) - len(queue.held_rows)) > 0:
            yield f"{more} more held reports at {one.link.name}."
    if found.unrouted:
        yield f"{found.unrouted} signed reports are unrouted: no destination takes them."
