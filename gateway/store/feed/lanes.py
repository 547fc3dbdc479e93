"""Free a stopped lane (a study's messages to one destination): send its refused or unanswered messages again.

Carries out no clause of a standard; decisions D13, D32. An older message never follows a newer one that includes all of
it. A message whose bytes were deleted or altered cannot be sent.
Proved by tests/contract/test_ledger.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from gateway.store.database.statements import Statement, Steps, ask
from gateway.store.feed.body_hash import ALTERED
from gateway.store.feed.holding import free_lane
from gateway.store.feed.leases import locked
from gateway.store.feed.messages import NEVER
from gateway.store.feed.moves import CORRECTED, MERGE_MOVE, MERGED, MOVE, REFILE_RELEASED, REFILED, RELEASED

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
