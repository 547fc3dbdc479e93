"""Replay: queue reports to be sent again in the present state; read messages and insert rows for as_sent.py.

Carries out no clause of a standard; decision D35. Each replay of a report to a destination has the next number, and so
a control id of its own.
Proved by tests/contract/test_ledger.py.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from gateway.store.database.engine import Engine
from gateway.store.database.statements import Row, Statement, Steps, ask, ask_each
from gateway.store.feed.body_hash import is_as_made
from gateway.store.feed.leases import locked
from gateway.store.feed.states import OPEN_MESSAGES

USUAL: Final = 1
BEHIND: Final = 2  # history, or a large plan: everything new goes first
_AT_A_TIME: Final = 500
# A parameter for a column has the column's type; in a select list it needs a cast
_REPLAY: Final = Statement(
    "INSERT INTO outbox (study_id, report_id, kind, content_version, destination, state, reason, is_move, is_critical,"
    " due, priority, signed, decided, settled, replay) SELECT CAST(:study_id AS TEXT), CAST(:report_id AS TEXT),"
    " 'replay', CAST(:content_version AS TEXT), CAST(:destination AS TEXT), CAST(:state AS TEXT), '', 0,"
    " CAST(:is_critical AS BIGINT), CAST(:now AS BIGINT), CAST(:priority AS BIGINT), CAST(:signed AS BIGINT),"
    " CAST(:now AS BIGINT), CAST(:settled AS BIGINT), coalesce(max(o.replay), 0) + 1 FROM outbox o"
    " WHERE o.study_id = :study_id AND o.destination = :destination AND o.report_id = :report_id"
    " RETURNING number, replay"
)
_SAID: Final = Statement(
    "UPDATE outbox SET state = 'merged', reason = 'replayed', settled = :now WHERE study_id = :study_id"
    " AND report_id = :report_id AND state IN ('unrouted', 'ignored', 'before_start', 'excluded', 'planned', 'to_stop',"
    " 'left') AND destination IN ('', :destination)"
)
_STUDY_OF: Final = Statement("SELECT study_id FROM report WHERE report_id = :report_id")
_SIGNED: Final = Statement(
    "SELECT signed, report_id, study_id FROM report WHERE signed >= :since AND signed < :until AND status = 'completed'"
    " AND (signed > :after OR report_id > :report_id) ORDER BY signed, report_id LIMIT :most"
)
_TAKEN: Final = Statement(
    "SELECT report_ids FROM message WHERE destination = :destination AND study_id = :study_id AND is_draft = 0"
    " AND state = 'delivered'"
)
_OF_LANE: Final = Statement(
    "SELECT number, report_id, kind, content_version, restates, filler_order_numbers, report_ids, patient_id, is_whole,"
    " is_draft, is_critical, signed, state, sent, body_hash, (SELECT b.body FROM message_body b"
    " WHERE b.number = message.number) FROM message WHERE destination = :destination AND study_id = :study_id"
    " ORDER BY number"
)
_TO_BE_MADE: Final = Statement(
    "SELECT 1 FROM outbox WHERE study_id = :study_id AND destination = :destination AND state IN ('waiting', 'held')"
    " LIMIT 1"
)


@dataclass(frozen=True, slots=True)
class Resend:
    """Report to send again in its present state; `signed` in microseconds."""

    study_id: str
    report_id: str
    content_version: str
    is_critical: bool
    priority: int
    signed: int | None


@dataclass(frozen=True, slots=True)
class LaneMessage:
    """Message of a lane as it was made. `body` is None once its bytes were deleted.

    `is_altered` is True if the bytes differ from those that were made.
    """

    number: int
    report_id: str
    kind: str
    content_version: str
    restates: str
    filler_order_numbers: tuple[str, ...]
    report_ids: tuple[str, ...]
    patient_id: str
    is_whole: bool
    is_draft: bool
    is_critical: bool
    signed: int | None
    state: str
    was_sent: bool
    body: bytes | None
    is_altered: bool

    @property
    def is_open(self) -> bool:
        """True while the message is not settled."""
        return self.state in OPEN_MESSAGES


async def study_of(engine: Engine, report_id: str) -> str | None:
    """Return the id of a report's study."""
    rows = await engine.fetch(_STUDY_OF, report_id=report_id)
    return str(rows[0][0]) if rows else None


async def signed_within(engine: Engine, since: int, until: int) -> AsyncIterator[tuple[str, str]]:
    """Yield report id and study id of stored reports signed from `since` on and before `until`, in order."""
    after, report_id = since, ""
    span = {"until": until, "most": _AT_A_TIME}
    while rows := await engine.fetch(_SIGNED, **span, since=after, after=after, report_id=report_id):
        for _, signed_id, study_id in rows:
            yield str(signed_id), str(study_id)
        after, report_id = int(rows[-1][0]), str(rows[-1][1])


async def accepted_reports(engine: Engine, destination: str, study_id: str) -> set[str]:
    """Return the ids of a study's reports that a destination took at least once."""
    rows = await engine.fetch(_TAKEN, destination=destination, study_id=study_id)
    return {report_id for (listed,) in rows for report_id in json.loads(listed)}


def queue_replays(destination: str, resends: Sequence[Resend], now: int) -> Steps[None]:
    """Queue replays of reports in their present state; rows that kept a report from being sent are settled."""
    yield from locked(destination)
    for resend in resends:
        yield from ask(_REPLAY, **_columns(destination, resend, now), state="waiting", settled=None)
    reports = [{"study_id": one.study_id, "report_id": one.report_id} for one in resends]
    yield from ask_each(_SAID, [{**one, "destination": destination, "now": now} for one in reports])


def insert_replay_row(destination: str, resend: Resend, now: int) -> Steps[tuple[int, int]]:
    """Insert the outbox row for an as-sent replay; return its number and the replay count."""
    rows = yield from ask(_REPLAY, **_columns(destination, resend, now), state="rendered", settled=now)
    return int(rows[0][0]), int(rows[0][1])


def lane(destination: str, study_id: str) -> Steps[list[LaneMessage]]:
    """Return all messages of a lane, in order."""
    rows = yield from ask(_OF_LANE, destination=destination, study_id=study_id)
    return [_stored(row) for row in rows]


def is_to_be_made(destination: str, study_id: str) -> Steps[bool]:
    """True if a message of the study is still to be composed for a destination."""
    return bool((yield from ask(_TO_BE_MADE, destination=destination, study_id=study_id)))


def _columns(destination: str, resend: Resend, now: int) -> dict[str, Any]:
    return {
        "destination": destination,
        "study_id": resend.study_id,
        "report_id": resend.report_id,
        "content_version": resend.content_version,
        "is_critical": int(resend.is_critical),
        "priority": resend.priority,
        "signed": resend.signed,
        "now": now,
    }


def _stored(row: Row) -> LaneMessage:
    number, report_id, kind, version, restates, numbers, reports, patient_id, *more = row
    is_whole, is_draft, is_critical, signed, state, sent, kept, body = more
    return LaneMessage(
        int(number),
        str(report_id),
        str(kind),
        str(version),
        str(restates),
        tuple(json.loads(numbers)),
        tuple(json.loads(reports)),
        str(patient_id),
        bool(is_whole),
        bool(is_draft),
        bool(is_critical),
        signed,
        str(state),
        sent is not None,
        None if body is None else bytes(body),
        body is not None and not is_as_made(body, kept),
    )
