"""History that is sent on purpose: rows of before a destination's start become waiting, spread over time.

Carries out no clause of a standard; decision D31. Rows of one study are due together, so that one message says them;
they go behind all that is new, and none of them is urgent any more.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from gateway.store.engine import Engine
from gateway.store.leases import locked
from gateway.store.resending import BEHIND
from gateway.store.statements import Statement, Steps, ask, ask_each

_STUDIES: Final = Statement(
    "SELECT study_id, count(*) FROM outbox WHERE destination = :destination AND state = 'before_start'"
    " AND signed >= :since AND signed < :until GROUP BY study_id ORDER BY min(signed), study_id LIMIT :most"
)
_LAST_DUE: Final = Statement(
    "SELECT due FROM outbox WHERE destination = :destination AND state = 'waiting' ORDER BY due DESC LIMIT 1"
)
_QUEUE: Final = Statement(
    "UPDATE outbox SET state = 'waiting', priority = :priority, is_critical = 0, due = :due"
    " WHERE study_id = :study_id AND destination = :destination AND state = 'before_start' AND signed >= :since"
    " AND signed < :until"
)
_UNDATED: Final = Statement(
    "SELECT count(*) FROM outbox WHERE destination = :destination AND state = 'before_start' AND signed IS NULL"
)


@dataclass(frozen=True, slots=True)
class Span:
    """What is sent of a destination's history: signed from `since` on and before `until`; `apart` between two studies.

    All in microseconds.
    """

    destination: str
    since: int
    until: int
    apart: int


def backloaded(span: Span, now: int, most: int) -> Steps[tuple[int, int]]:
    """Queue so many studies at most, behind what is queued already; how many studies, and reports and news of them."""
    yield from locked(span.destination)
    key = {"destination": span.destination, "since": span.since, "until": span.until}
    found = yield from ask(_STUDIES, **key, most=most)
    last = yield from ask(_LAST_DUE, destination=span.destination)
    start = max(now, int(last[0][0]) + span.apart if last else now)
    dues = [(str(study_id), start + place * span.apart) for place, (study_id, _) in enumerate(found)]
    yield from ask_each(_QUEUE, [{**key, "study_id": one, "due": due, "priority": BEHIND} for one, due in dues])
    return len(found), sum(int(count) for _, count in found)


async def undated(engine: Engine, destination: str) -> int:
    """How many rows of before the start no span has, since nothing says when they were signed."""
    return int((await engine.fetch(_UNDATED, destination=destination))[0][0])
