"""History that is sent on purpose: rows of before a destination's start become waiting, spread over time.

Carries out no clause of a standard; decision D31. Rows of one study are due together, so that one message says them;
they go behind all that is new, and none of them is urgent any more.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from gateway.store.database.engine import Engine
from gateway.store.database.statements import Statement, Steps, ask, ask_each
from gateway.store.feed.leases import locked
from gateway.store.feed.resending import BEHIND
from gateway.store.feed.to_send import ToSend

_IN_SPAN: Final = "destination = :destination AND state = 'before_start' AND signed >= :since AND signed < :until"
# Nothing that has it is there, or on its way: such as an addendum that took it along
_LACKS: Final = (
    " AND NOT EXISTS (SELECT 1 FROM message m WHERE m.destination = :destination AND m.study_id = outbox.study_id"
    " AND m.is_draft = 0 AND m.state IN ('queued', 'sending', 'indeterminate', 'held', 'delivered')"
    " AND m.report_ids LIKE '%\"' || outbox.report_id || '\"%')"
)
_WHICH: Final = {False: "", True: _LACKS}  # all of a span, or what is missing in it
_STUDIES: Final = {
    is_missing: Statement(
        f"SELECT study_id, count(*) FROM outbox WHERE {_IN_SPAN}{which} GROUP BY study_id"  # noqa: S608 (constants)
        " ORDER BY min(signed), study_id LIMIT :most"
    )
    for is_missing, which in _WHICH.items()
}
_COUNT: Final = {
    is_missing: Statement(
        "SELECT count(*), count(DISTINCT study_id), coalesce(sum(is_critical), 0), min(signed), max(signed)"  # noqa: S608
        f" FROM outbox WHERE {_IN_SPAN}{which}"
    )
    for is_missing, which in _WHICH.items()
}
_LAST_DUE: Final = Statement(
    "SELECT due FROM outbox WHERE destination = :destination AND state = 'waiting' ORDER BY due DESC LIMIT 1"
)
_QUEUE: Final = {
    is_missing: Statement(
        "UPDATE outbox SET state = 'waiting', priority = :priority, is_critical = 0, due = :due"  # noqa: S608 (constants)
        f" WHERE study_id = :study_id AND {_IN_SPAN}{which}"
    )
    for is_missing, which in _WHICH.items()
}
_UNDATED: Final = Statement(
    "SELECT count(*) FROM outbox WHERE destination = :destination AND state = 'before_start' AND signed IS NULL"
)


@dataclass(frozen=True, slots=True)
class BackloadSpan:
    """What is sent of a destination's history: signed from `since` on and before `until`; `apart` between two studies.

    All in microseconds. With `missing` only what no message to the destination has yet.
    """

    destination: str
    since: int
    until: int
    apart: int
    missing: bool = False


def backloaded(span: BackloadSpan, now: int, most: int) -> Steps[tuple[int, int]]:
    """Queue so many studies at most, behind what is queued already; how many studies, and reports and news of them."""
    yield from locked(span.destination)
    key = {"destination": span.destination, "since": span.since, "until": span.until}
    found = yield from ask(_STUDIES[span.missing], **key, most=most)
    last = yield from ask(_LAST_DUE, destination=span.destination)
    start = max(now, int(last[0][0]) + span.apart if last else now)
    dues = [(str(study_id), start + place * span.apart) for place, (study_id, _) in enumerate(found)]
    yield from ask_each(
        _QUEUE[span.missing], [{**key, "study_id": one, "due": due, "priority": BEHIND} for one, due in dues]
    )
    return len(found), sum(int(count) for _, count in found)


async def to_backload(engine: Engine, span: BackloadSpan) -> ToSend:
    """Count what a span would send."""
    key = {"destination": span.destination, "since": span.since, "until": span.until}
    ((reports, studies, critical, oldest, newest),) = await engine.fetch(_COUNT[span.missing], **key)
    return ToSend(int(studies), int(critical), oldest, newest, int(reports), int(studies))


async def undated(engine: Engine, destination: str) -> int:
    """How many rows of before the start no span has, since nothing says when they were signed."""
    return int((await engine.fetch(_UNDATED, destination=destination))[0][0])
