"""Free held lanes (a study's messages to one destination), run circuit breakers, and recover after another sender.

Carries out no clause of a standard; decisions D13, D18, D32, D33. An older message never follows a newer one that
includes all of it. A message whose bytes were deleted or altered cannot be sent. The breaker stops sending while the
receiver refuses everything. Taken over are unfinished messages, late acknowledgements, and due times of another clock.
Proved by tests/contract/test_takeover.py and tests/contract/test_ledger.py.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from gateway.store.database.engine import Engine, Row, Statement, Steps, ask, ask_each
from gateway.store.feed.leases import Lease, check_lease, lock_destination
from gateway.store.feed.messages import (
    ALTERED,
    HEAD,
    IN_DOUBT,
    IN_LANE,
    NEVER,
    REFUSED,
    Head,
    SendResult,
    free_lane,
    free_lane_without,
    head_of,
    hold,
    is_held,
    store_attempt,
    store_broken_attempts,
    write_result,
)
from gateway.store.feed.sent import postpone_doubtful
from gateway.store.feed.states import (
    BREAKER_REASONS,
    CORRECTED,
    FOR_NOW,
    MERGE_MOVE,
    MERGED,
    MOVE,
    MOVED,
    REFILE_RELEASED,
    REFILED,
    RELEASED,
)

# A late refusal concerns a message after which a newer one was sent: that one repeats it, or withdraws it
_NEWER: Final = (
    " FROM message n WHERE n.destination = message.destination AND n.study_id = message.study_id"
    " AND n.number > message.number AND n.state IN ('sending', 'indeterminate', 'delivered')"
)
_SAYS_IT: Final = (
    f"{_NEWER} AND ((n.restates = message.restates AND n.is_whole = 1) OR (n.kind = 'moved'"
    " AND n.patient_id = message.patient_id AND n.filler_order_numbers = message.filler_order_numbers))"
)
_OVERTAKEN: Final = Statement(
    f"UPDATE message SET state = 'superseded', closed = :now, superseded_by = (SELECT min(n.number){_SAYS_IT})"  # noqa: S608 (constants)
    " WHERE destination = :destination AND study_id = :study_id AND state = 'held' AND kind <> 'moved'"
    f" AND EXISTS (SELECT 1{_SAYS_IT}) RETURNING number"
)
# A withdrawal for one patient never follows what was sent about another patient under the same number
_TOO_LATE: Final = Statement(
    "UPDATE message SET state = 'dead_letter', reason = 'overtaken', closed = :now WHERE destination = :destination"  # noqa: S608 (constants)
    f" AND study_id = :study_id AND state = 'held' AND kind = 'moved' AND EXISTS (SELECT 1{_NEWER}) RETURNING number"
)
_TEXTLESS: Final = Statement(
    "UPDATE message SET state = 'dead_letter', reason = 'text-purged', closed = :now WHERE destination = :destination"
    " AND study_id = :study_id AND state = 'held' AND has_body = 0 AND kind <> 'moved' RETURNING number"
)
# Altered bytes are never sent
_ALTERED: Final = Statement(
    "UPDATE message SET state = 'dead_letter', closed = :now WHERE destination = :destination"
    " AND study_id = :study_id AND state IN ('held', 'indeterminate') AND reason = :reason AND kind <> 'moved'"
    " RETURNING number"
)
# A message that may have arrived about another patient is not sent again
_MOVED: Final = Statement(
    "UPDATE message SET state = 'dead_letter', reason = 'move', closed = :now WHERE destination = :destination"
    " AND study_id = :study_id AND ((state = 'indeterminate' AND due = :never) OR (state = 'held'"
    " AND sent IS NOT NULL)) AND EXISTS (SELECT 1 FROM lane l"
    " WHERE l.destination = :destination AND l.study_id = :study_id AND l.reason = 'move') RETURNING number"
)
_QUEUE: Final = Statement(
    "UPDATE message SET state = 'queued', reason = '', attempts = 0, doubts = 0, due = 0"
    " WHERE destination = :destination AND study_id = :study_id AND state = 'held' RETURNING number"
)
_SEEN_TO: Final = Statement(
    "UPDATE message SET stale_until = NULL WHERE destination = :destination AND study_id = :study_id"
    " AND stale_until = :never RETURNING number"
)
_SEND_AGAIN: Final = Statement(
    "UPDATE message SET doubts = 0, due = :now WHERE destination = :destination AND study_id = :study_id"
    " AND state = 'indeterminate' AND due = :never RETURNING number"
)
# A message that may have arrived about another patient is withdrawn first, unless the chart is corrected by hand (D13)
_WAIT: Final = Statement(
    "UPDATE outbox SET state = 'waiting', reason = '', is_move = CASE WHEN is_move = 0"  # noqa: S608 (constants)
    f" AND reason NOT IN ('{MOVE}', '{MERGE_MOVE}') THEN 0 WHEN CAST(:is_move AS BIGINT) <> {RELEASED}"
    f" THEN CAST(:is_move AS BIGINT) WHEN is_move IN ({REFILED}, {REFILE_RELEASED}) THEN CASE WHEN"
    f" reason = '{MERGE_MOVE}' THEN {REFILE_RELEASED} ELSE is_move END WHEN reason = '{MERGE_MOVE}'"
    f" OR is_move = {MERGED} THEN {MERGED} ELSE {RELEASED} END,"
    " priority = CASE WHEN reason = 'may-have-been-sent' THEN 2 ELSE priority END,"
    " due = :now, settled = NULL WHERE study_id = :study_id"
    " AND destination = :destination AND state = 'held' RETURNING number"
)
_BY_HAND: Final = Statement(
    "UPDATE message SET state = 'dead_letter', reason = 'chart-corrected', closed = :now"
    " WHERE destination = :destination AND study_id = :study_id AND kind = 'moved' AND (state IN ('queued', 'held')"
    " OR (state = 'indeterminate' AND due = :never)) RETURNING number"
)


@dataclass(frozen=True, slots=True)
class FreedLane:
    """Counts of messages of a freed lane: queued again, sent again because in doubt, superseded, or given up.

    `waiting` counts outbox rows that are composed now.
    """

    queued: int
    sent_again: int
    superseded: int
    given_up: int
    waiting: int

    @property
    def is_nothing(self) -> bool:
        """True if the lane had nothing to free."""
        return not (self.queued or self.sent_again or self.superseded or self.given_up or self.waiting)


def release_lane(destination: str, study_id: str, now: int, *, is_corrected: bool = False) -> Steps[FreedLane]:
    """Free a lane: its messages keep their bytes, and their attempts restart from 0; `now` is in microseconds.

    Of a move, what was sent about the other patient is withdrawn first, unless it was corrected by hand.
    """
    yield from lock_destination(destination)
    lane = {"destination": destination, "study_id": study_id}
    by_hand = (yield from ask(_BY_HAND, **lane, now=now, never=NEVER)) if is_corrected else []
    superseded = yield from ask(_OVERTAKEN, **lane, now=now)
    too_late = yield from ask(_TOO_LATE, **lane, now=now)
    textless = yield from ask(_TEXTLESS, **lane, now=now)
    altered = yield from ask(_ALTERED, **lane, now=now, reason=ALTERED)
    moved = yield from ask(_MOVED, **lane, now=now, never=NEVER)
    queued = yield from ask(_QUEUE, **lane)
    sent_again = yield from ask(_SEND_AGAIN, **lane, now=now, never=NEVER)
    waiting = yield from ask(_WAIT, **lane, now=now, is_move=CORRECTED if is_corrected else RELEASED)
    yield from ask(_SEEN_TO, **lane, never=NEVER)
    yield from free_lane(destination, study_id)
    given_up = sum(map(len, (by_hand, too_late, textless, altered, moved)))
    return FreedLane(len(queued), len(sent_again), len(superseded), given_up, len(waiting))


_LOOKED_AT: Final = 128  # messages of each state from which the next probe is chosen
_OPEN: Final = Statement(
    "UPDATE destination SET paused = :reason, paused_since = :now WHERE name = :name AND paused = '' RETURNING fence"
)
_CLOSE: Final = Statement(
    "UPDATE destination SET paused = '', paused_since = NULL WHERE name = :name AND paused IN listed(:reasons)"
    " RETURNING fence"
)
_STANDS: Final = Statement("SELECT paused, paused_since FROM destination WHERE name = :name")
# A message that was sent after a refused one, and was not refused, must not be followed by it
_LANES: Final = Statement(
    "SELECT l.study_id, l.culprit FROM lane l WHERE l.destination = :destination AND l.reason = :reason AND NOT EXISTS"
    " (SELECT 1 FROM message m WHERE m.destination = l.destination AND m.study_id = l.study_id AND m.number > l.culprit"
    " AND m.state IN ('sending', 'indeterminate', 'delivered')) ORDER BY l.study_id"
)
_QUEUE_REFUSED: Final = Statement(
    "UPDATE message SET state = 'queued', reason = '', due = :due,"
    " attempts = CASE WHEN CAST(:due AS BIGINT) = 0 THEN 0 ELSE attempts END WHERE number = :number AND state = 'held'"
)
_DUE_AT_ONCE: Final = Statement(
    "UPDATE message SET due = :now WHERE destination = :destination AND state = 'queued' AND due > :now"
    " AND ack IN ('AR', 'CR')"
)
_DUE: Final = Statement("UPDATE message SET due = :now WHERE number = :number AND due > :now AND due < :never")
_IS_FIRST: Final = (
    " AND NOT EXISTS (SELECT 1 FROM lane l WHERE l.destination = m.destination AND l.study_id = m.study_id)"
    " AND NOT EXISTS (SELECT 1 FROM message e WHERE e.destination = m.destination AND e.study_id = m.study_id"
    " AND e.number < m.number AND e.state IN ('queued', 'sending', 'indeterminate', 'held'))"
)
_PROBES: Final = Statement(
    f"{HEAD}, m.priority FROM message m WHERE m.destination = :destination AND m.state = :state AND m.due < :never"
    f"{_IS_FIRST} ORDER BY m.priority, m.number LIMIT :most"
)


async def breaker_state(engine: Engine, destination: str) -> tuple[str, int]:
    """Return why a destination is paused or its breaker open, and since when (microseconds); else "" and 0.

    Raises:
        StoreUnavailable: the store cannot be reached.
    """
    rows = await engine.fetch(_STANDS, name=destination)
    reason, since = rows[0] if rows else ("", None)
    return str(reason), int(since or 0)


def open_breaker(destination: str, reason: str, now: int) -> Steps[bool]:
    """Open the breaker; False if the destination is paused or its breaker is open.

    Messages held only because they were refused for now are queued again, so that probes can be chosen from them.
    """
    yield from lock_destination(destination)
    is_new = bool((yield from ask(_OPEN, name=destination, reason=reason, now=now)))
    if is_new:
        yield from free_refused_for_now(destination)
    return is_new


def close_breaker(destination: str, now: int, reasons: Sequence[str] = BREAKER_REASONS) -> Steps[bool]:
    """Close the breaker if it is open for one of these reasons, and queue the refused messages at once; else False."""
    yield from lock_destination(destination)
    is_closed = bool((yield from ask(_CLOSE, name=destination, reasons=json.dumps(reasons))))
    if is_closed:
        yield from free_refused_for_now(destination)
        yield from ask(_DUE_AT_ONCE, destination=destination, now=now)
    return is_closed


def free_refused_for_now(destination: str, study_id: str = "", due: int = 0) -> Steps[bool]:
    """Free lanes that are held only because a message was refused for now; True if there were any.

    The attempts of their messages restart from 0. With `due`, the attempts stay, and the messages wait until then.
    """
    yield from lock_destination(destination)
    rows = yield from ask(_LANES, destination=destination, reason=FOR_NOW)
    rows = [row for row in rows if study_id in ("", row[0])]
    yield from ask_each(_QUEUE_REFUSED, [{"number": culprit, "due": due} for _, culprit in rows])
    for lane, _ in rows:
        yield from free_lane(destination, str(lane))
    return bool(rows)


async def probe(engine: Engine, destination: str, now: int) -> Head | None:
    """Choose the message to probe with, and make it due at `now`: critical ones first, then sent ones, then the oldest.

    A message that was sent and waits again was refused, or is in doubt. Only the first message of a lane qualifies.

    Raises:
        StoreUnavailable: the store cannot be reached.
    """
    key = {"destination": destination, "never": NEVER, "most": _LOOKED_AT}
    probes = [
        (priority != 0, not head.was_sent, head.number, head)
        for state in ("indeterminate", "queued")
        for *columns, priority in await engine.fetch(_PROBES, **key, state=state)
        for head in [head_of(columns)]
    ]
    if not probes:
        return None
    *_, head = min(probes)
    await engine.do(lambda: ask(_DUE, number=head.number, now=now, never=NEVER))
    return head


AckOutcome = Literal["written", "repeated", "unmatched", "too_early"]
Decide = Callable[[Head], SendResult]

_STATE: Final = Statement("SELECT state FROM message WHERE destination = :destination AND control_id = :control_id")
# The receiving process may still use the destination's former name
_NOW_CALLED: Final = Statement("SELECT became FROM destination WHERE name = :destination AND became <> ''")
_NAMED: Final = Statement(
    f"{HEAD}, m.ack, m.accepted, m.has_body FROM message m"
    " WHERE m.destination = :destination AND m.control_id = :control_id"
)
_FOLLOWING: Final = Statement(
    "SELECT number FROM message WHERE destination = :destination AND study_id = :study_id AND number > :number"
    " AND state IN ('sending', 'indeterminate', 'delivered') LIMIT 1"
)
_FIRST_THAT_SAYS_IT: Final = Statement(
    "SELECT min(n.number) FROM message n JOIN message m ON n.destination = m.destination AND n.study_id = m.study_id"
    " AND n.restates = m.restates WHERE m.number = :number AND m.kind <> 'moved' AND n.number > m.number"
    " AND n.is_whole = 1 AND n.state IN ('queued', 'sending', 'indeterminate', 'held', 'delivered')"
)
_ACCEPTED: Final = Statement("UPDATE message SET ack = :ack, accepted = :at WHERE number = :number")
_REFUSED: Final = Statement(
    "UPDATE message SET state = :state, reason = :reason, ack = :ack, due = :due, closed = :closed,"
    " superseded_by = coalesce(:superseded_by, superseded_by) WHERE number = :number"
)


@dataclass(frozen=True, slots=True)
class StoredAck:
    """Outcome of storing an acknowledgement; with the message's result, if that was `written`.

    `repeated`: it was stored before. `unmatched`: no message waits for it. `too_early`: its message is in hand or in
    doubt, and the acknowledgement cannot be applied until that is over.
    """

    outcome: AckOutcome
    result: SendResult | None = None


async def is_settled(engine: Engine, destination: str, control_id: str) -> bool | None:
    """True unless the message with that control id is being sent now; None if there is no such message."""
    for (name,) in await engine.fetch(_NOW_CALLED, destination=destination):
        destination = str(name)
    rows = await engine.fetch(_STATE, destination=destination, control_id=control_id)
    return str(rows[0][0]) != "sending" if rows else None


def store_ack(destination: str, control_id: str, ack: str, decide: Decide, now: int) -> Steps[StoredAck]:
    """Store the application's acknowledgement of a message, by its control id; `ack` is its code.

    `decide` determines the message's result. A message that should be sent again but cannot be holds its lane.
    """
    for (name,) in (yield from ask(_NOW_CALLED, destination=destination)):
        destination = str(name)
    yield from lock_destination(destination)
    rows = yield from ask(_NAMED, destination=destination, control_id=control_id)
    if not rows:
        return StoredAck("unmatched")
    *columns, last, accepted, has_body = rows[0]
    head = head_of(columns)
    if head.state in {"sending", "indeterminate"}:
        return StoredAck("too_early")
    result = decide(head)
    kept = result.attempt if has_body else None  # an answer is kept no longer than the message's bytes
    is_committed_again = result.state == "delivered" and result.accepted is None
    if head.state != "delivered" or accepted is not None or is_committed_again:
        outcome: AckOutcome = "repeated" if last == ack else "unmatched"
        yield from store_attempt(head.number, kept, head.state, outcome, ack)
        return StoredAck(outcome)
    if result.state == "delivered":
        yield from ask(_ACCEPTED, number=head.number, ack=ack, at=result.accepted)
        yield from store_attempt(head.number, kept, result.state, result.reason, ack)
        yield from free_lane_without(destination, head.study_id, [head.number])
        return StoredAck("written", result)
    newer = None
    if result.state == "queued":
        result, newer = yield from _as_it_can_be(destination, result, has_body=bool(has_body))
    closed = now if result.state in {"dead_letter", "superseded"} else None
    values = {"state": result.state, "reason": result.reason, "ack": ack, "due": result.due, "closed": closed}
    yield from ask(_REFUSED, number=head.number, **values, superseded_by=newer)
    yield from store_attempt(head.number, kept, result.state, result.reason, ack)
    if result.holds:
        yield from hold(destination, head.study_id, result.holds, head.number, now)
    elif result.reason == IN_LANE and (yield from free_refused_for_now(destination, head.study_id, result.due)):
        result = replace(result, state="queued", reason="")  # messages sent behind the first one are refused too
    return StoredAck("written", result)


def _as_it_can_be(destination: str, result: SendResult, *, has_body: bool) -> Steps[tuple[SendResult, int | None]]:
    """Check if a refused message can be sent again: its bytes are there, and nothing later of its lane was sent.

    If a newer message includes all of it, it is superseded; that message's number is returned beside the result.
    """
    lane = {"destination": destination, "study_id": result.head.study_id}
    ((newer,),) = yield from ask(_FIRST_THAT_SAYS_IT, number=result.head.number)
    if newer is not None:
        return replace(result, state="superseded", due=0), int(newer)
    if not has_body:
        return replace(result, state="held", due=0, holds=REFUSED), None
    if (yield from is_held(**lane)):
        return replace(result, state="held", reason=IN_LANE), None
    if (yield from ask(_FOLLOWING, **lane, number=result.head.number)):
        return replace(result, state="held", due=0, holds=FOR_NOW if result.is_for_now else REFUSED), None
    return result, None


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
_OLD_COPIES: Final = Statement(
    "SELECT number, study_id FROM message WHERE destination = :destination AND stale_until <= :now"
    " ORDER BY stale_until LIMIT :most"
)
_LOOK: Final = Statement(
    "SELECT filler_order_numbers, report_ids, report_id, kind, patient_id FROM message WHERE number = :number"
    " AND stale_until <= :now"
)
_NEWER_MESSAGES: Final = Statement(
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
    """Message of which a delayed copy may have arrived after a newer message."""

    number: int
    study_id: str


def take_over(lease: Lease, results: Sequence[SendResult], most: int, now: int, until: int) -> Steps[list[int]]:
    """Queue again, byte for byte, what the last lease holder may have sent; return the message numbers.

    `results` are results of messages that this process had in hand itself and could not store. The lane of a message in
    doubt more than `most` times is held, since the message may crash its holders. After `until`, nothing that holder
    sent can still arrive.

    Raises:
        LeaseLost: another process holds the lease.
    """
    yield from check_lease(lease)
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
    """Store that a message was acknowledged as delivered, whoever has the lease; False if it was settled before."""
    yield from lock_destination(destination)
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
    """Record that a message was written when the lease may have expired: it may arrive late, until `until`."""
    yield from ask(_LATE, number=number, until=until)


async def old_copies(engine: Engine, destination: str, now: int) -> list[StaleMessage]:
    """Return messages of which a delayed copy may have arrived, once no further copy can arrive."""
    rows = await engine.fetch(_OLD_COPIES, destination=destination, now=now, most=_MOST)
    return [StaleMessage(int(number), str(study_id)) for number, study_id in rows]


def resend_newer(lease: Lease, old_copy: StaleMessage, now: int, *, restates: bool) -> Steps[Repair]:
    """Send a lane's newer content again, if a delayed copy of an old message may have arrived after it.

    `restates` is True if the receiver replaces an order's text when it is sent again. If it would file the text twice,
    or the newer messages name another patient, the lane is held for an operator.

    Raises:
        LeaseLost: another process holds the lease.
    """
    yield from check_lease(lease)
    lane = {"destination": lease.destination, "study_id": old_copy.study_id}
    old_rows = yield from ask(_LOOK, number=old_copy.number, now=now)
    newer = yield from ask(_NEWER_MESSAGES, **lane, number=old_copy.number)
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


_MESSAGES_BACK: Final = Statement(
    "UPDATE message SET due = due - :by WHERE destination = :destination AND state IN ('queued', 'indeterminate')"
    " AND due > :now AND due < :never"
)
_STALE_BACK: Final = Statement(
    "UPDATE message SET stale_until = stale_until - :by WHERE destination = :destination AND stale_until > :now"
    " AND stale_until < :never"
)
_OUTBOX_BACK: Final = Statement(
    "UPDATE outbox SET due = due - :by WHERE destination = :destination AND state = 'waiting' AND due > :now"
)
_IN_FORCE_BACK: Final = Statement("UPDATE in_force SET since = since - :by WHERE name = :destination AND since > :now")


def set_back(lease: Lease, by: int, now: int) -> Steps[None]:
    """Shift scheduled retries back by that many microseconds, after the clock went back to `now`.

    Its settings stay in force since the same moment, in terms of the new clock.

    Raises:
        LeaseLost: another process holds the lease.
    """
    yield from check_lease(lease)
    yield from ask(_MESSAGES_BACK, destination=lease.destination, by=by, now=now, never=NEVER)
    yield from ask(_STALE_BACK, destination=lease.destination, by=by, now=now, never=NEVER)
    yield from ask(_OUTBOX_BACK, destination=lease.destination, by=by, now=now)
    yield from ask(_IN_FORCE_BACK, destination=lease.destination, by=by, now=now)
