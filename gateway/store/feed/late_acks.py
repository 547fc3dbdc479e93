"""Store a late application acknowledgement, matched to the sent message by control id (MSH-10).

Carries out no clause of a standard; decision D32. Any process that receives one may store it, with or without a lease.
Proved by tests/contract/test_late_acks.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, Literal

from gateway.store.database.engine import Engine
from gateway.store.database.statements import Statement, Steps, ask
from gateway.store.feed.attempts import store_attempt
from gateway.store.feed.breaker import free_refused_for_now
from gateway.store.feed.holding import free_lane_without, hold, is_held
from gateway.store.feed.leases import locked
from gateway.store.feed.messages import HEAD, IN_LANE, REFUSED, Head, SendResult, head_of
from gateway.store.feed.states import FOR_NOW

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
_SAYS_IT: Final = Statement(
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
    """Outcome of an acknowledgement, with the result of its message if it was `written`.

    `repeated`: it was stored before. `unmatched`: no message waits for it. `too_early`: its message is in hand or in
    doubt, and the acknowledgement cannot be applied until that is over.
    """

    outcome: AckOutcome
    result: SendResult | None = None


async def is_settled(engine: Engine, destination: str, control_id: str) -> bool | None:
    """True if the message with that control id is not in hand; None if there is none."""
    for (name,) in await engine.fetch(_NOW_CALLED, destination=destination):
        destination = str(name)
    rows = await engine.fetch(_STATE, destination=destination, control_id=control_id)
    return str(rows[0][0]) != "sending" if rows else None


def store_ack(destination: str, control_id: str, ack: str, decide: Decide, now: int) -> Steps[StoredAck]:
    """Store the application's acknowledgement of the message with that control id; `ack` is its code.

    `decide` determines the message's result. A message that should be sent again but cannot be holds its lane.
    """
    for (name,) in (yield from ask(_NOW_CALLED, destination=destination)):
        destination = str(name)
    yield from locked(destination)
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
    """Check that a refused message can be sent again: its bytes are there, and nothing of its lane was sent after it.

    If a newer message includes all of it, it is superseded; that message's number is returned beside the result.
    """
    lane = {"destination": destination, "study_id": result.head.study_id}
    ((newer,),) = yield from ask(_SAYS_IT, number=result.head.number)
    if newer is not None:
        return replace(result, state="superseded", due=0), int(newer)
    if not has_body:
        return replace(result, state="held", due=0, holds=REFUSED), None
    if (yield from is_held(**lane)):
        return replace(result, state="held", reason=IN_LANE), None
    if (yield from ask(_FOLLOWING, **lane, number=result.head.number)):
        return replace(result, state="held", due=0, holds=FOR_NOW if result.is_for_now else REFUSED), None
    return result, None
