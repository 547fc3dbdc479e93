"""Store a given batch of composed messages in one commit, and settle the outbox rows that the messages cover.

Carries out no clause of a standard; decisions D7, D13, D18, D32. Every write shows the lease that it is made under.
Proved by tests/contract/test_messages.py and tests/faults/test_queue_faults.py.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from gateway.store.database.statements import Statement, Steps, ask, ask_each
from gateway.store.feed.body_hash import body_hash
from gateway.store.feed.holding import free_lane_without, hold, is_held, lanes_held
from gateway.store.feed.leases import Lease, held
from gateway.store.feed.messages import IN_LANE, NEVER
from gateway.store.feed.outbox import SettledRow, settle
from gateway.store.feed.sent import SentState, cancel_unsent, postpone_doubtful, sent_of
from gateway.store.feed.states import MessageState
from gateway.store.studies.locks import REVISIONS

_ADD: Final = Statement(
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
_WAITING: Final = Statement(
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
    yield from held(lease)
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
    """Return the sent state of those studies that are unchanged since their messages were composed.

    The outbox rows of their messages must still wait.
    """
    ids = [study.study_id for study in of_studies]
    rows = yield from ask(REVISIONS, study_ids=json.dumps(ids))
    revisions = {str(study_id): int(revision) for study_id, revision in rows}
    has = yield from sent_of(destination, ids)
    waiting = {
        int(number) for (number,) in (yield from ask(_WAITING, destination=destination, study_ids=json.dumps(ids)))
    }
    return {
        study.study_id: has[study.study_id]
        for study in of_studies
        if revisions.get(study.study_id) == study.revision
        and study.sent in (None, has[study.study_id])
        and all(row.number in waiting for row in study.settled)  # otherwise a plan stops those rows
    }


def settle_failed(lease: Lease, settled: Sequence[SettledRow], now: int) -> Steps[None]:
    """Settle rows that no message could be composed of.

    Raises:
        LeaseLost: another process holds the lease.
    """
    yield from held(lease)
    yield from settle(settled, now)


def _kept_back(destination: str, of_study: ComposedStudy, now: int) -> Steps[None]:
    """Cancel unsent messages of a study, and hold its lane, or free it if it was held for a cancelled one."""
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
    """Lane that a message is added to; `is_open` if another message in it is not closed."""

    destination: str
    study_id: str
    is_held: bool
    is_open: bool

    @property
    def key(self) -> dict[str, str]:
        return {"destination": self.destination, "study_id": self.study_id}


def add_message(destination: str, study_id: str, message: NewMessage, now: int) -> Steps[int | None]:
    """Add a message to its lane; None if a message with its control id exists, which has the same content."""
    blocked = yield from is_held(destination, study_id)
    number = yield from _added(_Lane(destination, study_id, is_held=blocked, is_open=True), message, now)
    if number is not None:
        yield from ask(_ADD_BODY, number=number, body=message.body)
    return number


def _added(lane: _Lane, message: NewMessage, now: int) -> Steps[int | None]:
    """Add a message without its bytes, supersede those it replaces, and pass its priority on to its lane."""
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
    rows = yield from ask(_ADD, **lane.key, **columns)
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
