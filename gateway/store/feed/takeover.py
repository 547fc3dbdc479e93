"""Take over messages that the last sending process left unfinished: send again, and apply late acknowledgements.

Carries out no clause of a standard; decisions D32, D33. A holder that was suspended may still send a message after a
newer one has gone out. The lane's reports stay open in the certificate until that is impossible, and the newer content
was sent again.
Proved by tests/contract/test_takeover.py.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from gateway.store.database.engine import Engine
from gateway.store.database.statements import Row, Statement, Steps, ask
from gateway.store.feed.attempts import store_attempt, store_broken_attempts
from gateway.store.feed.holding import free_lane_without, hold
from gateway.store.feed.leases import Lease, held, locked
from gateway.store.feed.messages import IN_DOUBT, NEVER, SendResult, write_result
from gateway.store.feed.moves import MOVED
from gateway.store.feed.sent import postpone_doubtful

OLD_COPY: Final = "old-copy"  # reason of a held lane, or of a report that is open
Repair = Literal["not_needed", "restated", "held"]
_MOST: Final = 100
_TAKEN_OVER: Final = Statement(
    "UPDATE message SET state = 'indeterminate', reason = 'taken-over', doubts = doubts + 1, due = :now,"
    " stale_until = :until WHERE destination = :destination AND state = 'sending' RETURNING number, study_id, doubts"
)
_HEARD: Final = Statement(
    "UPDATE message SET state = 'delivered', reason = '', ack = CASE WHEN :ack = '' THEN ack ELSE :ack END,"
    " committed = coalesce(:committed, committed), accepted = coalesce(:accepted, accepted), closed = :now"
    " WHERE number = :number AND state IN ('sending', 'indeterminate', 'queued', 'held') RETURNING number"
)
_LATE: Final = Statement(
    "UPDATE message SET stale_until = CASE WHEN stale_until > :until THEN stale_until ELSE :until END"
    " WHERE number = :number"
)
_STALE: Final = Statement(
    "SELECT number, study_id FROM message WHERE destination = :destination AND stale_until <= :now"
    " ORDER BY stale_until LIMIT :most"
)
_LOOK: Final = Statement(
    "SELECT filler_order_numbers, report_ids, report_id, kind, patient_id FROM message WHERE number = :number"
    " AND stale_until <= :now"
)
_NEWER: Final = Statement(
    "SELECT filler_order_numbers, report_ids, report_id, kind, patient_id FROM message WHERE destination = :destination"
    " AND study_id = :study_id AND number > :number AND sent IS NOT NULL ORDER BY number"
)
_SET: Final = Statement("UPDATE message SET stale_until = :until WHERE number = :number")
# Sends the last decision on a report once more; a signed report is sent in its present state
_RESTATE: Final = Statement(
    "INSERT INTO outbox (study_id, report_id, kind, content_version, destination, state, reason, is_move, is_critical,"
    " due, priority, signed, decided, replay) SELECT o.study_id, o.report_id, CASE WHEN o.kind IN ('draft',"
    " 'draft_cancelled', 'withdrawn', 'addendum_cancelled') THEN o.kind ELSE 'replay' END, o.content_version,"
    " o.destination, 'waiting', '', 0, 0, CAST(:now AS BIGINT), 0, o.signed, CAST(:now AS BIGINT),"
    " (SELECT max(r.replay) + 1 FROM outbox r WHERE r.study_id = o.study_id AND r.destination = o.destination"
    " AND r.report_id = o.report_id) FROM outbox o WHERE o.number = (SELECT max(t.number) FROM outbox t"
    " WHERE t.study_id = :study_id AND t.destination = :destination AND t.report_id = :report_id"
    " AND t.state IN ('waiting', 'rendered', 'merged')) RETURNING number"
)


@dataclass(frozen=True, slots=True)
class StaleMessage:
    """Message of which an old copy may have arrived after a newer one."""

    number: int
    study_id: str


def take_over(lease: Lease, results: Sequence[SendResult], most: int, now: int, until: int) -> Steps[list[int]]:
    """Queue again, byte for byte, what the last holder had in hand and may have sent; return the message numbers.

    `results` are results of messages that this process had in hand itself and could not store. The lane of a message in
    doubt more than `most` times is held, since the message may crash its holders. After `until`, nothing that holder
    sent can still arrive.

    Raises:
        LeaseLost: another process holds the lease.
    """
    yield from held(lease)
    for result in results:
        if result.state == "delivered":
            yield from record_delivery(lease.destination, result, now)
        else:
            yield from write_result(lease.destination, result, now)
    rows = yield from ask(_TAKEN_OVER, destination=lease.destination, now=now, until=until)
    yield from store_broken_attempts([int(number) for number, *_ in rows], now)
    for number, study_id, doubts in rows:
        if doubts > most:
            yield from hold(lease.destination, str(study_id), IN_DOUBT, int(number), now)
            yield from postpone_doubtful(lease.destination, str(study_id), NEVER)
    return [int(number) for number, *_ in rows]


def record_delivery(destination: str, result: SendResult, now: int) -> Steps[bool]:
    """Store that a message was delivered, as acknowledged, whoever has the lease; False if it was settled before."""
    yield from locked(destination)
    columns = {"ack": result.ack, "committed": result.committed, "accepted": result.accepted, "now": now}
    rows = yield from ask(_HEARD, number=result.head.number, **columns)
    if rows:
        yield from store_attempt(result.head.number, result.attempt, result.state, result.reason, result.ack)
    if rows and result.holds:
        yield from hold(destination, result.head.study_id, result.holds, result.head.number, now)
    elif rows:
        yield from free_lane_without(destination, result.head.study_id, [result.head.number])
    return bool(rows)


def record_late_write(number: int, until: int) -> Steps[None]:
    """Record that a message was sent when the lease may have expired; until `until` it may arrive after newer ones."""
    yield from ask(_LATE, number=number, until=until)


async def old_copies(engine: Engine, destination: str, now: int) -> list[StaleMessage]:
    """Return the messages of which an old copy may have arrived, and no further one can arrive."""
    rows = await engine.fetch(_STALE, destination=destination, now=now, most=_MOST)
    return [StaleMessage(int(number), str(study_id)) for number, study_id in rows]


def resend_newer(lease: Lease, old_copy: StaleMessage, now: int, *, restates: bool) -> Steps[Repair]:
    """Send newer content of a lane again, if an old copy of a message may have arrived after it.

    `restates` is True if the receiver replaces an order's text when it is sent again. If it would file the text twice,
    or the newer messages name another patient, the lane is held for an operator.

    Raises:
        LeaseLost: another process holds the lease.
    """
    yield from held(lease)
    lane = {"destination": lease.destination, "study_id": old_copy.study_id}
    old_rows = yield from ask(_LOOK, number=old_copy.number, now=now)
    newer = yield from ask(_NEWER, **lane, number=old_copy.number)
    behind = [row for row in newer if old_rows and _is_under_one_number(old_rows[0], row)]
    if not behind:
        yield from ask(_SET, number=old_copy.number, until=None)
        return "not_needed"
    is_plain = all(row[3] != MOVED and row[4] == old_rows[0][4] for row in behind)
    restated = 0
    for report_id in _reports(old_rows[0], *behind) if restates and is_plain else ():
        restated += len((yield from ask(_RESTATE, **lane, report_id=report_id, now=now)))
    if not restated:
        yield from hold(**lane, reason=OLD_COPY, culprit=None, now=now)
    yield from ask(_SET, number=old_copy.number, until=None if restated else NEVER)
    return "restated" if restated else "held"


def _is_under_one_number(one: Row, other: Row) -> bool:
    """True if two messages share a filler order number."""
    return not set(json.loads(one[0])).isdisjoint(json.loads(other[0]))


def _reports(*rows: Row) -> list[str]:
    """Return the ids of the reports in these messages, each once."""
    return list(dict.fromkeys(str(key) for row in rows for key in (*json.loads(row[1]), row[2])))
