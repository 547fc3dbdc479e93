"""Read the outbox rows (events) that wait for a message to a destination, and store how each row was settled.

Carries out no clause of a standard; decisions D7, D28, D31. The states are those of gateway/store/feed/states.py.
Proved by tests/contract/test_settings_seen.py.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from gateway.store.database.engine import Engine
from gateway.store.database.instants import micros
from gateway.store.database.statements import Statement, Steps, ask, ask_each
from gateway.store.feed.leases import Lease, held
from gateway.store.feed.states import OutboxState

ADD_CAUSE: Final = Statement(
    "INSERT INTO outbox (study_id, report_id, kind, content_version, destination, state, reason, is_move, is_critical,"
    " due, signed, decided) VALUES (:study_id, :report_id, :kind, :content_version, :destination, :state, :reason,"
    " :is_move, :is_critical, :due, :signed, :now)"
)
_DUE: Final = Statement(
    "SELECT study_id FROM outbox WHERE destination = :destination AND state = 'waiting' AND due <= :now"
    " ORDER BY due, number LIMIT :most"
)
_WAITING: Final = Statement(
    "SELECT study_id, number, report_id, kind, content_version, replay, priority, is_critical, is_move, due, signed,"
    " decided FROM outbox WHERE study_id IN listed(:study_ids) AND destination = :destination AND state = 'waiting'"
    " ORDER BY study_id, number LIMIT :most"
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
_WAITED: Final = Statement(
    "SELECT study_id FROM outbox WHERE destination = :destination AND state = 'held' AND reason = :reason"
    " AND decided <= :until ORDER BY number LIMIT :most"
)
_LOOK_AGAIN_AT: Final = Statement(
    "UPDATE outbox SET state = 'waiting', reason = '', due = :now, settled = NULL WHERE study_id IN listed(:study_ids)"
    " AND destination = :destination AND state = 'held' AND reason = :reason"
)
_HELD_FOR: Final = Statement(
    "SELECT study_id FROM outbox WHERE destination = :destination AND state = 'held' AND reason = :reason"
    " ORDER BY number"
)
_HELD_OF_STUDY: Final = Statement(
    "SELECT DISTINCT destination, reason FROM outbox WHERE study_id = :study_id AND state = 'held'"
    " ORDER BY destination, reason"
)
_MOST_OF_A_STUDY: Final = 1_000


@dataclass(frozen=True, slots=True)
class WaitingRow:
    """Outbox row to compose a message of; instants in microseconds, `is_move` as in `store.feed.moves`."""

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
class SettledRow:
    """Final state of an outbox row; `reason` is a code."""

    number: int
    state: OutboxState
    reason: str = ""


class Outbox:
    """Outbox rows for composing. Every method raises `StoreUnavailable`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def due(self, destination: str, now: datetime, most: int) -> list[str]:
        """Return the ids of studies with a due row, the longest due first."""
        rows = await self._engine.fetch(_DUE, destination=destination, now=micros(now), most=most)
        return list(dict.fromkeys(str(study_id) for (study_id,) in rows))

    async def waited(self, destination: str, reason: str, until: datetime, most: int) -> list[str]:
        """Return the ids of studies with a row held for that reason that was decided by then."""
        asked = {"destination": destination, "reason": reason, "until": micros(until), "most": most}
        return list(dict.fromkeys(str(study_id) for (study_id,) in await self._engine.fetch(_WAITED, **asked)))

    async def waiting(self, destination: str, study_ids: Sequence[str]) -> dict[str, list[WaitingRow]]:
        """Return all waiting rows of each study, in the order in which they were decided."""
        key = {"study_ids": json.dumps(study_ids), "destination": destination}
        rows_of: dict[str, list[WaitingRow]] = {study_id: [] for study_id in study_ids}
        rows = await self._engine.fetch(_WAITING, **key, most=_MOST_OF_A_STUDY * len(study_ids))
        for study_id, number, report_id, kind, version, replay, priority, *more in rows:
            row = WaitingRow(int(number), str(report_id), str(kind), str(version), int(replay), int(priority), *more)
            rows_of[str(study_id)].append(row)
        return rows_of


async def held_studies(engine: Engine, destination: str, reason: str) -> list[str]:
    """Return the ids of the studies of which a row is held at a destination for that reason."""
    return sorted({str(row[0]) for row in await engine.fetch(_HELD_FOR, destination=destination, reason=reason)})


async def held_rows_of(engine: Engine, study_id: str) -> list[tuple[str, str]]:
    """Return the destinations where a row of a study is held, with the reasons."""
    return [(str(name), str(reason)) for name, reason in await engine.fetch(_HELD_OF_STUDY, study_id=study_id)]


def settle(rows: Sequence[SettledRow], now: int) -> Steps[None]:
    """Store the final states of rows that waited or were held."""
    values = [{"number": one.number, "state": one.state, "reason": one.reason, "now": now} for one in rows]
    yield from ask_each(_SETTLE, values)


def retry_held(lease: Lease, reason: str, now: int) -> Steps[None]:
    """Return rows to the queue that were held for a reason which may be gone.

    Raises:
        LeaseLost: another process holds the lease.
    """
    yield from held(lease)
    yield from ask(_LOOK_AGAIN, destination=lease.destination, reason=reason, now=now)


def retry_held_of(lease: Lease, study_ids: Sequence[str], reason: str, now: int) -> Steps[None]:
    """Return the rows of some studies to the queue that were held for a reason which is gone.

    Raises:
        LeaseLost: another process holds the lease.
    """
    yield from held(lease)
    key = {"destination": lease.destination, "study_ids": json.dumps(study_ids)}
    yield from ask(_LOOK_AGAIN_AT, **key, reason=reason, now=now)
