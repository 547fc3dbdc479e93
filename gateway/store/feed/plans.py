"""The plan of a destination: rows that wait for an operator since the settings changed, and what becomes of them.

Carries out no clause of a standard; decisions D31, D37. Rows are read a page at a time; what is written shows that the
study, its rows and its messages are as they were when the plan was made of them.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from gateway.store.database.engine import Engine
from gateway.store.database.statements import Row, Statement, Steps, Values, ask, ask_each
from gateway.store.feed.holding import freed_without
from gateway.store.feed.leases import Lease, held, locked
from gateway.store.feed.moves import MOVED
from gateway.store.feed.resending import BEHIND, USUAL
from gateway.store.feed.restoring import doubtful_lanes
from gateway.store.studies.intake import ADD_CAUSE, REVISION, Outdated

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
_MANY: Final = 20  # of so many messages all that is new goes first


@dataclass(frozen=True, slots=True)
class Reading:
    """A study with what the ledger has of it, as a plan is made of it.

    `is_let_go` where an operator has just said that what was to stop of it goes.
    """

    study_id: str
    completed: Sequence[str]
    rows: Sequence[Row]
    messages: Sequence[Row]
    is_doubtful: bool = False
    is_let_go: bool = False

    @property
    def is_sent(self) -> bool:
        """True where something of it was written to the destination, may have been, or was recorded for a trial."""
        return self.is_doubtful or any(bool(row[3]) for row in self.messages)

    def is_said(self, number: int, report_id: str) -> bool:
        """True where a message that was written has the report, as it was when its row of that number was decided."""
        return any(is_sent for is_sent, _ in _saying(self.messages, number, report_id))

    def beside(self, number: int, report_id: str) -> frozenset[str]:
        """The reports in messages that are to say the same and were never written."""
        return frozenset().union(
            *(about for is_sent, about in _saying(self.messages, number, report_id) if not is_sent)
        )


@dataclass(frozen=True, slots=True)
class Waits:
    """A row of a plan; `signed` in microseconds."""

    number: int
    study_id: str
    report_id: str
    state: str
    reason: str
    is_critical: bool
    signed: int | None


async def readings(engine: Engine, destination: str) -> AsyncIterator[list[Reading]]:
    """All studies with signed reports, and what the ledger has of them, a page of reports at a time."""
    after = ""
    while rows := await engine.fetch(_PAGE, after=after, most=_AT_A_TIME):
        study_ids = list(dict.fromkeys(str(row[1]) for row in rows if row[2] == "completed"))
        yield await _read(engine, destination, study_ids)
        after = str(rows[-1][0])


async def reading(engine: Engine, destination: str, study_id: str) -> Reading:
    """The same of one study."""
    return (await _read(engine, destination, [study_id]))[0]


async def undecided(engine: Engine, destination: str) -> int:
    """Count the signed reports of which nothing is decided for a destination."""
    count, after = 0, ""
    while rows := await engine.fetch(_UNDECIDED, destination=destination, after=after, most=_AT_A_TIME):
        count += sum(int(is_undecided) for _, is_undecided in rows)
        after = str(rows[-1][0])
    return count


async def _read(engine: Engine, destination: str, study_ids: Sequence[str]) -> list[Reading]:
    asked = {"study_ids": json.dumps(list(study_ids))}
    completed = _by_study(await engine.fetch(_COMPLETED, **asked)) if study_ids else {}
    rows = _by_study(await engine.fetch(_ROWS, **asked)) if study_ids else {}
    messages = _by_study(await engine.fetch(_MESSAGES, **asked, destination=destination)) if study_ids else {}
    doubtful = await doubtful_lanes(engine, destination)
    return [
        Reading(
            one,
            [str(row[1]) for row in completed.get(one, ())],
            rows.get(one, ()),
            messages.get(one, ()),
            one in doubtful,
        )
        for one in study_ids
    ]


def _by_study(rows: Sequence[Row]) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(str(row[0]), []).append(tuple(row))
    return found


@dataclass(frozen=True, slots=True)
class Changed:
    """The changes that a plan makes to a study: rows by number, rows that are new, and its messages at the destination.

    `revision` is that of the study.
    """

    destination: str
    of: Reading
    revision: int
    rows: Sequence[Values]
    new: Sequence[Values]


def change(lease: Lease | None, changed: Changed, now: int) -> Steps[None]:
    """Write down what a plan changes of a study.

    Raises:
        LeaseLost: somebody else holds the lease by now.
        Outdated: the study, its rows or its messages are others by now.
    """
    yield from held(lease) if lease is not None else locked(changed.destination)
    study_id = changed.of.study_id
    found = yield from ask(REVISION, study_id=study_id)
    asked = {"study_ids": json.dumps([study_id])}
    rows = yield from ask(_ROWS, **asked)
    messages = yield from ask(_MESSAGES, **asked, destination=changed.destination)
    known = [tuple(row) for row in (*changed.of.rows, *changed.of.messages)]
    if int(found[0][0]) != changed.revision or [tuple(row) for row in (*rows, *messages)] != known:
        raise Outdated
    yield from ask_each(_CHANGE, changed.rows)
    yield from ask_each(ADD_CAUSE, [{**one, "study_id": study_id, "now": now} for one in changed.new])
    gone = _unsent(messages, *_reports(changed))
    yield from ask_each(_GIVE_UP, [{"number": one, "now": now} for one in gone])
    yield from freed_without(changed.destination, study_id, gone)


def _reports(changed: Changed) -> tuple[set[str], set[str]]:
    """The reports of a study of which something is to stop, and those of which something is owed."""
    states = {int(row[2]): (str(row[1]), str(row[6])) for row in changed.of.rows if row[5] == changed.destination}
    by_number = {one["number"]: str(one["state"]) for one in changed.rows}
    became = [(report_id, by_number.get(number, state)) for number, (report_id, state) in states.items()]
    became += [(one["report_id"], one["state"]) for one in changed.new if one["destination"] == changed.destination]
    return {one for one, state in became if state == TO_STOP}, {one for one, state in became if state in _TOLD}


def _unsent(messages: Sequence[Row], stopped: set[str], owed: set[str]) -> list[int]:
    """Numbers of the messages that are not to be sent: never written, and nothing in them is owed any more.

    One that has a report which is still owed goes, as it would if it were made anew. A draft goes while anything of
    the study is owed.
    """
    found = []
    for _, number, state, is_sent, _, _, is_draft, report_ids in messages:
        about = set(json.loads(report_ids))
        is_over = not owed if is_draft else about <= stopped - owed
        if stopped and is_over and not is_sent and state in {"queued", "held"}:
            found.append(int(number))
    return found


def _saying(messages: Sequence[Row], number: int, report_id: str) -> Iterator[tuple[bool, frozenset[str]]]:
    """Find the messages that have a report as of a row: if each was written, and the reports in it."""
    for _, _, state, is_sent, outbox, kind, is_draft, report_ids in messages:
        about = frozenset(json.loads(report_ids))
        says_it = outbox >= number and report_id in about and not is_draft and kind != MOVED
        if says_it and (is_sent or state in {"queued", "held"}):
            yield bool(is_sent), about


async def waiting(engine: Engine, destination: str, most: int | None = None) -> list[Waits]:
    """All rows of the plan of a destination; where there are more than `most`, at least so many."""
    found: list[Waits] = []
    for state in (PLANNED, TO_STOP):
        after, key = 0, {"destination": destination, "state": state, "most": _AT_A_TIME}
        while (most is None or len(found) <= most) and (rows := await engine.fetch(_OF_STATE, **key, after=after)):
            found += [_waits(row) for row in rows]
            after = int(rows[-1][0])
    return found


@dataclass(frozen=True, slots=True)
class Stop:
    """A row that is to stop: its state then, with the reason, and if a message was made of it."""

    number: int
    study_id: str
    report_id: str
    state: str
    reason: str
    is_made: bool


def applied(destination: str, adds: Sequence[Waits], stops: Sequence[Stop], now: int) -> Steps[None]:
    """Have what is planned sent, behind all that is new if it is much, and what is to stop stopped.

    What a message has beside another report that is owed is told all the same.
    """
    yield from locked(destination)
    priority = BEHIND if len(adds) > _MANY else USUAL
    yield from ask_each(_SEND, [{"number": one.number, "now": now, "priority": priority} for one in adds])
    for one in stops:
        if not (yield from _told_already(destination, one, now)):
            became = {"state": one.state, "reason": one.reason, "made": int(one.is_made)}
            yield from ask(_END_STOP, number=one.number, **became, now=now)


def left(destination: str, adds: Sequence[Waits], stops: Sequence[Stop], now: int) -> Steps[None]:
    """Have what is planned left unsent, and what was to stop go, made anew as the study is by then."""
    yield from locked(destination)
    yield from ask_each(_LEAVE, [{"number": one.number, "now": now} for one in adds])
    for one in stops:
        if not (yield from _told_already(destination, one, now)):
            yield from ask(_GO_ON, number=one.number, made=int(one.is_made), now=now)


def _told_already(destination: str, one: Stop, now: int) -> Steps[bool]:
    """Settle a row that is to stop, where a message with another report says it all the same; else False."""
    messages = yield from ask(_MESSAGES, study_ids=json.dumps([one.study_id]), destination=destination)
    is_said = any(_saying(messages, one.number, one.report_id))
    if is_said:
        yield from ask(_END_STOP, number=one.number, state="rendered", reason="", now=now, made=0)
    return is_said


def _waits(row: Row) -> Waits:
    number, study_id, report_id, state, reason, is_critical, signed = row
    return Waits(int(number), str(study_id), str(report_id), str(state), str(reason), bool(is_critical), signed)
