"""`feed ack`: acknowledge an alert as seen and dealt with; a critical result is then not escalated further.

Carries out no clause of a standard; decision D38. Who acknowledged which alert, and when, is kept with the alert and in
the audit.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from gateway.feed.alerts.conditions import OF_THE_STORE, ROWS
from gateway.feed.alerts.monitor import MOST_STUDIES
from gateway.feed.operator.arguments import CommandAnswer, counted, wrong
from gateway.runtime import clock
from gateway.store.database.engine import Engine, Steps, instant, instant_text, micros, moment
from gateway.store.database.facts import actor, noted, noted_acts
from gateway.store.feed.alerts import StandingAlert, acknowledge_alerts, past_alerts

_VERB: Final = "feed-ack"


@dataclass(frozen=True, slots=True)
class AcknowledgedAlerts(CommandAnswer):
    """Alerts that were acknowledged, as they were before; none if no such alert stands."""

    code: str
    destination: str | None
    alerts: tuple[StandingAlert, ...]

    @property
    def exit_code(self) -> int:
        """1 if there is no such alert."""
        return 0 if self.alerts else 1

    def lines(self) -> Iterator[str]:
        """Yield a line for each."""
        yield from map(_line, self.alerts)
        if not self.alerts:
            yield f"no alert {self.code} stands{f' at {self.destination}' if self.destination else ''}"


async def acknowledge(engine: Engine, code: str, destination: str | None, reason: str) -> AcknowledgedAlerts:
    """Acknowledge the open cases of an alert, at one destination or all.

    Raises:
        ConfigError: no alert has that code, or it is an alert about the store, which is kept outside it.
        StoreUnavailable: the store cannot be reached.
    """
    known = [one for one in ROWS if one not in {row.code for row in OF_THE_STORE}]
    if code not in known:
        raise wrong(code, "no alert that can be acknowledged", f"Alerts are {', '.join(known)}.")
    now, who = micros(clock.now()), str(actor())

    def work() -> Steps[list[StandingAlert]]:
        matches = yield from acknowledge_alerts(code, destination, who, now)
        for alert in matches:
            if alert.unacknowledged:
                yield from noted(_VERB, " ".join(filter(None, (code, alert.destination))), reason, now)
        return matches

    return AcknowledgedAlerts(code, destination, tuple(await engine.do(work)))


@dataclass(frozen=True, slots=True)
class NotedAcknowledgement:
    """Acknowledgement of an alert that was noted: at which destination (empty: of the whole feed), by whom, and why."""

    at: datetime
    alert: str
    destination: str
    by: str
    reason: str


@dataclass(frozen=True, slots=True)
class EndedAlert:
    """Alert that is over; `since` is None where its begin is not known. `acknowledged_by` is empty if nobody did."""

    alert: str
    destination: str
    since: datetime | None
    ended: datetime
    acknowledged_by: str
    acknowledged_at: datetime | None


async def ended_alerts(engine: Engine, most: int) -> tuple[EndedAlert, ...]:
    """Return the alerts that ended last, newest first, of 90 days.

    Raises:
        StoreUnavailable: the store cannot be reached.
    """
    return tuple(
        EndedAlert(
            *(one.code, one.destination, moment(one.began or None), instant(one.ended)),
            *(one.acknowledged_by, moment(one.acknowledged_at)),
        )
        for one in await past_alerts(engine, most)
    )


async def acknowledgements(engine: Engine, most: int) -> tuple[NotedAcknowledgement, ...]:
    """Return the newest acknowledgements.

    Raises:
        StoreUnavailable: the store cannot be reached.
    """
    acts = [(one, *one.argument.partition(" ")) for one in await noted_acts(engine, _VERB, most)]
    return tuple(NotedAcknowledgement(instant(act.at), code, at, str(act.by), act.reason) for act, code, _, at in acts)


def _line(alert: StandingAlert) -> str:
    name = f"{alert.code} at {alert.destination}" if alert.destination else alert.code
    if not alert.unacknowledged:
        return f"{name} was acknowledged already, by {alert.acknowledged_by} at {_moment(alert)}"
    studies = list(dict.fromkeys(one.study_id for one in alert.unacknowledged.values() if one.study_id))
    more = f" and {len(studies) - MOST_STUDIES} more" if len(studies) > MOST_STUDIES else ""
    about = f", for {counted(len(studies), 'study')}: {', '.join(studies[:MOST_STUDIES])}{more}" if studies else ""
    return f"{name} is acknowledged{about}"


def _moment(alert: StandingAlert) -> str:
    return instant_text(alert.acknowledged_at or 0)
