"""Backload: queue reports from before a destination's start date for sending, spread over time.

Carries out no clause of a standard; decision D31. The rows of one study are due together, so that one message covers
them. They go behind everything new, and none of them is urgent.
Proved by tests/contract/test_to_send.py and tests/gateway/cli/test_feed.py.
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
# No message with the report was delivered or is open, such as an addendum's message that includes it
_LACKS: Final = (
    " AND NOT EXISTS (SELECT 1 FROM message m WHERE m.destination = :destination AND m.study_id = outbox.study_id"
    " AND m.is_draft = 0 AND m.state IN ('queued', 'sending', 'indeterminate', 'held', 'delivered')"
    " AND m.report_ids LIKE '%\"' || outbox.report_id || '\"%')"
)
_WHICH: Final = {False: "", True: _LACKS}  # all rows of a span, or only those that no message covers
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
    """Span of a destination's history to send: signed from `since` on and before `until`, one study every `apart`.

    All in microseconds. With `missing`, only reports that no message to the destination covers.
    """

    destination: str
    since: int
    until: int
    apart: int
    missing: bool = False


def queue_backload(span: BackloadSpan, now: int, most: int) -> Steps[tuple[int, int]]:
    """Queue up to `most` studies behind the ones queued already; return the counts of studies and of outbox rows."""
    yield from locked(span.destination)
    key = {"destination": span.destination, "since": span.since, "until": span.until}
    studies = yield from ask(_STUDIES[span.missing], **key, most=most)
    last = yield from ask(_LAST_DUE, destination=span.destination)
    start = max(now, int(last[0][0]) + span.apart if last else now)
    dues = [(str(study_id), start + place * span.apart) for place, (study_id, _) in enumerate(studies)]
    yield from ask_each(
        _QUEUE[span.missing], [{**key, "study_id": one, "due": due, "priority": BEHIND} for one, due in dues]
    )
    return len(studies), sum(int(count) for _, count in studies)


async def to_backload(engine: Engine, span: BackloadSpan) -> ToSend:
    """Count the reports and studies that a span would send."""
    key = {"destination": span.destination, "since": span.since, "until": span.until}
    ((reports, studies, critical, oldest, newest),) = await engine.fetch(_COUNT[span.missing], **key)
    return ToSend(int(studies), int(critical), oldest, newest, int(reports), int(studies))


async def undated(engine: Engine, destination: str) -> int:
    """Count the rows from before the start that fall in no span, since their signing time is unknown."""
    return int((await engine.fetch(_UNDATED, destination=destination))[0][0])
