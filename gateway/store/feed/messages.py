"""Claim messages for sending and store each result; a claim is stored before any byte leaves the gateway.

Carries out no clause of a standard; decisions D7, D13, D18, D32, D33. A lane is the messages of one study to one
destination: they leave in the order of their numbers, and a held one holds those behind it. Every write shows the lease
that it is made under.
Proved by tests/contract/test_messages.py and tests/contract/test_body_hash.py.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from gateway.store.database.engine import Engine
from gateway.store.database.instants import micros
from gateway.store.database.statements import Statement, Steps, ask, ask_each
from gateway.store.feed.attempts import Attempt, store_attempt
from gateway.store.feed.body_hash import ALTERED, is_as_made
from gateway.store.feed.holding import hold
from gateway.store.feed.leases import Lease, held
from gateway.store.feed.states import MessageState

IN_LANE: Final = "lane"
IN_DOUBT: Final = "indeterminate"
REFUSED: Final = "refused"
NEVER: Final = 2**62
_WITHHOLD: Final = Statement(
    "UPDATE message SET state = :state, reason = :reason, due = :due, attempts = attempts - 1,"
    " sent = CASE WHEN :was_sent = 1 THEN sent END WHERE number = :number"
)
# Columns of a `Head`
HEAD: Final = (
    "SELECT m.number, m.study_id, m.report_id, m.kind, m.control_id, m.state, m.attempts, m.doubts, m.is_critical,"
    " m.signed, m.filler_order_numbers, m.report_ids, m.patient_id, m.sent, m.restates, m.is_whole, m.body_hash, m.told"
)
_IS_FREE: Final = (
    " AND NOT EXISTS (SELECT 1 FROM message e"
    " WHERE e.destination = m.destination AND e.study_id = m.study_id AND e.number < m.number AND (e.state IN"
    " ('sending', 'indeterminate', 'held') OR (e.state = 'queued' AND e.due > :now)))"
)
_CANDIDATES: Final = Statement(
    f"{HEAD} FROM message m WHERE m.destination = :destination AND m.state = :state AND m.due <= :now{_IS_FREE}"
    " ORDER BY m.priority, m.number LIMIT :most"
)
_CLAIM: Final = Statement(
    "UPDATE message SET state = 'sending', attempts = attempts + 1, sent = coalesce(sent, :now)"
    " WHERE number = :number AND state IN ('queued', 'indeterminate') AND due <= :now AND NOT EXISTS (SELECT 1 FROM"
    " lane l WHERE l.destination = message.destination AND l.study_id = message.study_id) AND NOT EXISTS (SELECT 1 FROM"
    " message e WHERE e.destination = message.destination AND e.study_id = message.study_id"
    " AND e.number < message.number AND e.state IN ('queued', 'sending', 'indeterminate', 'held'))"
    " RETURNING (SELECT b.body FROM message_body b WHERE b.number = message.number), body_hash"
)
NUMBER_SENT: Final = Statement(
    "INSERT INTO sent_number (destination, study_id, report_id, filler_order_number, patient_id, place, since) VALUES"
    " (:destination, :study_id, :report_id, :filler_order_number, :patient_id, :place, :now) ON CONFLICT DO NOTHING"
)
_RESULT: Final = Statement(
    "UPDATE message SET state = :state, reason = :reason, ack = CASE WHEN :ack = '' THEN ack ELSE :ack END, due = :due,"
    " doubts = :doubts, attempts = attempts - :unsent, committed = coalesce(:committed, committed),"
    " accepted = coalesce(:accepted, accepted), closed = :closed WHERE number = :number AND state = 'sending'"
    " RETURNING number"
)
_NEXT_DUE: Final = Statement(
    "SELECT min(due) FROM message WHERE destination = :destination AND state = :state AND due > :now"
)


@dataclass(frozen=True, slots=True)
class Head:
    """Message that may be sent now. `was_sent` is True if part of it may have been sent before.

    It gets its `body` when it is claimed, so that the lookahead needs little memory.
    """

    number: int
    study_id: str
    report_id: str
    kind: str
    control_id: str
    state: str
    attempts: int
    doubts: int
    is_critical: bool
    signed: int | None
    filler_order_numbers: tuple[str, ...]
    report_ids: tuple[str, ...]
    patient_id: str
    was_sent: bool
    body: bytes = b""
    restates: str = ""
    is_whole: bool = False
    body_hash: str = ""
    told: str = ""


@dataclass(frozen=True, slots=True)
class SendResult:
    """Result of a claimed message; instants in microseconds.

    `ack` is the code of the acknowledgement; `due` is the time of the next try. `unsent` means that nothing of it was
    sent: the attempt does not count. `holds` is the reason to hold its lane from now on, if any; `pauses` means to
    pause the whole destination. `is_for_now` means that the receiver refused it and may take it later. `attempt` tells
    how and when it was sent, and the answer.
    """

    head: Head
    state: MessageState
    reason: str = ""
    ack: str = ""
    due: int = 0
    doubts: int = 0
    unsent: bool = False
    committed: int | None = None
    accepted: int | None = None
    holds: str = ""
    pauses: bool = False
    is_for_now: bool = False
    attempt: Attempt | None = None

    @property
    def is_refused(self) -> bool:
        """True if the receiver refused the message."""
        return self.state != "delivered" and bool(self.ack)


class Messages:
    """Messages of the store. Every method raises `StoreUnavailable`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def candidates(self, destination: str, now: datetime, most: int) -> list[Head]:
        """Return messages that may be sent now, in sending order; each comes behind the earlier ones of its lane."""
        key = {"destination": destination, "now": micros(now), "most": most}
        doubtful = await self._engine.fetch(_CANDIDATES, **key, state="indeterminate")
        queued = await self._engine.fetch(_CANDIDATES, **key, state="queued")
        return [head_of(row) for row in (*doubtful, *queued)]

    async def next_due(self, destination: str, now: datetime) -> int | None:
        """Return the earliest instant at which a message is tried again, in microseconds."""
        key = {"destination": destination, "now": micros(now)}
        minima = [await self._engine.fetch(_NEXT_DUE, **key, state=state) for state in ("queued", "indeterminate")]
        dues = [int(rows[0][0]) for rows in minima if rows[0][0] is not None]
        return min(dues, default=None)


def step(lease: Lease, results: Sequence[SendResult], claims: Sequence[Head], now: int) -> Steps[list[Head]]:
    """Store the results of messages, and claim others; return the claimed ones with their bytes.

    Both go in one transaction: claims are stored before the messages are sent, at the cost of one commit. A message
    whose stored bytes were altered is not sent, and its lane is held.

    Raises:
        LeaseLost: another process holds the lease.
    """
    may_send = yield from held(lease)
    for result in results:
        yield from write_result(lease.destination, result, now)
    claimed = []
    for head in claims if may_send else ():
        rows = yield from ask(_CLAIM, number=head.number, now=now)
        if not rows:
            continue
        body, made = rows[0]
        if not is_as_made(body, made):
            yield from _withheld(lease.destination, head, now)
            continue
        claimed.append(replace(head, body=bytes(body)))
        if not head.was_sent:
            yield from ask_each(NUMBER_SENT, _sent_numbers(lease.destination, head, now))
    return claimed


def _withheld(destination: str, head: Head, now: int) -> Steps[None]:
    """Hold the lane of a claimed message that is not sent; a message that may have arrived stays in doubt."""
    state, due = (head.state, NEVER) if head.state == "indeterminate" else ("held", 0)
    became = {"state": state, "reason": ALTERED, "due": due, "was_sent": int(head.was_sent)}
    yield from ask(_WITHHOLD, number=head.number, **became)
    yield from hold(destination, head.study_id, ALTERED, head.number, now)


def write_result(destination: str, result: SendResult, now: int) -> Steps[None]:
    """Store the result of a message, if it is still in hand."""
    is_closed = result.state in {"delivered", "dead_letter"}
    settled = yield from ask(
        _RESULT,
        number=result.head.number,
        state=result.state,
        reason=result.reason,
        ack=result.ack,
        due=result.due,
        doubts=result.doubts,
        unsent=int(result.unsent),
        committed=result.committed,
        accepted=result.accepted,
        closed=now if is_closed else None,
    )
    if settled:
        yield from store_attempt(result.head.number, result.attempt, result.state, result.reason, result.ack)
    if settled and result.holds:
        yield from hold(destination, result.head.study_id, result.holds, result.head.number, now)


def _sent_numbers(destination: str, head: Head, now: int) -> list[dict[str, Any]]:
    return [
        {
            "destination": destination,
            "study_id": head.study_id,
            "report_id": report_id,
            "filler_order_number": number,
            "patient_id": head.patient_id,
            "place": place,
            "now": now,
        }
        for report_id in head.report_ids
        for place, number in enumerate(head.filler_order_numbers)
    ]


def head_of(row: Sequence[Any]) -> Head:
    """Return the message of a row with the columns `HEAD`."""
    number, study_id, report_id, kind, control_id, state, attempts, doubts, critical, signed, *rest = row
    numbers, reports, patient_id, sent, restates, is_whole, made, told = rest
    return Head(
        int(number),
        str(study_id),
        str(report_id),
        str(kind),
        str(control_id),
        str(state),
        int(attempts),
        int(doubts),
        bool(critical),
        signed,
        _texts(numbers),
        _texts(reports),
        str(patient_id),
        sent is not None,
        restates=str(restates),
        is_whole=bool(is_whole),
        body_hash=str(made),
        told=str(told),
    )


def _texts(listed: str) -> tuple[str, ...]:
    found: Iterable[str] = json.loads(listed)
    return tuple(found)
