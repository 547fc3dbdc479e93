"""Decide which alert news to post to each webhook address: an alert begins, grows, ends, or stays unacknowledged.

Carries out no clause of a standard; decision D38. Each change of state is posted once; an alert grows only with a new
case. The news holds codes, counts, instants and study ids, and nothing about a patient.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from gateway.feed.alerts.conditions import ROWS, RUNBOOK, Alert
from gateway.feed.alerts.webhook import AlertHook
from gateway.store.database.engine import instant_text
from gateway.store.feed.alerts import AlertCase, StandingAlert

MOST_STUDIES: Final = 20
Change = Literal["begins", "grows", "ends", "escalates"]


@dataclass(frozen=True, slots=True)
class AlertNews:
    """News of an alert for one address: the change, and the cases concerned."""

    hook: AlertHook
    alert: StandingAlert
    change: Change
    cases: Mapping[int, AlertCase]

    def data(self) -> dict[str, Any]:
        """Return the `data` object of the webhook POST."""
        data = {
            "alert": self.alert.code,
            "destination": self.alert.destination,
            "state": "cleared" if self.change == "ends" else "raised",
            "change": self.change,
            "count": len(self.cases) if self.change == "escalates" else self.alert.count,
            "studies": list(_studies(self.cases) or self.alert.studies),
            "runbook": f"{RUNBOOK}#{self.alert.code}",
        }
        since = min((case.since for case in self.cases.values()), default=None)
        return data if since is None else {**data, "since": instant_text(since)}

    def posted(self) -> StandingAlert:
        """Return the alert with these cases marked as posted to the address."""
        told = {name: cases for name, cases in self.alert.told.items() if name != self.hook.name}
        if self.change == "ends":
            return replace(self.alert, told=told)
        known = self.alert.told.get(self.hook.name, frozenset()) | self.cases.keys()
        return replace(self.alert, told={**told, self.hook.name: frozenset(known)})


def updated_alert(before: StandingAlert, condition: Alert | None, now: int) -> StandingAlert:
    """Return the stored alert updated to the condition found now (None: it ended), with nothing newly posted.

    A new case is unacknowledged. `now` is in microseconds.
    """
    if condition is None:
        return replace(before, cases={}, studies=_studies(before.cases) or before.studies)
    begun = max(now, before.acknowledged + 1)
    cases = {
        number: before.cases.get(number, AlertCase(begun, study_id, number in condition.mild))
        for number, study_id in (condition.cases or {0: ""}).items()
    }
    told = {name: posted_cases & cases.keys() for name, posted_cases in before.told.items()}
    return replace(before, count=condition.count, cases=cases, told=told, studies=condition.studies[:MOST_STUDIES])


def news(alert: StandingAlert, hooks: Iterable[AlertHook], now: int) -> Iterator[AlertNews]:
    """Yield the news due to each address, if any; `now` is in microseconds."""
    for hook in hooks:
        posted_cases = alert.told.get(hook.name)
        cases = _due(alert, hook, now) if hook.after else alert.cases
        if not alert.cases:
            if posted_cases is not None:
                yield AlertNews(hook, alert, "ends", {})
        elif posted_cases is None or not cases.keys() <= posted_cases:
            change: Change = "escalates" if hook.after else "begins" if posted_cases is None else "grows"
            if cases:
                yield AlertNews(hook, alert, change, cases)


def _due(alert: StandingAlert, hook: AlertHook, now: int) -> Mapping[int, AlertCase]:
    """Return the cases unacknowledged for as long as the address waits before it escalates.

    A case whose instant is in the future counts too: the clock was set back, and the case's age is unknown.
    """
    row = ROWS.get(alert.code)
    if row is None or not row.escalates:
        return {}
    open_cases = alert.unacknowledged.items()
    due = {one: case for one, case in open_cases if not case.since <= now < case.since + hook.after}
    return {one: case for one, case in due.items() if not case.is_mild}


def _studies(cases: Mapping[int, AlertCase]) -> tuple[str, ...]:
    """Return the study ids of cases, newest first, at most `MOST_STUDIES`."""
    newest = sorted(cases.items(), key=lambda one: (one[1].since, one[0]), reverse=True)
    return tuple(dict.fromkeys(case.study_id for _, case in newest if case.study_id))[:MOST_STUDIES]
