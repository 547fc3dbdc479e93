"""Alerts that stand: the rows that each is about, who has heard of which, and which of them an operator acknowledged.

Carries out no clause of a standard; decision D38. What is kept here is neither told twice nor forgotten by a process
that starts anew or takes over. Numbers of rows, ids of studies and instants (microseconds), nothing of a patient.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from gateway.store.database.engine import Engine
from gateway.store.database.statements import Row, Statement, Steps, ask, ask_each

_MOST: Final = 10_000
_SELECT: Final = (
    "SELECT code, destination, count, cases, told, studies, acknowledged, acknowledged_at, acknowledged_by FROM alert"
)
ALERTS: Final = Statement(f"{_SELECT} ORDER BY code, destination LIMIT :most")
_OF_CODE: Final = Statement(f"{_SELECT} WHERE code = :code ORDER BY destination FOR UPDATE")
_KEEP: Final = Statement(
    "INSERT INTO alert (code, destination, count, cases, told, studies)"
    " VALUES (:code, :destination, :count, :cases, :told, :studies) ON CONFLICT (code, destination) DO UPDATE"
    " SET count = excluded.count, cases = excluded.cases, told = excluded.told, studies = excluded.studies"
)
_FORGET: Final = Statement("DELETE FROM alert WHERE code = :code AND destination = :destination")
_ACKNOWLEDGE: Final = Statement(
    "UPDATE alert SET acknowledged = :newest, acknowledged_at = :now, acknowledged_by = :who"
    " WHERE code = :code AND destination = :destination"
)


class AlertCase(NamedTuple):
    """A row that an alert is about: since when (microseconds), and the study; empty where it is about none."""

    since: int
    study_id: str = ""


@dataclass(frozen=True, slots=True)
class StandingAlert:
    """An alert of a condition at a destination: what it is about, and who has heard of what.

    `cases` are rows by their number (0: the condition as a whole); without one, the alert is over. `told` has for each
    address the cases it has heard of. `studies` are those of a condition as a whole, or, once it is over, of the last
    cases. A case is acknowledged if it began by `acknowledged`.
    """

    code: str
    destination: str
    count: int = 0
    cases: Mapping[int, AlertCase] = field(default_factory=dict)
    told: Mapping[str, frozenset[int]] = field(default_factory=dict)
    studies: tuple[str, ...] = ()
    acknowledged: int = 0
    acknowledged_at: int | None = None
    acknowledged_by: str = ""

    @property
    def unacknowledged(self) -> Mapping[int, AlertCase]:
        """The cases that no operator has acknowledged."""
        return {number: case for number, case in self.cases.items() if case.since > self.acknowledged}


async def standing_alerts(engine: Engine) -> list[StandingAlert]:
    """Every alert that stands, or of whose end somebody is still to hear.

    Raises:
        StoreUnavailable: the store cannot be reached.
    """
    return [_alert(row) for row in await engine.fetch(ALERTS, most=_MOST)]


def kept(alerts: Sequence[StandingAlert]) -> Steps[None]:
    """Keep alerts as they are now, and forget those that are over and of which nobody is still to hear.

    What an operator acknowledged meanwhile stays.
    """
    ended = [one for one in alerts if not one.cases and not one.told]
    yield from ask_each(_KEEP, [_values(one) for one in alerts if one not in ended])
    yield from ask_each(_FORGET, [{"code": one.code, "destination": one.destination} for one in ended])


def acknowledged(code: str, destination: str | None, who: str, now: int) -> Steps[list[StandingAlert]]:
    """Acknowledge all that stands of a condition, at one destination or at all; the alerts, as they were before."""
    rows = yield from ask(_OF_CODE, code=code)
    found = [one for one in map(_alert, rows) if one.cases and destination in {None, one.destination}]
    for one in found:
        if one.unacknowledged:
            key = {"code": one.code, "destination": one.destination, "now": now, "who": who}
            yield from ask(_ACKNOWLEDGE, newest=max(case.since for case in one.cases.values()), **key)
    return found


def _alert(row: Row) -> StandingAlert:
    code, destination, count, cases, told, studies, newest, at, who = row
    return StandingAlert(
        str(code),
        str(destination),
        int(count),
        {int(number): AlertCase(*case) for number, case in json.loads(cases).items()},
        {address: frozenset(numbers) for address, numbers in json.loads(told).items()},
        tuple(json.loads(studies)),
        int(newest),
        at,
        str(who),
    )


def _values(alert: StandingAlert) -> Mapping[str, Any]:
    return {
        "code": alert.code,
        "destination": alert.destination,
        "count": alert.count,
        "cases": json.dumps(dict(alert.cases)),
        "told": json.dumps({address: sorted(numbers) for address, numbers in alert.told.items()}),
        "studies": json.dumps(alert.studies),
    }
