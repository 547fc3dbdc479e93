"""Count messages and reports that wait to be sent to a destination: all, critical results, oldest and newest.

Carries out no clause of a standard; decision D37. `tried` runs work, counts, and rolls it back.
Proved by tests/contract/test_to_send.py.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import Final, TypeVar

from gateway.store.database.engine import Engine
from gateway.store.database.statements import Row, Statement, Steps, Work, ask
from gateway.store.feed.messages import NEVER

Result = TypeVar("Result")
_SUMS: Final = "count(*), coalesce(sum(is_critical), 0), min(coalesce(signed, {0})), max(coalesce(signed, {0}))"
_MADE: Final = (
    f"SELECT {_SUMS.format('made')} FROM message WHERE destination = :destination"  # noqa: S608 (constants)
    " AND state IN ('queued', 'sending', 'indeterminate') AND due < :never"
)
_TO_BE_MADE: Final = (
    f"SELECT {_SUMS.format('decided')} FROM outbox WHERE destination = :destination AND state = 'waiting'"  # noqa: S608
)
_PARTS: Final = {"made": _MADE, "to be made": _TO_BE_MADE}
_ALL: Final = {name: Statement(one) for name, one in _PARTS.items()}
_OF_STUDY: Final = {name: Statement(f"{one} AND study_id = :study_id") for name, one in _PARTS.items()}


@dataclass(frozen=True, slots=True)
class ToSend:
    """Counts of messages, of reports to compose, and of critical ones among both; `studies` 0 means not counted.

    `oldest` and `newest` are when they were signed, or else made, in microseconds.
    """

    messages: int = 0
    critical: int = 0
    oldest: int | None = None
    newest: int | None = None
    reports: int = 0
    studies: int = 0

    def __add__(self, other: ToSend) -> ToSend:
        """Add two counts."""
        moments = [one for one in (self.oldest, self.newest, other.oldest, other.newest) if one is not None]
        return ToSend(
            self.messages + other.messages,
            self.critical + other.critical,
            min(moments, default=None),
            max(moments, default=None),
            self.reports + other.reports,
            self.studies + other.studies,
        )


class _Undone(Exception):
    """Ends work that is only tried."""


async def tried(engine: Engine, work: Work[Result]) -> Result:
    """Return the result that the work would have, and roll it back."""
    results: list[Result] = []

    def steps() -> Steps[None]:
        results[:] = [(yield from work())]
        raise _Undone

    with suppress(_Undone):
        await engine.do(steps)
    return results[0]


def to_send(destination: str, study_id: str | None = None) -> Steps[ToSend]:
    """Count what waits to be sent, of one study if a study is given."""
    key = {"destination": destination, "never": NEVER, "study_id": study_id or ""}
    total = ToSend()
    for statement in (_ALL if study_id is None else _OF_STUDY).values():
        total += _summed((yield from ask(statement, **key))[0])
    return total


def _summed(row: Row) -> ToSend:
    count, critical, oldest, newest = row
    return ToSend(int(count), int(critical), oldest, newest)
