"""What the ledger of the feed says of a destination: how much stands how, what is held, what was given up.

Carries out no clause of a standard; decisions D31, D32. Ids, codes, counts and instants (microseconds), no text.
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
# What stood under two names before one became the other counts once (gateway/store/feed/renaming.py)
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
# One that a newer message says again, or that is given up anew, is no longer what stands in the way
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
    """A study of which nothing is sent to a destination, why, and since when."""

    study_id: str
    reason: str
    since: int


@dataclass(frozen=True, slots=True)
class HeldRow:
    """A report of which no message is made: its study, why, since when, and whether it is a critical result."""

    study_id: str
    reason: str
    since: int
    is_critical: bool


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message that was given up and that none has taken the place of; `reason` is a code, `rule-…` of a rule."""

    number: int
    study_id: str
    report_id: str
    kind: str
    reason: str
    is_critical: bool
    since: int


@dataclass(frozen=True, slots=True)
class Stock:
    """The counts of a destination by state; `held_for` are the reasons of rows of which no message is made.

    `oldest` is when the oldest message that is still to arrive was made; `lanes` are the longest held of `lane_count`,
    `held_rows` the longest held of those rows.
    """

    messages: dict[str, int]
    rows: dict[str, int]
    held_for: dict[str, int]
    oldest: int | None
    lanes: tuple[HeldLane, ...]
    lane_count: int
    held_rows: tuple[HeldRow, ...] = ()


async def stock(engine: Engine, destination: str, most: int) -> Stock:
    """Count how a destination stands, with `most` held lanes and rows; the name `''` is that of no destination."""
    key = {"destination": destination}
    lanes = await engine.fetch(_LANES, **key, most=most)
    held = await engine.fetch(_HELD_ROWS, **key, state="held", most=most)
    return Stock(
        messages=_counts(await _slow(engine, _BY_STATE, **key)),
        rows=_counts(await _slow(engine, _ROWS_BY_STATE, **key)),
        held_for=_counts(await _slow(engine, _REASONS, **key, state="held")),
        oldest=min((made for made, _ in await oldest(engine, destination)), default=None),
        lanes=tuple(HeldLane(str(study_id), str(reason), int(since)) for study_id, reason, since in lanes),
        lane_count=int((await engine.fetch(_LANE_COUNT, **key))[0][0]),
        held_rows=tuple(HeldRow(str(row[0]), str(row[1]), int(row[2]), bool(row[3])) for row in held),
    )


async def unrouted_before_start(engine: Engine) -> int:
    """Count the rows that no destination takes and that are of before the start of each."""
    found = _counts(await _slow(engine, _REASONS, destination="", state="unrouted"))
    return found.get("before_start", 0)


async def dead_letters(engine: Engine, destination: str) -> list[DeadLetter]:
    """What was given up and not made good since, the oldest first."""
    found: list[DeadLetter] = []
    after = 0
    while rows := await _slow(engine, _DEAD, destination=destination, after=after, most=_AT_A_TIME):
        found += [_dead_letter(row) for row in rows]
        after = found[-1].number
    return found


async def held_for(engine: Engine, destination: str, reason: str) -> list[str]:
    """The ids of the studies of which nothing is sent to a destination for that reason."""
    found: list[str] = []
    key = {"destination": destination, "reason": reason, "most": _AT_A_TIME}
    while rows := await engine.fetch(_HELD_FOR, **key, after=found[-1] if found else ""):
        found += [str(study_id) for (study_id,) in rows]
    return found


async def oldest(engine: Engine, destination: str) -> list[tuple[int, str]]:
    """Of each state and priority the oldest message that is still to arrive: when it was made, and what it failed by.

    Each is found by an index, which no one statement for all of them would be.
    """
    return [
        (int(made), str(reason))
        for state in OPEN_MESSAGES
        for priority in _PRIORITIES
        for made, reason in await engine.fetch(_OLDEST, destination=destination, state=state, priority=priority)
    ]


async def _slow(engine: Engine, statement: Statement, **values: str | int) -> Sequence[Row]:
    """The rows of a statement that counts what may be much."""
    compiled = statement.compiled(engine.dialect)
    return await engine.scan(compiled.sql, compiled.positional(values), _SECONDS)


def _counts(rows: Sequence[Row]) -> dict[str, int]:
    return {str(name): int(count) for name, count in rows}


def _dead_letter(row: Row) -> DeadLetter:
    number, study_id, report_id, kind, reason, is_critical, since = row
    names = str(study_id), str(report_id), str(kind), str(reason)
    return DeadLetter(int(number), *names, bool(is_critical), int(since))
