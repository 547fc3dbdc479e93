"""Circuit breaker of a destination, stored in the database: stops sending while the receiver refuses everything.

HL7 v2.5.1 §2.9.2.2 (AR: not about the content, the message may be accepted later); decision D32. It uses the columns of
a pause, so it outlives the process that opened it, and the next holder continues with it.
Proved by tests/gateway/feed/deliver/test_circuit_breaker.py.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final

from gateway.store.database.engine import Engine
from gateway.store.database.statements import Statement, Steps, ask, ask_each
from gateway.store.feed.holding import free_lane
from gateway.store.feed.leases import locked
from gateway.store.feed.messages import HEAD, NEVER, Head, head_of
from gateway.store.feed.states import BREAKER_REASONS, FOR_NOW

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
_QUEUE: Final = Statement(
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
    yield from ask_each(_QUEUE, [{"number": culprit, "due": due} for _, culprit in rows])
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
