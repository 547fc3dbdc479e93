"""Free a stopped lane (a study's messages to one destination), and open or close a destination's circuit breaker.

Carries out no clause of a standard; decisions D13, D32, D33. An older message never follows a newer one that includes
all of it. A message whose bytes were deleted or altered cannot be sent. The breaker stops sending while the receiver
refuses everything.
Proved by tests/contract/test_ledger.py and tests/gateway/feed/deliver/test_circuit_breaker.py.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from gateway.store.database.engine import Engine, Statement, Steps, ask, ask_each
from gateway.store.feed.leases import locked
from gateway.store.feed.messages import ALTERED, HEAD, NEVER, Head, free_lane, head_of
from gateway.store.feed.moves import CORRECTED, MERGE_MOVE, MERGED, MOVE, REFILE_RELEASED, REFILED, RELEASED
from gateway.store.feed.states import BREAKER_REASONS, FOR_NOW

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
    """Counts of a freed lane's messages: queued again, sent again because in doubt, superseded, or given up.

    `waiting` counts outbox rows that are composed now.
    """

    queued: int
    sent_again: int
    superseded: int
    given_up: int
    waiting: int

    @property
    def is_nothing(self) -> bool:
        """True if nothing of the lane was held."""
        return not (self.queued or self.sent_again or self.superseded or self.given_up or self.waiting)


def release_lane(destination: str, study_id: str, now: int, *, is_corrected: bool = False) -> Steps[FreedLane]:
    """Free a lane: its messages keep their bytes, and their attempts restart from 0; `now` is in microseconds.

    Of a move, what was sent about the other patient is withdrawn first, unless it was corrected by hand.
    """
    yield from locked(destination)
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
    """Return why a destination is paused or its breaker open, and since when (microseconds); else empty and 0.

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
    yield from locked(destination)
    is_new = bool((yield from ask(_OPEN, name=destination, reason=reason, now=now)))
    if is_new:
        yield from free_refused_for_now(destination)
    return is_new


def close_breaker(destination: str, now: int, reasons: Sequence[str] = BREAKER_REASONS) -> Steps[bool]:
    """Close the breaker if it is open for one of these reasons, and make refused messages due; False if it is not."""
    yield from locked(destination)
    is_closed = bool((yield from ask(_CLOSE, name=destination, reasons=json.dumps(reasons))))
    if is_closed:
        yield from free_refused_for_now(destination)
        yield from ask(_DUE_AT_ONCE, destination=destination, now=now)
    return is_closed


def free_refused_for_now(destination: str, study_id: str = "", due: int = 0) -> Steps[bool]:
    """Free the lanes, or one lane, held only because a message was refused for now; True if there are any.

    The attempts of their messages restart from 0. With `due`, the attempts stay, and the messages wait until then.
    """
    yield from locked(destination)
    rows = yield from ask(_LANES, destination=destination, reason=FOR_NOW)
    rows = [row for row in rows if study_id in ("", row[0])]
    yield from ask_each(_QUEUE_REFUSED, [{"number": culprit, "due": due} for _, culprit in rows])
    for lane, _ in rows:
        yield from free_lane(destination, str(lane))
    return bool(rows)


async def probe(engine: Engine, destination: str, now: int) -> Head | None:
    """Choose the message to probe with and make it due at `now`: critical first, then sent before, then the oldest.

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
