"""Store the settings in force of each destination, and the plan that changed settings make for earlier reports.

Carries out no clause of a standard; decisions D21, D28, D31. A plan is made of messages to send or to stop since the
settings changed.
Proved by tests/contract/test_planning.py.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from gateway.store.database import locks
from gateway.store.database.engine import Engine, Row, Statement, Steps, Values, ask, ask_each, micros
from gateway.store.database.locks import REVISION, Outdated
from gateway.store.feed.leases import Lease, check_lease, lock_destination
from gateway.store.feed.messages import free_lane_without
from gateway.store.feed.outbox import ADD_CAUSE, BEHIND, USUAL
from gateway.store.feed.restoring import doubtful_lanes
from gateway.store.feed.states import MOVED

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
    """Settings in force at a destination; instants in microseconds.

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
    """Settings that the lease holder wants in force at a destination, with their digest."""

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
    """Record the first start: from now on a process serves these destinations. Later calls change nothing.

    However often a start is killed before its settings are in force, what is signed since then is in no plan.

    Raises:
        StoreUnavailable: the store cannot be reached.
    """
    at = str(micros(now - _EARLIER))
    await engine.do(lambda: ask_each(_BEGIN, [{"name": f"{_BEGUN}{name}", "value": at} for name in names]))


async def is_retired(engine: Engine, name: str) -> bool:
    """Return True if an operator retired the destination and no other settings have come in force since.

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
        yield from check_lease(lease)
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
    """True if the plan of these settings still has work: it waits for an operator, or is not made yet."""
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
    """Record that the plan for changed settings was made, for all studies except those `lacking`.

    Raises:
        LeaseLost: another process holds the lease.
    """
    if lease is not None:
        yield from check_lease(lease)
    yield from ask(_PLANNED, number=number, now=now)
    yield from ask(_UNPLANNED, number=number, study_ids=" ".join(sorted(lacking)))


def sent_unasked(number: int, count: int) -> Steps[None]:
    """Count messages of a plan that were sent without an operator's confirmation."""
    yield from ask(_UNASKED, number=number, count=count)


def _in_force(rows: Sequence[Row]) -> SettingsRecord | None:
    return _made(rows[0]) if rows else None


def _made(row: Row) -> SettingsRecord:
    number, since, digest, planned, unasked = row
    return SettingsRecord(int(number), int(since), str(digest), planned, int(unasked))


_PAGE: Final = Statement(
    "SELECT report_id, study_id, status FROM report WHERE report_id > :after ORDER BY report_id LIMIT :most"
)
_ROWS: Final = Statement(
    "SELECT study_id, report_id, number, kind, content_version, destination, state, reason, is_move, is_critical,"
    " signed FROM outbox WHERE study_id IN listed(:study_ids) AND kind NOT IN ('draft', 'draft_cancelled')"
    " ORDER BY number"
)
_MESSAGES: Final = Statement(
    "SELECT study_id, number, state, CASE WHEN (sent IS NOT NULL AND attempts + doubts > 0) OR state IN ('sending',"
    " 'indeterminate', 'delivered', 'recorded') THEN 1 ELSE 0 END, outbox, kind, is_draft, report_ids FROM message"
    " WHERE study_id IN listed(:study_ids) AND destination = :destination ORDER BY number"
)
_UNDECIDED: Final = Statement(
    "SELECT r.report_id, CASE WHEN r.status = 'completed' AND NOT EXISTS (SELECT 1 FROM outbox o"
    " WHERE o.study_id = r.study_id AND o.report_id = r.report_id AND o.destination = :destination) AND EXISTS"
    " (SELECT 1 FROM study s WHERE s.study_id = r.study_id AND s.is_external = 0) THEN 1 ELSE 0 END FROM report r"
    " WHERE r.report_id > :after ORDER BY r.report_id LIMIT :most"
)
_COMPLETED: Final = Statement(
    "SELECT study_id, report_id FROM report WHERE study_id IN listed(:study_ids) AND status = 'completed'"
)
_CHANGE: Final = Statement(
    "UPDATE outbox SET state = :state, reason = :reason, settled = :settled, replay = replay + :made"
    " WHERE number = :number"
)
_GIVE_UP: Final = Statement(
    "UPDATE message SET state = 'dead_letter', reason = 'withdrawn-unsent', closed = :now WHERE number = :number"
    " AND state IN ('queued', 'held')"
)
_OF_STATE: Final = Statement(
    "SELECT number, study_id, report_id, state, reason, is_critical, signed FROM outbox"
    " WHERE destination = :destination AND state = :state AND number > :after ORDER BY number LIMIT :most"
)
_SEND: Final = Statement(
    "UPDATE outbox SET state = 'waiting', reason = '', due = :now, priority = :priority, settled = NULL"
    " WHERE number = :number AND state = 'planned'"
)
_LEAVE: Final = Statement(
    "UPDATE outbox SET state = 'left', reason = '', settled = :now WHERE number = :number AND state = 'planned'"
)
_GO_ON: Final = Statement(
    "UPDATE outbox SET state = 'waiting', reason = '', settled = NULL, due = :now, replay = replay + :made"
    " WHERE number = :number AND state = 'to_stop'"
)
_END_STOP: Final = Statement(
    "UPDATE outbox SET state = :state, reason = :reason, settled = :now, replay = replay + :made"
    " WHERE number = :number AND state = 'to_stop'"
)
PLANNED: Final = "planned"
TO_STOP: Final = "to_stop"
_TOLD: Final = frozenset({"waiting", "held", "rendered", "merged"})
_AT_A_TIME: Final = 500
_MANY: Final = 20  # a plan of more messages than this goes behind everything new


@dataclass(frozen=True, slots=True)
class PlanInput:
    """Study with its outbox rows and messages at a destination, from which a plan is made.

    `is_let_go` is True if an operator has just decided that its stopped rows go out.
    """

    study_id: str
    completed: Sequence[str]
    rows: Sequence[Row]
    messages: Sequence[Row]
    is_doubtful: bool = False
    is_let_go: bool = False

    @property
    def is_sent(self) -> bool:
        """True if some of the study was sent to the destination, may have been, or was recorded for a trial."""
        return self.is_doubtful or any(bool(row[3]) for row in self.messages)

    def is_said(self, number: int, report_id: str) -> bool:
        """True if a sent message has the report in the content of that outbox row, or newer."""
        return any(is_sent for is_sent, _ in _saying(self.messages, number, report_id))

    def beside(self, number: int, report_id: str) -> frozenset[str]:
        """Return the other reports in unsent messages that have this report in the content of that row."""
        return frozenset().union(
            *(about for is_sent, about in _saying(self.messages, number, report_id) if not is_sent)
        )


@dataclass(frozen=True, slots=True)
class PlannedRow:
    """Row of a plan; `signed` in microseconds."""

    number: int
    study_id: str
    report_id: str
    state: str
    reason: str
    is_critical: bool
    signed: int | None


async def plan_inputs(engine: Engine, destination: str) -> AsyncIterator[list[PlanInput]]:
    """Yield the plan input of all studies with signed reports, a page of reports at a time."""
    after = ""
    while rows := await engine.fetch(_PAGE, after=after, most=_AT_A_TIME):
        study_ids = list(dict.fromkeys(str(row[1]) for row in rows if row[2] == "completed"))
        yield await _read(engine, destination, study_ids)
        after = str(rows[-1][0])


async def plan_input(engine: Engine, destination: str, study_id: str) -> PlanInput:
    """Return the plan input of one study."""
    return (await _read(engine, destination, [study_id]))[0]


async def count_undecided(engine: Engine, destination: str) -> int:
    """Count the signed reports for which nothing is decided at a destination."""
    count, after = 0, ""
    while rows := await engine.fetch(_UNDECIDED, destination=destination, after=after, most=_AT_A_TIME):
        count += sum(int(is_undecided) for _, is_undecided in rows)
        after = str(rows[-1][0])
    return count


async def _read(engine: Engine, destination: str, study_ids: Sequence[str]) -> list[PlanInput]:
    asked = {"study_ids": json.dumps(list(study_ids))}
    completed = _by_study(await engine.fetch(_COMPLETED, **asked)) if study_ids else {}
    rows = _by_study(await engine.fetch(_ROWS, **asked)) if study_ids else {}
    messages = _by_study(await engine.fetch(_MESSAGES, **asked, destination=destination)) if study_ids else {}
    doubtful = await doubtful_lanes(engine, destination)
    return [
        PlanInput(
            study_id,
            [str(row[1]) for row in completed.get(study_id, ())],
            rows.get(study_id, ()),
            messages.get(study_id, ()),
            study_id in doubtful,
        )
        for study_id in study_ids
    ]


def _by_study(rows: Sequence[Row]) -> dict[str, list[Row]]:
    rows_of: dict[str, list[Row]] = {}
    for row in rows:
        rows_of.setdefault(str(row[0]), []).append(tuple(row))
    return rows_of


@dataclass(frozen=True, slots=True)
class PlanChange:
    """Changes that a plan makes to one study: rows by number, new rows, and its messages at the destination.

    `revision` is the study's revision.
    """

    destination: str
    of: PlanInput
    revision: int
    rows: Sequence[Values]
    new: Sequence[Values]


def store_plan_change(lease: Lease | None, changed: PlanChange, now: int) -> Steps[None]:
    """Store the changes that a plan makes to a study.

    Raises:
        LeaseLost: another process holds the lease.
        Outdated: the study, its rows or its messages have changed.
    """
    yield from check_lease(lease) if lease is not None else lock_destination(changed.destination)
    study_id = changed.of.study_id
    revisions = yield from ask(REVISION, study_id=study_id)
    asked = {"study_ids": json.dumps([study_id])}
    rows = yield from ask(_ROWS, **asked)
    messages = yield from ask(_MESSAGES, **asked, destination=changed.destination)
    known = [tuple(row) for row in (*changed.of.rows, *changed.of.messages)]
    if int(revisions[0][0]) != changed.revision or [tuple(row) for row in (*rows, *messages)] != known:
        raise Outdated
    yield from ask_each(_CHANGE, changed.rows)
    yield from ask_each(ADD_CAUSE, [{**one, "study_id": study_id, "now": now} for one in changed.new])
    gone = _unsent(messages, *_reports(changed))
    yield from ask_each(_GIVE_UP, [{"number": one, "now": now} for one in gone])
    yield from free_lane_without(changed.destination, study_id, gone)


def _reports(changed: PlanChange) -> tuple[set[str], set[str]]:
    """Return the reports of a study that have something to stop, and those that are owed something."""
    states = {int(row[2]): (str(row[1]), str(row[6])) for row in changed.of.rows if row[5] == changed.destination}
    by_number = {one["number"]: str(one["state"]) for one in changed.rows}
    became = [(report_id, by_number.get(number, state)) for number, (report_id, state) in states.items()]
    became += [(one["report_id"], one["state"]) for one in changed.new if one["destination"] == changed.destination]
    return {one for one, state in became if state == TO_STOP}, {one for one, state in became if state in _TOLD}


def _unsent(messages: Sequence[Row], stopped: set[str], owed: set[str]) -> list[int]:
    """Return the numbers of unsent messages to cancel, since nothing in them is owed any more.

    A message with a report that is still owed goes out, as it would if composed again. A draft goes out while anything
    of the study is owed.
    """
    numbers = []
    for _, number, state, is_sent, _, _, is_draft, report_ids in messages:
        about = set(json.loads(report_ids))
        is_over = not owed if is_draft else about <= stopped - owed
        if stopped and is_over and not is_sent and state in {"queued", "held"}:
            numbers.append(int(number))
    return numbers


def _saying(messages: Sequence[Row], number: int, report_id: str) -> Iterator[tuple[bool, frozenset[str]]]:
    """Yield the messages that have a report in the content of a row or newer: True if sent, and their reports."""
    for _, _, state, is_sent, outbox, kind, is_draft, report_ids in messages:
        about = frozenset(json.loads(report_ids))
        says_it = outbox >= number and report_id in about and not is_draft and kind != MOVED
        if says_it and (is_sent or state in {"queued", "held"}):
            yield bool(is_sent), about


async def plan_rows(engine: Engine, destination: str, most: int | None = None) -> list[PlannedRow]:
    """Return the rows of a destination's plan: all, or with `most` enough to see that there are more."""
    rows_found: list[PlannedRow] = []
    for state in (PLANNED, TO_STOP):
        after, key = 0, {"destination": destination, "state": state, "most": _AT_A_TIME}
        while (most is None or len(rows_found) <= most) and (rows := await engine.fetch(_OF_STATE, **key, after=after)):
            rows_found += [_waits(row) for row in rows]
            after = int(rows[-1][0])
    return rows_found


@dataclass(frozen=True, slots=True)
class StoppedRow:
    """Row that a plan stops: its state afterwards, with the reason, and if a message was composed of it."""

    number: int
    study_id: str
    report_id: str
    state: str
    reason: str
    is_made: bool


def applied(destination: str, adds: Sequence[PlannedRow], stops: Sequence[StoppedRow], now: int) -> Steps[None]:
    """Carry a plan out: queue its rows, behind everything new if there are many, and stop the rows to stop.

    A report that a message carries beside another, owed report is sent all the same.
    """
    yield from lock_destination(destination)
    priority = BEHIND if len(adds) > _MANY else USUAL
    yield from ask_each(_SEND, [{"number": one.number, "now": now, "priority": priority} for one in adds])
    for stop in stops:
        if not (yield from _told_already(destination, stop, now)):
            became = {"state": stop.state, "reason": stop.reason, "made": int(stop.is_made)}
            yield from ask(_END_STOP, number=stop.number, **became, now=now)


def discard_plan(destination: str, adds: Sequence[PlannedRow], stops: Sequence[StoppedRow], now: int) -> Steps[None]:
    """Discard a plan: its rows are not sent, and rows it would stop go on, composed from the study's later state."""
    yield from lock_destination(destination)
    yield from ask_each(_LEAVE, [{"number": one.number, "now": now} for one in adds])
    for stop in stops:
        if not (yield from _told_already(destination, stop, now)):
            yield from ask(_GO_ON, number=stop.number, made=int(stop.is_made), now=now)


def _told_already(destination: str, stop: StoppedRow, now: int) -> Steps[bool]:
    """Settle a row to stop whose report goes out in a message with another report anyway; else False."""
    messages = yield from ask(_MESSAGES, study_ids=json.dumps([stop.study_id]), destination=destination)
    is_said = any(_saying(messages, stop.number, stop.report_id))
    if is_said:
        yield from ask(_END_STOP, number=stop.number, state="rendered", reason="", now=now, made=0)
    return is_said


def _waits(row: Row) -> PlannedRow:
    number, study_id, report_id, state, reason, is_critical, signed = row
    return PlannedRow(int(number), str(study_id), str(report_id), str(state), str(reason), bool(is_critical), signed)
