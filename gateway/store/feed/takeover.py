"""Take over what the last lease holder had in hand: send it again, count later news of it, and mend an old copy.

Carries out no clause of a standard; decisions D32, D33. A holder that was suspended may still write what it had in hand
when a newer message has gone out. Until that is not possible any more, and what the newer one said was said again, the
reports of the lane are open in the certificate.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from gateway.store.database.engine import Engine
from gateway.store.database.statements import Row, Statement, Steps, ask
from gateway.store.feed.attempts import attempted, broken_off
from gateway.store.feed.holding import freed_without, hold
from gateway.store.feed.leases import Lease, held, locked
from gateway.store.feed.messages import IN_DOUBT, NEVER, SendResult, write_result
from gateway.store.feed.moves import MOVED
from gateway.store.feed.sent import left_in_doubt

OLD_COPY: Final = "old-copy"  # why a lane is held, or a report is open
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
# What was decided last of a report is told once more; what of it is signed is told as it is by then
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
class Stale:
    """A message of which an old copy may have come behind a newer one by now."""

    number: int
    study_id: str


def taken_over(lease: Lease, results: Sequence[SendResult], most: int, now: int, until: int) -> Steps[list[int]]:
    """Queue again, byte for byte, what the last holder had in hand and may have sent; return the numbers.

    `results` are what came of such as this process had in hand itself, and could not write down. The lane of what was
    in doubt more than `most` times is held: it may be what ends its holders. `until` is when nothing can still come of
    what that holder wrote.

    Raises:
        LeaseLost: somebody else sends there by now.
    """
    yield from held(lease)
    for one in results:
        if one.state == "delivered":
            yield from heard(lease.destination, one, now)
        else:
            yield from write_result(lease.destination, one, now)
    rows = yield from ask(_TAKEN_OVER, destination=lease.destination, now=now, until=until)
    yield from broken_off([int(number) for number, *_ in rows], now)
    for number, study_id, doubts in rows:
        if doubts > most:
            yield from hold(lease.destination, str(study_id), IN_DOUBT, int(number), now)
            yield from left_in_doubt(lease.destination, str(study_id), NEVER)
    return [int(number) for number, *_ in rows]


def heard(destination: str, one: SendResult, now: int) -> Steps[bool]:
    """A message was taken, as its acknowledgement says: that is so whoever has the lease; False where it was known."""
    yield from locked(destination)
    said = {"ack": one.ack, "committed": one.committed, "accepted": one.accepted, "now": now}
    rows = yield from ask(_HEARD, number=one.head.number, **said)
    if rows:
        yield from attempted(one.head.number, one.attempt, one.state, one.reason, one.ack)
    if rows and one.holds:
        yield from hold(destination, one.head.study_id, one.holds, one.head.number, now)
    elif rows:
        yield from freed_without(destination, one.head.study_id, [one.head.number])
    return bool(rows)


def wrote_late(number: int, until: int) -> Steps[None]:
    """Some of a message was written when the lease may have been over: until then it may come behind a newer one."""
    yield from ask(_LATE, number=number, until=until)


async def stale(engine: Engine, destination: str, now: int) -> list[Stale]:
    """The messages of which an old copy may have come by now, and none can come any more."""
    rows = await engine.fetch(_STALE, destination=destination, now=now, most=_MOST)
    return [Stale(int(number), str(study_id)) for number, study_id in rows]


def mended(lease: Lease, one: Stale, now: int, *, restates: bool) -> Steps[Repair]:
    """See to it that the last word is not an old copy of a message: what went out behind it is said again.

    `restates` where the receiver takes the text of an order again in place of what it has. Where it would file it
    twice, or is told of another patient by now, the lane is held for an operator to look.

    Raises:
        LeaseLost: somebody else sends there by now.
    """
    yield from held(lease)
    lane = {"destination": lease.destination, "study_id": one.study_id}
    found = yield from ask(_LOOK, number=one.number, now=now)
    newer = yield from ask(_NEWER, **lane, number=one.number)
    behind = [row for row in newer if found and _is_under_one_number(found[0], row)]
    if not behind:
        yield from ask(_SET, number=one.number, until=None)
        return "not_needed"
    is_plain = all(row[3] != MOVED and row[4] == found[0][4] for row in behind)
    restated = 0
    for report_id in _reports(found[0], *behind) if restates and is_plain else ():
        restated += len((yield from ask(_RESTATE, **lane, report_id=report_id, now=now)))
    if not restated:
        yield from hold(**lane, reason=OLD_COPY, culprit=None, now=now)
    yield from ask(_SET, number=one.number, until=None if restated else NEVER)
    return "restated" if restated else "held"


def _is_under_one_number(one: Row, other: Row) -> bool:
    """True if two messages share a filler order number."""
    return not set(json.loads(one[0])).isdisjoint(json.loads(other[0]))


def _reports(*rows: Row) -> list[str]:
    """The ids of the reports in messages, each once."""
    return list(dict.fromkeys(str(key) for row in rows for key in (*json.loads(row[1]), row[2])))
