"""What is to be told to a destination: rows that were decided with the study, until messages were made of them.

Carries out no clause of a standard; decisions D7, D28, D31. The states are those of gateway/store/states.py.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from gateway.store.engine import Engine
from gateway.store.instants import micros
from gateway.store.intake import ADD_CAUSE, TOLD
from gateway.store.leases import Lease, held
from gateway.store.statements import Statement, Steps, Values, ask, ask_each
from gateway.store.states import OutboxState

_DUE: Final = Statement(
    "SELECT study_id FROM outbox WHERE destination = :destination AND state = 'waiting' AND due <= :now"
    " ORDER BY due, number LIMIT :most"
)
_WAITING: Final = Statement(
    "SELECT number, report_id, kind, content_version, replay, priority, is_critical, is_move, due, signed,"
    " decided FROM outbox WHERE study_id = :study_id AND destination = :destination AND state = 'waiting'"
    " ORDER BY number LIMIT :most"
)
_SETTLE: Final = Statement(
    "UPDATE outbox SET state = :state, reason = :reason, settled = :now"
    " WHERE number = :number AND state IN ('waiting', 'held')"
)
DUE_NOW: Final = Statement(
    "UPDATE outbox SET due = :now WHERE study_id = :study_id AND report_id = :report_id AND state = 'waiting'"
    " AND due > :now"
)
_LOOK_AGAIN: Final = Statement(
    "UPDATE outbox SET state = 'waiting', reason = '', due = :now, settled = NULL WHERE destination = :destination"
    " AND state = 'held' AND reason = :reason"
)
_UNTOLD: Final = Statement(
    "SELECT r.report_id FROM report r WHERE r.study_id = :study_id AND r.status = 'completed' AND NOT EXISTS"
    " (SELECT 1 FROM outbox o WHERE o.study_id = r.study_id AND o.report_id = r.report_id"
    " AND o.destination = :destination) ORDER BY r.report_id"
)
_UNTOLD_AFTER: Final = Statement(
    "SELECT r.report_id, r.study_id, CASE WHEN r.status = 'completed' AND NOT EXISTS"
    " (SELECT 1 FROM outbox o WHERE o.study_id = r.study_id AND o.report_id = r.report_id"
    " AND o.destination = :destination) THEN 1 ELSE 0 END FROM report r WHERE r.report_id > :after"
    " ORDER BY r.report_id LIMIT :most"
)
_PASSED_BY: Final = Statement(
    "SELECT o.number, o.study_id, o.report_id, o.kind, o.content_version, o.is_move, CASE WHEN o.replay = 0"
    " AND o.destination <> :destination AND o.kind NOT IN ('draft', 'draft_cancelled', 'replay') AND NOT EXISTS"
    " (SELECT 1 FROM outbox d WHERE d.study_id = o.study_id AND d.destination = :destination"
    " AND d.report_id = o.report_id AND d.content_version = o.content_version) THEN 1 ELSE 0 END"
    " FROM outbox o WHERE o.number > :after ORDER BY o.number LIMIT :most"
)
_LAST: Final = Statement("SELECT coalesce(max(number), 0) FROM outbox")
_ROUTED_LATER: Final = Statement(
    "UPDATE outbox SET state = 'merged', reason = 'routed-later', settled = :now WHERE study_id = :study_id"
    " AND report_id = :report_id AND destination = '' AND state IN ('unrouted', 'ignored')"
)
_MOST_OF_A_STUDY: Final = 1_000
_AT_A_TIME: Final = 500


@dataclass(frozen=True, slots=True)
class Waiting:
    """A row of which a message is to be made; instants in microseconds, `is_move` as gateway/store/moves.py has it."""

    number: int
    report_id: str
    kind: str
    content_version: str
    replay: int
    priority: int
    is_critical: bool
    is_move: int
    due: int
    signed: int | None
    decided: int = 0


@dataclass(frozen=True, slots=True)
class Settled:
    """What became of a row; `reason` is a code."""

    number: int
    state: OutboxState
    reason: str = ""


@dataclass(frozen=True, slots=True)
class PassedBy:
    """What happened to a report and a destination has no row of, since who took it in did not know the destination."""

    study_id: str
    report_id: str
    kind: str
    content_version: str
    is_move: bool


class Outbox:
    """The rows, as who makes messages of them sees them. Every method raises `StoreUnavailable`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def due(self, destination: str, now: datetime, most: int) -> list[str]:
        """The ids of studies of which a row is due, the longest due first."""
        rows = await self._engine.fetch(_DUE, destination=destination, now=micros(now), most=most)
        return list(dict.fromkeys(str(study_id) for (study_id,) in rows))

    async def waiting(self, destination: str, study_id: str) -> list[Waiting]:
        """All rows of a study that wait, in the order in which they were decided."""
        key = {"study_id": study_id, "destination": destination}
        rows = await self._engine.fetch(_WAITING, **key, most=_MOST_OF_A_STUDY)
        return [
            Waiting(int(number), str(report_id), str(kind), str(version), int(replay), int(priority), *more)
            for number, report_id, kind, version, replay, priority, *more in rows
        ]

    async def untold(self, destination: str, study_id: str) -> list[str]:
        """The ids of the signed reports of a study of which the destination has no row."""
        rows = await self._engine.fetch(_UNTOLD, study_id=study_id, destination=destination)
        return [str(report_id) for (report_id,) in rows]

    async def all_untold(self, destination: str) -> AsyncIterator[list[str]]:
        """The ids of studies with signed reports of which the destination has no row, a page of reports at a time."""
        after = ""
        while rows := await self._engine.fetch(_UNTOLD_AFTER, destination=destination, after=after, most=_AT_A_TIME):
            yield list(dict.fromkeys(str(study_id) for _, study_id, is_untold in rows if is_untold))
            after = str(rows[-1][0])

    async def last(self) -> int:
        """The number of the newest row."""
        return int((await self._engine.fetch(_LAST))[0][0])

    async def passed_by(self, destination: str, after: int) -> tuple[list[PassedBy], int]:
        """What passed a destination by, among a page of the rows behind that number; the number of the last of them."""
        rows = await self._engine.fetch(_PASSED_BY, destination=destination, after=after, most=_AT_A_TIME)
        found = [
            PassedBy(str(study_id), str(report_id), str(kind), str(version), bool(is_move))
            for _, study_id, report_id, kind, version, is_move, is_passed_by in rows
            if is_passed_by
        ]
        return found, int(rows[-1][0]) if rows else after

    async def told(self, study_id: str) -> dict[str, set[str]]:
        """By destination the ids of the reports of a study that it was, or is about to be, told of."""
        found: dict[str, set[str]] = {}
        for destination, report_id in await self._engine.fetch(TOLD, study_id=study_id):
            found.setdefault(str(destination), set()).add(str(report_id))
        return found


def settle(rows: Sequence[Settled], now: int) -> Steps[None]:
    """Note what became of rows that waited or were held."""
    values = [{"number": one.number, "state": one.state, "reason": one.reason, "now": now} for one in rows]
    yield from ask_each(_SETTLE, values)


def look_again(lease: Lease, reason: str, now: int) -> Steps[None]:
    """Have messages made of the rows that were held for a reason which may be gone.

    Raises:
        LeaseLost: somebody else sends there by now.
    """
    yield from held(lease)
    yield from ask(_LOOK_AGAIN, destination=lease.destination, reason=reason, now=now)


def route_later(study_id: str, rows: Sequence[Values], now: int) -> Steps[int]:
    """Add rows of a destination that was not there when the study was taken in; how many."""
    yield from ask_each(ADD_CAUSE, [{**one, "study_id": study_id, "now": now} for one in rows])
    taken = [one["report_id"] for one in rows if one["state"] != "excluded"]
    yield from ask_each(_ROUTED_LATER, [{"study_id": study_id, "report_id": one, "now": now} for one in taken])
    return len(rows)
