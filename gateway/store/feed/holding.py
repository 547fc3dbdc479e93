"""Stop or free a lane (a study's messages to a destination) in a given transaction; lanes.py frees it for operators.

Carries out no clause of a standard; decisions D13, D32. A lane is held because of one message in it, its culprit, or
without a culprit when only an operator can free it.
Proved by tests/faults/test_ack_faults.py and tests/contract/test_messages.py.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from typing import Final

from gateway.store.database.statements import Statement, Steps, ask

_LANE: Final = Statement("SELECT reason, culprit FROM lane WHERE destination = :destination AND study_id = :study_id")
_LANES: Final = Statement(
    "SELECT study_id FROM lane WHERE destination = :destination AND study_id IN listed(:study_ids)"
)
_HOLD_LANE: Final = Statement(
    "INSERT INTO lane (destination, study_id, reason, culprit, since) VALUES (:destination, :study_id, :reason,"
    " :culprit, :now) ON CONFLICT (destination, study_id) DO UPDATE SET reason = excluded.reason,"
    " culprit = excluded.culprit WHERE lane.reason <> 'move'"
)
_HOLD_REST: Final = Statement(
    "UPDATE message SET state = 'held', reason = 'lane' WHERE destination = :destination AND study_id = :study_id"
    " AND state = 'queued'"
)
_FREE_LANE: Final = Statement("DELETE FROM lane WHERE destination = :destination AND study_id = :study_id")
_FREE_REST: Final = Statement(
    "UPDATE message SET state = 'queued', reason = '' WHERE destination = :destination AND study_id = :study_id"
    " AND state = 'held' AND reason = 'lane'"
)


def is_held(destination: str, study_id: str) -> Steps[bool]:
    """True if a lane is held."""
    return bool((yield from ask(_LANE, destination=destination, study_id=study_id)))


def lanes_held(destination: str, study_ids: Sequence[str]) -> Steps[set[str]]:
    """Return those of these studies whose lane to a destination is held."""
    rows = (yield from ask(_LANES, destination=destination, study_ids=json.dumps(study_ids))) if study_ids else ()
    return {str(study_id) for (study_id,) in rows}


def hold(destination: str, study_id: str, reason: str, culprit: int | None, now: int) -> Steps[None]:
    """Hold a lane, because of `culprit` if one is given."""
    lane = {"destination": destination, "study_id": study_id}
    yield from ask(_HOLD_LANE, **lane, reason=reason, culprit=culprit, now=now)
    yield from ask(_HOLD_REST, **lane)


def free_lane(destination: str, study_id: str) -> Steps[None]:
    """Free a lane, and queue its messages again."""
    lane = {"destination": destination, "study_id": study_id}
    yield from ask(_FREE_LANE, **lane)
    yield from ask(_FREE_REST, **lane)


def free_lane_without(destination: str, study_id: str, gone: Collection[int]) -> Steps[None]:
    """Free a lane if the message that it was held for is gone."""
    rows = yield from ask(_LANE, destination=destination, study_id=study_id) if gone else ()
    if rows and rows[0][1] in gone:
        yield from free_lane(destination, study_id)
