"""`feed ack`: acknowledge an alert as seen and dealt with; a critical result is then not escalated further.

Carries out no clause of a standard; decision D38. Who acknowledged which alert, and when, is kept with the alert and in
the audit.
"""

from __future__ import annotations

from gateway.feed.alerts.conditions import OF_THE_STORE, ROWS
from gateway.feed.alerts.monitor import MOST_STUDIES
from gateway.feed.operator.arguments import Say, counted, wrong
from gateway.ingest.assembly import store_for_command
from gateway.runtime import clock
from gateway.settings import Configuration
from gateway.store.database.engine import Steps, instant_text, micros
from gateway.store.database.facts import actor, noted
from gateway.store.feed.alerts import StandingAlert, acknowledge_alerts


async def acknowledge(configuration: Configuration, code: str, destination: str | None, reason: str, say: Say) -> int:
    """Acknowledge the open cases of an alert, at one destination or all; return 1 if there is no such alert.

    Raises:
        ConfigError: no alert has that code, or it is an alert about the store, which is kept outside it.
    """
    known = [one for one in ROWS if one not in {row.code for row in OF_THE_STORE}]
    if code not in known:
        raise wrong(code, "no alert that can be acknowledged", f"Alerts are {', '.join(known)}.")
    now, who = micros(clock.now()), str(actor())

    def work() -> Steps[list[StandingAlert]]:
        matches = yield from acknowledge_alerts(code, destination, who, now)
        for alert in matches:
            if alert.unacknowledged:
                yield from noted("feed-ack", " ".join(filter(None, (code, alert.destination))), reason, now)
        return matches

    async with store_for_command(configuration) as engine:
        matches = await engine.do(work)
    where = f" at {destination}" if destination else ""
    for alert in matches:
        say(_line(alert))
    if not matches:
        say(f"no alert {code} stands{where}")
    return 0 if matches else 1


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
