"""Store alerts that still stand: the rows concerned, the addresses notified, and operators' acknowledgements.

Carries out no clause of a standard; decision D38. A process that restarts or takes over neither repeats nor forgets a
notification. Row numbers, study ids and instants (microseconds), nothing about patients.
Proved by tests/contract/test_standing_alerts.py.
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
    """Row that an alert concerns: its start (microseconds), and its study, empty if it has none.

    `is_mild`: it escalates to nobody.
    """

    since: int
    study_id: str = ""
    is_mild: bool = False


@dataclass(frozen=True, slots=True)
class StandingAlert:
    """Alert of a condition at a destination: the rows it concerns, and the notified addresses.

    `cases` are rows by their number (0: the condition as a whole); without cases, the alert is over. `told` maps each
    address to the cases it was notified of. `studies` are those of a condition as a whole or, once it is over, of the
    last cases. A case is acknowledged if it began by `acknowledge_alerts`.
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
        """Cases that no operator has acknowledged."""
        return {number: case for number, case in self.cases.items() if case.since > self.acknowledged}


async def standing_alerts(engine: Engine) -> list[StandingAlert]:
    """Return every alert that stands, or whose end is not yet notified to every address.

    Raises:
        StoreUnavailable: the store cannot be reached.
    """
    return [_alert(row) for row in await engine.fetch(ALERTS, most=_MOST)]


def store_alerts(alerts: Sequence[StandingAlert]) -> Steps[None]:
    """Store alerts as they are now, and delete those that are over and fully notified.

    Acknowledgements made meanwhile stay.
    """
    ended = [one for one in alerts if not one.cases and not one.told]
    yield from ask_each(_KEEP, [_values(one) for one in alerts if one not in ended])
    yield from ask_each(_FORGET, [{"code": one.code, "destination": one.destination} for one in ended])


def acknowledge_alerts(code: str, destination: str | None, who: str, now: int) -> Steps[list[StandingAlert]]:
    """Acknowledge the standing alerts of a condition, at one destination or at all; return them as they were before."""
    rows = yield from ask(_OF_CODE, code=code)
    alerts = [one for one in map(_alert, rows) if one.cases and destination in {None, one.destination}]
    for alert in alerts:
        if alert.unacknowledged:
            key = {"code": alert.code, "destination": alert.destination, "now": now, "who": who}
            yield from ask(_ACKNOWLEDGE, newest=max(case.since for case in alert.cases.values()), **key)
    return alerts


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
