"""Read a destination's ledger (record of all messages): counts by state, stopped studies, messages given up.

Carries out no clause of a standard; decisions D31, D32. Ids, codes, counts and instants (microseconds), no text.
Proved by tests/contract/test_ledger.py and tests/gateway/cli/test_feed.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from gateway.store.database.engine import Engine
from gateway.store.database.statements import Row, Statement
from gateway.store.feed.moves import IS_OWED
from gateway.store.feed.states import OPEN_MESSAGES

_SECONDS: Final = 60.0
_PRIORITIES: Final = (0, 1, 2)
_BY_STATE: Final = Statement(
    "SELECT state, count(*) FROM message WHERE destination = :destination GROUP BY state ORDER BY state"
)
# Rows that stood under two names before a renaming count once (gateway/store/feed/renaming.py)
_ROWS_BY_STATE: Final = Statement(
    "SELECT state, count(*) FROM outbox WHERE destination = :destination AND (state NOT IN ('merged', 'left')"
    " OR reason <> 'renamed') GROUP BY state ORDER BY state"
)
_REASONS: Final = Statement(
    "SELECT reason, count(*) FROM outbox WHERE destination = :destination AND state = :state"
    " GROUP BY reason ORDER BY reason"
)
_OLDEST: Final = Statement(
    "SELECT made, reason FROM message WHERE destination = :destination AND state = :state AND priority = :priority"
    " ORDER BY number LIMIT 1"
)
_LANES: Final = Statement(
    "SELECT study_id, reason, since FROM lane WHERE destination = :destination ORDER BY since, study_id LIMIT :most"
)
_HELD_ROWS: Final = Statement(
    "SELECT study_id, reason, decided, is_critical FROM outbox WHERE destination = :destination AND state = :state"
    " ORDER BY number LIMIT :most"
)
_LANE_COUNT: Final = Statement("SELECT count(*) FROM lane WHERE destination = :destination")
# A dead letter that a newer message repeats, or that failed again, no longer counts
IS_LAST: Final = (
    " AND NOT EXISTS (SELECT 1 FROM message n WHERE n.destination = m.destination AND n.study_id = m.study_id"
    f" AND n.restates = m.restates AND n.number > m.number AND n.is_whole = 1){IS_OWED}"
)
_HELD_FOR: Final = Statement(
    "SELECT study_id FROM lane WHERE destination = :destination AND reason = :reason AND study_id > :after"
    " ORDER BY study_id LIMIT :most"
)
_DEAD: Final = Statement(
    "SELECT m.number, m.study_id, m.report_id, m.kind, m.reason, m.is_critical, coalesce(m.closed, m.made)"
    " FROM message m WHERE m.destination = :destination AND m.state = 'dead_letter' AND m.number > :after"
    " AND m.reason NOT IN ('withdrawn-unsent', 'seen-there')"
    f"{IS_LAST} ORDER BY m.number LIMIT :most"
)
_AT_A_TIME: Final = 500


@dataclass(frozen=True, slots=True)
class HeldLane:
    """Study held at a destination, with the reason and the start."""

    study_id: str
    reason: str
    since: int


@dataclass(frozen=True, slots=True)
class HeldRow:
    """Report that no message is composed of: its study, the reason, the start, and whether it is a critical result."""

    study_id: str
    reason: str
    since: int
    is_critical: bool


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """Message that was given up and not replaced. `reason` is a code, `rule-…` for a rule of the mapping."""

    number: int
    study_id: str
    report_id: str
    kind: str
    reason: str
    is_critical: bool
    since: int


@dataclass(frozen=True, slots=True)
class QueueCounts:
    """Counts of a destination by state; `held_for` counts held outbox rows by reason.

    `oldest` is when the oldest open message was made. `lanes` are the longest held of `lane_count` lanes, `held_rows`
    the longest held rows.
    """

    messages: dict[str, int]
    rows: dict[str, int]
    held_for: dict[str, int]
    oldest: int | None
    lanes: tuple[HeldLane, ...]
    lane_count: int
    held_rows: tuple[HeldRow, ...] = ()


async def stock(engine: Engine, destination: str, most: int) -> QueueCounts:
    """Count a destination's rows and messages, with up to `most` held lanes and rows; `''` means no destination."""
    key = {"destination": destination}
    lanes = await engine.fetch(_LANES, **key, most=most)
    held = await engine.fetch(_HELD_ROWS, **key, state="held", most=most)
    return QueueCounts(
        messages=_counts(await _slow(engine, _BY_STATE, **key)),
        rows=_counts(await _slow(engine, _ROWS_BY_STATE, **key)),
        held_for=_counts(await _slow(engine, _REASONS, **key, state="held")),
        oldest=min((made for made, _ in await oldest(engine, destination)), default=None),
        lanes=tuple(HeldLane(str(study_id), str(reason), int(since)) for study_id, reason, since in lanes),
        lane_count=int((await engine.fetch(_LANE_COUNT, **key))[0][0]),
        held_rows=tuple(HeldRow(str(row[0]), str(row[1]), int(row[2]), bool(row[3])) for row in held),
    )


async def unrouted_before_start(engine: Engine) -> int:
    """Count the rows that no destination takes and that were signed before the start of each."""
    reasons = _counts(await _slow(engine, _REASONS, destination="", state="unrouted"))
    return reasons.get("before_start", 0)


async def dead_letters(engine: Engine, destination: str) -> list[DeadLetter]:
    """Return the messages that were given up and not replaced since, oldest first."""
    letters: list[DeadLetter] = []
    after = 0
    while rows := await _slow(engine, _DEAD, destination=destination, after=after, most=_AT_A_TIME):
        letters += [_dead_letter(row) for row in rows]
        after = letters[-1].number
    return letters


async def held_for(engine: Engine, destination: str, reason: str) -> list[str]:
    """Return the ids of the studies whose lane to a destination is held for that reason."""
    study_ids: list[str] = []
    key = {"destination": destination, "reason": reason, "most": _AT_A_TIME}
    while rows := await engine.fetch(_HELD_FOR, **key, after=study_ids[-1] if study_ids else ""):
        study_ids += [str(study_id) for (study_id,) in rows]
    return study_ids


async def oldest(engine: Engine, destination: str) -> list[tuple[int, str]]:
    """Return the oldest open message of each state and priority: when it was made, and the reason of its last failure.

    Each query uses an index, which one statement for all of them could not.
    """
    return [
        (int(made), str(reason))
        for state in OPEN_MESSAGES
        for priority in _PRIORITIES
        for made, reason in await engine.fetch(_OLDEST, destination=destination, state=state, priority=priority)
    ]


async def _slow(engine: Engine, statement: Statement, **values: str | int) -> Sequence[Row]:
    """Return the rows of a statement that may count many rows."""
    compiled = statement.compiled(engine.dialect)
    return await engine.scan(compiled.sql, compiled.positional(values), _SECONDS)


def _counts(rows: Sequence[Row]) -> dict[str, int]:
    return {str(name): int(count) for name, count in rows}


def _dead_letter(row: Row) -> DeadLetter:
    number, study_id, report_id, kind, reason, is_critical, since = row
    names = str(study_id), str(report_id), str(kind), str(reason)
    return DeadLetter(int(number), *names, bool(is_critical), int(since))
