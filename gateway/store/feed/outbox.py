"""Outbox of a destination: rows that wait, messages composed from them, and rows that a replay or a backload adds.

Carries out no clause of a standard; decisions D7, D13, D18, D28, D31, D32, D37. The states are those of
gateway/store/feed/states.py. Every write shows the lease that it is made under. `tried` runs work, counts, and rolls it
back.
Proved by tests/contract/test_messages.py and tests/contract/test_ledger.py.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, TypeVar

from gateway.store.database.engine import Engine, Row, Statement, Steps, Work, ask, ask_each, micros
from gateway.store.database.locks import REVISIONS
from gateway.store.feed.leases import Lease, check_lease, lock_destination
from gateway.store.feed.messages import (
    IN_LANE,
    NEVER,
    body_hash,
    free_lane_without,
    hold,
    is_as_made,
    is_held,
    lanes_held,
)
from gateway.store.feed.sent import SentState, cancel_unsent, postpone_doubtful, sent_of
from gateway.store.feed.states import OPEN_MESSAGES, MessageState, OutboxState

ADD_CAUSE: Final = Statement(
    "INSERT INTO outbox (study_id, report_id, kind, content_version, destination, state, reason, is_move, is_critical,"
    " due, signed, decided) VALUES (:study_id, :report_id, :kind, :content_version, :destination, :state, :reason,"
    " :is_move, :is_critical, :due, :signed, :now)"
)
_DUE: Final = Statement(
    "SELECT study_id FROM outbox WHERE destination = :destination AND state = 'waiting' AND due <= :now"
    " ORDER BY due, number LIMIT :most"
)
_WAITING: Final = Statement(
    "SELECT study_id, number, report_id, kind, content_version, replay, priority, is_critical, is_move, due, signed,"
    " decided FROM outbox WHERE study_id IN listed(:study_ids) AND destination = :destination AND state = 'waiting'"
    " ORDER BY study_id, number LIMIT :most"
)
_SETTLE: Final = Statement(
    "UPDATE outbox SET state = :state, reason = :reason, settled = :now"
    " WHERE number = :number AND state IN ('waiting', 'held')"
)
DUE_NOW: Final = Statement(
    "UPDATE outbox SET due = :now WHERE study_id = :study_id AND report_id = :report_id AND state = 'waiting'"
    " AND due > :now"
)
_LOOK_AGAIN: Final = Statement(
    "UPDATE outbox SET state = 'waiting', reason = '', due = :now, settled = NULL WHERE destination = :destination"
    " AND state = 'held' AND reason = :reason"
)
_WAITED: Final = Statement(
    "SELECT study_id FROM outbox WHERE destination = :destination AND state = 'held' AND reason = :reason"
    " AND decided <= :until ORDER BY number LIMIT :most"
)
_LOOK_AGAIN_AT: Final = Statement(
    "UPDATE outbox SET state = 'waiting', reason = '', due = :now, settled = NULL WHERE study_id IN listed(:study_ids)"
    " AND destination = :destination AND state = 'held' AND reason = :reason"
)
_HELD_FOR: Final = Statement(
    "SELECT study_id FROM outbox WHERE destination = :destination AND state = 'held' AND reason = :reason"
    " ORDER BY number"
)
_HELD_OF_STUDY: Final = Statement(
    "SELECT DISTINCT destination, reason FROM outbox WHERE study_id = :study_id AND state = 'held'"
    " ORDER BY destination, reason"
)
_MOST_OF_A_STUDY: Final = 1_000


@dataclass(frozen=True, slots=True)
class WaitingRow:
    """Outbox row that waits for composing; instants in microseconds, `is_move` as in `store.feed.moves`."""

    number: int
    report_id: str
    kind: str
    content_version: str
    replay: int
    priority: int
    is_critical: bool
    is_move: int
    due: int
    signed: int | None
    decided: int = 0


@dataclass(frozen=True, slots=True)
class SettledRow:
    """State in which composing leaves an outbox row; `reason` is a code."""

    number: int
    state: OutboxState
    reason: str = ""


class Outbox:
    """Queries for outbox rows to compose. Every method raises `StoreUnavailable`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def due(self, destination: str, now: datetime, most: int) -> list[str]:
        """Return the ids of studies with a row that is due, the longest due first."""
        rows = await self._engine.fetch(_DUE, destination=destination, now=micros(now), most=most)
        return list(dict.fromkeys(str(study_id) for (study_id,) in rows))

    async def waited(self, destination: str, reason: str, until: datetime, most: int) -> list[str]:
        """Return the ids of studies with a row that is held for that reason and was decided by that instant."""
        asked = {"destination": destination, "reason": reason, "until": micros(until), "most": most}
        return list(dict.fromkeys(str(study_id) for (study_id,) in await self._engine.fetch(_WAITED, **asked)))

    async def waiting(self, destination: str, study_ids: Sequence[str]) -> dict[str, list[WaitingRow]]:
        """Return all waiting rows of each study, in the order in which they were decided."""
        key = {"study_ids": json.dumps(study_ids), "destination": destination}
        rows_of: dict[str, list[WaitingRow]] = {study_id: [] for study_id in study_ids}
        rows = await self._engine.fetch(_WAITING, **key, most=_MOST_OF_A_STUDY * len(study_ids))
        for study_id, number, report_id, kind, version, replay, priority, *more in rows:
            row = WaitingRow(int(number), str(report_id), str(kind), str(version), int(replay), int(priority), *more)
            rows_of[str(study_id)].append(row)
        return rows_of


async def held_studies(engine: Engine, destination: str, reason: str) -> list[str]:
    """Return the ids of the studies with a row held at a destination for that reason."""
    return sorted({str(row[0]) for row in await engine.fetch(_HELD_FOR, destination=destination, reason=reason)})


async def held_rows_of(engine: Engine, study_id: str) -> list[tuple[str, str]]:
    """Return the destinations where a row of a study is held, with the reasons."""
    return [(str(name), str(reason)) for name, reason in await engine.fetch(_HELD_OF_STUDY, study_id=study_id)]


def settle(rows: Sequence[SettledRow], now: int) -> Steps[None]:
    """Store the final states of rows that were waiting or held."""
    values = [{"number": one.number, "state": one.state, "reason": one.reason, "now": now} for one in rows]
    yield from ask_each(_SETTLE, values)


def retry_held(lease: Lease, reason: str, now: int) -> Steps[None]:
    """Queue rows again that were held for a reason that may no longer hold.

    Raises:
        LeaseLost: another process holds the lease.
    """
    yield from check_lease(lease)
    yield from ask(_LOOK_AGAIN, destination=lease.destination, reason=reason, now=now)


def retry_held_of(lease: Lease, study_ids: Sequence[str], reason: str, now: int) -> Steps[None]:
    """Queue rows of some studies again that were held for a reason that no longer holds.

    Raises:
        LeaseLost: another process holds the lease.
    """
    yield from check_lease(lease)
    key = {"destination": lease.destination, "study_ids": json.dumps(study_ids)}
    yield from ask(_LOOK_AGAIN_AT, **key, reason=reason, now=now)


Result = TypeVar("Result")
_SUMS: Final = "count(*), coalesce(sum(is_critical), 0), min(coalesce(signed, {0})), max(coalesce(signed, {0}))"
_MADE: Final = (
    f"SELECT {_SUMS.format('made')} FROM message WHERE destination = :destination"  # noqa: S608 (constants)
    " AND state IN ('queued', 'sending', 'indeterminate') AND due < :never"
)
_TO_BE_MADE: Final = (
    f"SELECT {_SUMS.format('decided')} FROM outbox WHERE destination = :destination AND state = 'waiting'"  # noqa: S608
)
_PARTS: Final = {"made": _MADE, "to be made": _TO_BE_MADE}
_ALL: Final = {name: Statement(one) for name, one in _PARTS.items()}
_OF_STUDY: Final = {name: Statement(f"{one} AND study_id = :study_id") for name, one in _PARTS.items()}


@dataclass(frozen=True, slots=True)
class ToSend:
    """Counts of messages to send, of reports to compose, and of critical ones; `studies` 0 means not counted.

    `oldest` and `newest` are when they were signed, or else made, in microseconds.
    """

    messages: int = 0
    critical: int = 0
    oldest: int | None = None
    newest: int | None = None
    reports: int = 0
    studies: int = 0

    def __add__(self, other: ToSend) -> ToSend:
        """Add two counts."""
        moments = [one for one in (self.oldest, self.newest, other.oldest, other.newest) if one is not None]
        return ToSend(
            self.messages + other.messages,
            self.critical + other.critical,
            min(moments, default=None),
            max(moments, default=None),
            self.reports + other.reports,
            self.studies + other.studies,
        )


class _Undone(Exception):
    """Signal that ends a transaction which is only tried, so that it is rolled back."""


async def tried(engine: Engine, work: Work[Result]) -> Result:
    """Run the work in a transaction, roll it back, and return the result that it would have."""
    results: list[Result] = []

    def steps() -> Steps[None]:
        results[:] = [(yield from work())]
        raise _Undone

    with suppress(_Undone):
        await engine.do(steps)
    return results[0]


def to_send(destination: str, study_id: str | None = None) -> Steps[ToSend]:
    """Count what waits to be sent to a destination, or only of one study."""
    key = {"destination": destination, "never": NEVER, "study_id": study_id or ""}
    total = ToSend()
    for statement in (_ALL if study_id is None else _OF_STUDY).values():
        total += _summed((yield from ask(statement, **key))[0])
    return total


def _summed(row: Row) -> ToSend:
    count, critical, oldest, newest = row
    return ToSend(int(count), int(critical), oldest, newest)


USUAL: Final = 1
BEHIND: Final = 2  # history, or a large plan: everything new goes first
_AT_A_TIME: Final = 500
# A parameter for a column has the column's type; in a select list it needs a cast
_REPLAY: Final = Statement(
    "INSERT INTO outbox (study_id, report_id, kind, content_version, destination, state, reason, is_move, is_critical,"
    " due, priority, signed, decided, settled, replay) SELECT CAST(:study_id AS TEXT), CAST(:report_id AS TEXT),"
    " 'replay', CAST(:content_version AS TEXT), CAST(:destination AS TEXT), CAST(:state AS TEXT), '', 0,"
    " CAST(:is_critical AS BIGINT), CAST(:now AS BIGINT), CAST(:priority AS BIGINT), CAST(:signed AS BIGINT),"
    " CAST(:now AS BIGINT), CAST(:settled AS BIGINT), coalesce(max(o.replay), 0) + 1 FROM outbox o"
    " WHERE o.study_id = :study_id AND o.destination = :destination AND o.report_id = :report_id"
    " RETURNING number, replay"
)
_SAID: Final = Statement(
    "UPDATE outbox SET state = 'merged', reason = 'replayed', settled = :now WHERE study_id = :study_id"
    " AND report_id = :report_id AND state IN ('unrouted', 'ignored', 'before_start', 'excluded', 'planned', 'to_stop',"
    " 'left') AND destination IN ('', :destination)"
)
_STUDY_OF: Final = Statement("SELECT study_id FROM report WHERE report_id = :report_id")
_SIGNED: Final = Statement(
    "SELECT signed, report_id, study_id FROM report WHERE signed >= :since AND signed < :until AND status = 'completed'"
    " AND (signed > :after OR report_id > :report_id) ORDER BY signed, report_id LIMIT :most"
)
_TAKEN: Final = Statement(
    "SELECT report_ids FROM message WHERE destination = :destination AND study_id = :study_id AND is_draft = 0"
    " AND state = 'delivered'"
)
_OF_LANE: Final = Statement(
    "SELECT number, report_id, kind, content_version, restates, filler_order_numbers, report_ids, patient_id, is_whole,"
    " is_draft, is_critical, signed, state, sent, body_hash, (SELECT b.body FROM message_body b"
    " WHERE b.number = message.number) FROM message WHERE destination = :destination AND study_id = :study_id"
    " ORDER BY number"
)
_IS_TO_BE_MADE: Final = Statement(
    "SELECT 1 FROM outbox WHERE study_id = :study_id AND destination = :destination AND state IN ('waiting', 'held')"
    " LIMIT 1"
)


@dataclass(frozen=True, slots=True)
class Resend:
    """Report to send again in its present state; `signed` is in microseconds."""

    study_id: str
    report_id: str
    content_version: str
    is_critical: bool
    priority: int
    signed: int | None


@dataclass(frozen=True, slots=True)
class LaneMessage:
    """Message of a lane as composed. `body` is None once its bytes were deleted.

    `is_altered` is True if the bytes differ from those that were made.
    """

    number: int
    report_id: str
    kind: str
    content_version: str
    restates: str
    filler_order_numbers: tuple[str, ...]
    report_ids: tuple[str, ...]
    patient_id: str
    is_whole: bool
    is_draft: bool
    is_critical: bool
    signed: int | None
    state: str
    was_sent: bool
    body: bytes | None
    is_altered: bool

    @property
    def is_open(self) -> bool:
        """True while the message is not settled."""
        return self.state in OPEN_MESSAGES


async def study_of(engine: Engine, report_id: str) -> str | None:
    """Return the id of a report's study."""
    rows = await engine.fetch(_STUDY_OF, report_id=report_id)
    return str(rows[0][0]) if rows else None


async def signed_within(engine: Engine, since: int, until: int) -> AsyncIterator[tuple[str, str]]:
    """Yield report id and study id of stored reports signed from `since` on and before `until`, in order."""
    after, report_id = since, ""
    span = {"until": until, "most": _AT_A_TIME}
    while rows := await engine.fetch(_SIGNED, **span, since=after, after=after, report_id=report_id):
        for _, signed_id, study_id in rows:
            yield str(signed_id), str(study_id)
        after, report_id = int(rows[-1][0]), str(rows[-1][1])


async def accepted_reports(engine: Engine, destination: str, study_id: str) -> set[str]:
    """Return the ids of a study's reports that a destination accepted at least once."""
    rows = await engine.fetch(_TAKEN, destination=destination, study_id=study_id)
    return {report_id for (listed,) in rows for report_id in json.loads(listed)}


def queue_replays(destination: str, resends: Sequence[Resend], now: int) -> Steps[None]:
    """Queue reports to be sent again in their present state; earlier rows that kept them back are settled."""
    yield from lock_destination(destination)
    for resend in resends:
        yield from ask(_REPLAY, **_columns(destination, resend, now), state="waiting", settled=None)
    reports = [{"study_id": one.study_id, "report_id": one.report_id} for one in resends]
    yield from ask_each(_SAID, [{**one, "destination": destination, "now": now} for one in reports])


def insert_replay_row(destination: str, resend: Resend, now: int) -> Steps[tuple[int, int]]:
    """Insert the outbox row for an as-sent replay; return its number and the replay count."""
    rows = yield from ask(_REPLAY, **_columns(destination, resend, now), state="rendered", settled=now)
    return int(rows[0][0]), int(rows[0][1])


def lane(destination: str, study_id: str) -> Steps[list[LaneMessage]]:
    """Return all messages of a lane (a study at a destination), in order."""
    rows = yield from ask(_OF_LANE, destination=destination, study_id=study_id)
    return [_stored(row) for row in rows]


def is_to_be_made(destination: str, study_id: str) -> Steps[bool]:
    """True if a message of the study is still to be composed for the destination."""
    return bool((yield from ask(_IS_TO_BE_MADE, destination=destination, study_id=study_id)))


def _columns(destination: str, resend: Resend, now: int) -> dict[str, Any]:
    return {
        "destination": destination,
        "study_id": resend.study_id,
        "report_id": resend.report_id,
        "content_version": resend.content_version,
        "is_critical": int(resend.is_critical),
        "priority": resend.priority,
        "signed": resend.signed,
        "now": now,
    }


def _stored(row: Row) -> LaneMessage:
    number, report_id, kind, version, restates, numbers, reports, patient_id, *more = row
    is_whole, is_draft, is_critical, signed, state, sent, kept, body = more
    return LaneMessage(
        int(number),
        str(report_id),
        str(kind),
        str(version),
        str(restates),
        tuple(json.loads(numbers)),
        tuple(json.loads(reports)),
        str(patient_id),
        bool(is_whole),
        bool(is_draft),
        bool(is_critical),
        signed,
        str(state),
        sent is not None,
        None if body is None else bytes(body),
        body is not None and not is_as_made(body, kept),
    )


_IN_SPAN: Final = "destination = :destination AND state = 'before_start' AND signed >= :since AND signed < :until"
# No message with the report was delivered or is open, such as an addendum's message that includes it
_LACKS: Final = (
    " AND NOT EXISTS (SELECT 1 FROM message m WHERE m.destination = :destination AND m.study_id = outbox.study_id"
    " AND m.is_draft = 0 AND m.state IN ('queued', 'sending', 'indeterminate', 'held', 'delivered')"
    " AND m.report_ids LIKE '%\"' || outbox.report_id || '\"%')"
)
_WHICH: Final = {False: "", True: _LACKS}  # all rows of a span, or only those that no message covers
_STUDIES: Final = {
    is_missing: Statement(
        f"SELECT study_id, count(*) FROM outbox WHERE {_IN_SPAN}{which} GROUP BY study_id"  # noqa: S608 (constants)
        " ORDER BY min(signed), study_id LIMIT :most"
    )
    for is_missing, which in _WHICH.items()
}
_COUNT: Final = {
    is_missing: Statement(
        "SELECT count(*), count(DISTINCT study_id), coalesce(sum(is_critical), 0), min(signed), max(signed)"  # noqa: S608
        f" FROM outbox WHERE {_IN_SPAN}{which}"
    )
    for is_missing, which in _WHICH.items()
}
_LAST_DUE: Final = Statement(
    "SELECT due FROM outbox WHERE destination = :destination AND state = 'waiting' ORDER BY due DESC LIMIT 1"
)
_QUEUE: Final = {
    is_missing: Statement(
        "UPDATE outbox SET state = 'waiting', priority = :priority, is_critical = 0, due = :due"  # noqa: S608 (constants)
        f" WHERE study_id = :study_id AND {_IN_SPAN}{which}"
    )
    for is_missing, which in _WHICH.items()
}
_UNDATED: Final = Statement(
    "SELECT count(*) FROM outbox WHERE destination = :destination AND state = 'before_start' AND signed IS NULL"
)


@dataclass(frozen=True, slots=True)
class BackloadSpan:
    """Part of a destination's history to send: signed from `since` on and before `until`, one study every `apart`.

    All in microseconds. With `missing`, only reports that no message to the destination covers.
    """

    destination: str
    since: int
    until: int
    apart: int
    missing: bool = False


def queue_backload(span: BackloadSpan, now: int, most: int) -> Steps[tuple[int, int]]:
    """Queue up to `most` studies of a backload behind those queued already; return counts of studies and rows."""
    yield from lock_destination(span.destination)
    key = {"destination": span.destination, "since": span.since, "until": span.until}
    studies = yield from ask(_STUDIES[span.missing], **key, most=most)
    last = yield from ask(_LAST_DUE, destination=span.destination)
    start = max(now, int(last[0][0]) + span.apart if last else now)
    dues = [(str(study_id), start + place * span.apart) for place, (study_id, _) in enumerate(studies)]
    yield from ask_each(
        _QUEUE[span.missing], [{**key, "study_id": one, "due": due, "priority": BEHIND} for one, due in dues]
    )
    return len(studies), sum(int(count) for _, count in studies)


async def to_backload(engine: Engine, span: BackloadSpan) -> ToSend:
    """Count the reports and studies that a backload would send."""
    key = {"destination": span.destination, "since": span.since, "until": span.until}
    ((reports, studies, critical, oldest, newest),) = await engine.fetch(_COUNT[span.missing], **key)
    return ToSend(int(studies), int(critical), oldest, newest, int(reports), int(studies))


async def undated(engine: Engine, destination: str) -> int:
    """Count the rows from before the start that no backload reaches, since their signing time is unknown."""
    return int((await engine.fetch(_UNDATED, destination=destination))[0][0])


_ADD_MESSAGE: Final = Statement(
    "INSERT INTO message (outbox, is_whole, is_draft, is_critical, priority, size, attempts, doubts, due, made, closed,"
    " signed, destination, study_id, report_id, kind, content_version, control_id, restates, filler_order_numbers,"
    " report_ids, patient_id, state, reason, ack, has_body, body_hash, remarks, told, reported, statuses)"
    " VALUES (:outbox, :is_whole,"
    " :is_draft, :is_critical, :priority, :size, 0, 0, 0, :now, :closed, :signed, :destination, :study_id, :report_id,"
    " :kind, :content_version, :control_id, :restates, :filler_order_numbers, :report_ids, :patient_id, :state,"
    " :reason, '', 1, :body_hash, :remarks, :told, :reported, :statuses)"
    " ON CONFLICT (destination, control_id) DO NOTHING RETURNING number"
)
_ADD_BODY: Final = Statement("INSERT INTO message_body (number, body) VALUES (:number, :body)")
_SUPERSEDE: Final = Statement(
    "UPDATE message SET state = 'superseded', superseded_by = :number, closed = :now WHERE destination = :destination"
    " AND study_id = :study_id AND restates = :restates AND number < :number AND state IN ('queued', 'held')"
    " RETURNING number"
)
_PREFER: Final = Statement(
    "UPDATE message SET priority = :priority WHERE destination = :destination AND study_id = :study_id"
    " AND priority > :priority AND state IN ('queued', 'sending', 'indeterminate', 'held')"
)
_WAITING_OF_STUDIES: Final = Statement(
    "SELECT number FROM outbox WHERE destination = :destination AND study_id IN listed(:study_ids)"
    " AND state = 'waiting'"
)
_COLUMNS: Final = (
    "outbox",
    "report_id",
    "kind",
    "content_version",
    "control_id",
    "restates",
    "patient_id",
    "priority",
    "signed",
    "state",
    "reason",
    "told",
    "reported",
    "statuses",
)


@dataclass(frozen=True, slots=True)
class NewMessage:
    """Composed message. `restates` is its supersession key: a newer whole message with the same key replaces it.

    `body` are the bytes to send, or those of a dead letter; `state` is `queued`, `dead_letter` or `recorded`. `remarks`
    are codes for content that could not be expressed; `told` is the digest of its content. `reported` (in
    microseconds; None if unknown) and `statuses` are as in `mappings.model.Reported`.
    """

    outbox: int
    report_id: str
    kind: str
    content_version: str
    control_id: str
    restates: str
    filler_order_numbers: tuple[str, ...]
    report_ids: tuple[str, ...]
    patient_id: str
    is_whole: bool
    is_draft: bool
    is_critical: bool
    priority: int
    signed: int | None
    body: bytes
    state: MessageState = "queued"
    reason: str = ""
    remarks: tuple[str, ...] = ()
    told: str = ""
    reported: int | None = None
    statuses: str = ""


@dataclass(frozen=True, slots=True)
class ComposedStudy:
    """Composed messages and settled rows of a study, with the revision and the `sent` state that they are based on.

    `takes_back`: reason for cancelling unsent messages, keyed by is_draft. `holds`: reason to hold the lane from now
    on.
    """

    study_id: str
    revision: int
    settled: Sequence[SettledRow]
    messages: Sequence[NewMessage]
    sent: SentState | None = None
    takes_back: Mapping[bool, str] = field(default_factory=dict)
    holds: str = ""


def store_composed(lease: Lease, of_studies: Sequence[ComposedStudy], now: int) -> Steps[list[list[int] | None]]:
    """Store the composed messages of several studies in one commit; return the message numbers of each study.

    None stands for a study that changed since, or of which more was sent: nothing of it is stored.

    Raises:
        LeaseLost: another process holds the lease.
    """
    yield from check_lease(lease)
    has = yield from _sent_of_current(lease.destination, of_studies)
    current = [one for one in of_studies if one.study_id in has]
    yield from settle([row for one in current for row in one.settled], now)
    for study in current:
        yield from _kept_back(lease.destination, study, now)
    adding = [one.study_id for one in current if one.messages]
    lanes = yield from lanes_held(lease.destination, adding)
    numbers, bodies = {one.study_id: list[int]() for one in current}, list[dict[str, Any]]()
    for study in current:
        is_open = has[study.study_id].is_open
        for message in study.messages:
            lane = _Lane(lease.destination, study.study_id, is_held=study.study_id in lanes, is_open=is_open)
            number = yield from _added(lane, message, now)
            if number is not None:
                is_open = True
                numbers[study.study_id].append(number)
                bodies.append({"number": number, "body": message.body})
    yield from ask_each(_ADD_BODY, bodies)
    return [numbers.get(one.study_id) for one in of_studies]


def _sent_of_current(destination: str, of_studies: Sequence[ComposedStudy]) -> Steps[dict[str, SentState]]:
    """Return the sent state of those studies that have not changed since their messages were composed.

    The outbox rows of their messages must still wait.
    """
    ids = [study.study_id for study in of_studies]
    rows = yield from ask(REVISIONS, study_ids=json.dumps(ids))
    revisions = {str(study_id): int(revision) for study_id, revision in rows}
    has = yield from sent_of(destination, ids)
    waiting = {
        int(number)
        for (number,) in (yield from ask(_WAITING_OF_STUDIES, destination=destination, study_ids=json.dumps(ids)))
    }
    return {
        study.study_id: has[study.study_id]
        for study in of_studies
        if revisions.get(study.study_id) == study.revision
        and study.sent in (None, has[study.study_id])
        and all(row.number in waiting for row in study.settled)  # otherwise a plan stops those rows
    }


def settle_failed(lease: Lease, settled: Sequence[SettledRow], now: int) -> Steps[None]:
    """Settle rows for which no message could be composed.

    Raises:
        LeaseLost: another process holds the lease.
    """
    yield from check_lease(lease)
    yield from settle(settled, now)


def _kept_back(destination: str, of_study: ComposedStudy, now: int) -> Steps[None]:
    """Cancel a study's unsent messages as composed, and hold its lane; or free it if its cause was cancelled."""
    lane = destination, of_study.study_id
    gone = []
    for is_draft, reason in of_study.takes_back.items():
        gone += yield from cancel_unsent(*lane, reason, now, is_draft=is_draft)
    if of_study.holds:
        yield from hold(*lane, of_study.holds, None, now)
        yield from postpone_doubtful(*lane, NEVER)
    else:
        yield from free_lane_without(*lane, gone)


@dataclass(frozen=True, slots=True)
class _Lane:
    """Lane that a message is added to; `is_open` if it has another unsettled message."""

    destination: str
    study_id: str
    is_held: bool
    is_open: bool

    @property
    def key(self) -> dict[str, str]:
        return {"destination": self.destination, "study_id": self.study_id}


def add_message(destination: str, study_id: str, message: NewMessage, now: int) -> Steps[int | None]:
    """Add a message to its lane; None if a message with its control id, and so the same content, exists."""
    blocked = yield from is_held(destination, study_id)
    number = yield from _added(_Lane(destination, study_id, is_held=blocked, is_open=True), message, now)
    if number is not None:
        yield from ask(_ADD_BODY, number=number, body=message.body)
    return number


def _added(lane: _Lane, message: NewMessage, now: int) -> Steps[int | None]:
    """Add a message without its bytes, supersede those it replaces, and raise its lane to its priority."""
    is_queued = message.state == "queued"
    waits = {"state": "held", "reason": IN_LANE} if lane.is_held and is_queued else {}
    columns = {name: getattr(message, name) for name in _COLUMNS} | {
        "size": len(message.body),
        "now": now,
        "closed": None if is_queued else now,
        "body_hash": body_hash(message.body),
        "remarks": " ".join(message.remarks),
        "filler_order_numbers": json.dumps(message.filler_order_numbers),
        "report_ids": json.dumps(message.report_ids),
        "is_whole": int(message.is_whole),
        "is_draft": int(message.is_draft),
        "is_critical": int(message.is_critical),
        **waits,
    }
    rows = yield from ask(_ADD_MESSAGE, **lane.key, **columns)
    if not rows:
        return None
    number = int(rows[0][0])
    if not (is_queued and lane.is_open):
        return number
    if message.is_whole:
        gone = yield from ask(_SUPERSEDE, **lane.key, restates=message.restates, number=number, now=now)
        yield from free_lane_without(lane.destination, lane.study_id, [int(row[0]) for row in gone])
    yield from ask(_PREFER, **lane.key, priority=message.priority)
    return number
