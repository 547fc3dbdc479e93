"""The plan of a destination: rows that wait for an operator since the settings changed, and what becomes of them.

Carries out no clause of a standard; decisions D31, D37. Rows are read a page at a time; what is written shows that the
study, its rows and its messages are as they were when the plan was made of them.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Final

from gateway.store.engine import Engine
from gateway.store.intake import ADD_CAUSE, REVISION, Outdated
from gateway.store.leases import Lease, held, locked
from gateway.store.resending import BEHIND, USUAL
from gateway.store.restoring import doubtful_lanes
from gateway.store.statements import Row, Statement, Steps, Values, ask, ask_each

PLAN: Final = "plan"  # why a message is held that was made and is not owed any more
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
    " 'indeterminate', 'delivered', 'recorded') THEN 1 ELSE 0 END FROM message"
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
_KEEP_BACK: Final = Statement(
    "UPDATE message SET state = 'held', reason = 'plan' WHERE destination = :destination AND study_id = :study_id"
    " AND state IN ('queued', 'held') AND (sent IS NULL OR attempts + doubts = 0)"
)
_STOP: Final = Statement(
    "UPDATE message SET state = 'dead_letter', reason = 'withdrawn-unsent', closed = :now"
    " WHERE destination = :destination AND study_id = :study_id AND state = 'held' AND reason = 'plan'"
)
_IS_SENT: Final = Statement(
    "SELECT 1 FROM message WHERE destination = :destination AND study_id = :study_id AND ((sent IS NOT NULL AND"
    " attempts + doubts > 0) OR state IN ('sending', 'indeterminate', 'delivered', 'recorded')) LIMIT 1"
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
_AT_A_TIME: Final = 500
_MANY: Final = 20  # of so many messages all that is new goes first


@dataclass(frozen=True, slots=True)
class Reading:
    """A study with what the ledger has of it, as a plan is made of it."""

    study_id: str
    completed: Sequence[str]
    rows: Sequence[Row]
    messages: Sequence[Row]
    is_doubtful: bool = False

    @property
    def is_sent(self) -> bool:
        """True where something of it was written to the destination, may have been, or was recorded for a trial."""
        return self.is_doubtful or any(bool(row[3]) for row in self.messages)


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

    `revision` is that of the study; `returns` where what was kept back is to go after all: it is made anew.
    """

    destination: str
    of: Reading
    revision: int
    rows: Sequence[Values]
    new: Sequence[Values]
    keeps_back: bool
    returns: bool


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
    lane = {"destination": changed.destination, "study_id": study_id}
    if changed.keeps_back:
        yield from ask(_KEEP_BACK, **lane)
    if changed.returns:
        yield from ask(_STOP, **lane, now=now)


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
    state: str
    reason: str
    is_made: bool


def applied(destination: str, adds: Sequence[Waits], stops: Sequence[Stop], now: int) -> Steps[None]:
    """Have what is planned sent, behind all that is new if it is much, and what is to stop stopped.

    What was sent by then all the same, since an operator let its study go, was told.
    """
    yield from locked(destination)
    priority = BEHIND if len(adds) > _MANY else USUAL
    yield from ask_each(_SEND, [{"number": one.number, "now": now, "priority": priority} for one in adds])
    for one in stops:
        lane = {"destination": destination, "study_id": one.study_id}
        is_sent = bool((yield from ask(_IS_SENT, **lane)))
        state, reason = ("rendered", "") if is_sent else (one.state, one.reason)
        made = int(one.is_made and not is_sent)
        yield from ask(_END_STOP, number=one.number, state=state, reason=reason, now=now, made=made)
        yield from ask(_STOP, **lane, now=now)


def left(destination: str, adds: Sequence[Waits], stops: Sequence[Stop], now: int) -> Steps[None]:
    """Have what is planned left unsent, and what was to stop go, made anew as the study is by then."""
    yield from locked(destination)
    yield from ask_each(_LEAVE, [{"number": one.number, "now": now} for one in adds])
    yield from ask_each(_GO_ON, [{"number": one.number, "made": int(one.is_made), "now": now} for one in stops])
    lanes = dict.fromkeys(one.study_id for one in stops)
    yield from ask_each(_STOP, [{"destination": destination, "study_id": one, "now": now} for one in lanes])


def _waits(row: Row) -> Waits:
    number, study_id, report_id, state, reason, is_critical, signed = row
    return Waits(int(number), str(study_id), str(report_id), str(state), str(reason), bool(is_critical), signed)
