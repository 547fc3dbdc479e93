"""Count the reports in a plan (the effect of changed settings): reports to send, to stop, and to send again.

Carries out no clause of a standard; decision D37. gateway/feed/plan/planner.py makes plans, and applies them.
Proved by tests/contract/test_planning.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from gateway.routing.plan_study import RESENT
from gateway.settings.feed import Feed
from gateway.store.feed.plans import PLANNED, TO_STOP, PlannedRow

_HOUR: Final = 3_600_000_000


@dataclass(frozen=True, slots=True)
class PlanCounts:
    """Numbers of reports that a change of settings adds, stops, and sends again.

    `critical` counts the critical results among the added reports, `stopped_critical` and `resent_critical` the others.
    `oldest` is the earliest time of signing, in microseconds.
    """

    adds: int = 0
    critical: int = 0
    stops: int = 0
    stopped_critical: int = 0
    resends: int = 0
    resent_critical: int = 0
    oldest: int | None = None

    @property
    def size(self) -> int:
        """Number of reports in the plan."""
        return self.adds + self.stops + self.resends

    @property
    def counts(self) -> dict[str, int]:
        """The counts as JSON, each under its own name."""
        return {key: value for key, value in asdict(self).items() if key != "oldest"}

    @property
    def said(self) -> dict[str, Any]:
        """The plan as JSON: the counts, also in words."""
        return {**self.counts, "said": str(self)}

    def __str__(self) -> str:
        parts = (
            ("adds", self.adds, self.critical),
            ("stops", self.stops, self.stopped_critical),
            ("resends", self.resends, self.resent_critical),
        )
        return "; ".join(
            f"{does} {count}" + (f", {critical} of them critical" if critical else "")
            for does, count, critical in parts
        )

    def is_small(self, unasked: int, limits: Feed, now: int) -> bool:
        """True if the plan may be applied unasked, after `unasked` reports that were already sent that way."""
        if self.size + unasked > limits.unasked_messages:
            return False
        if (self.critical or self.stopped_critical or self.resent_critical) and not limits.unasked_critical:
            return False
        return self.oldest is not None and self.oldest >= now - int(limits.unasked_hours * _HOUR)


def reports_of(rows: Sequence[PlannedRow]) -> list[PlannedRow]:
    """Return one row of the plan for each report concerned."""
    by_report: dict[tuple[str, str], PlannedRow] = {}
    for row in rows:
        key = row.report_id, row.state
        before = by_report.get(key)
        if before is None or (not before.is_critical and row.is_critical):
            by_report[key] = row
    return list(by_report.values())


def plan_of(rows: Sequence[PlannedRow]) -> PlanCounts:
    """Count the reports in the rows of a plan, each once."""
    reports = reports_of(rows)
    adds = [one for one in reports if one.state == PLANNED and one.reason != RESENT]
    stops = [one for one in reports if one.state == TO_STOP]
    resends = [one for one in reports if one.state == PLANNED and one.reason == RESENT]
    signed = [0 if one.signed is None else one.signed for one in reports]
    return PlanCounts(
        adds=len(adds),
        critical=sum(one.is_critical for one in adds),
        stops=len(stops),
        stopped_critical=sum(one.is_critical for one in stops),
        resends=len(resends),
        resent_critical=sum(one.is_critical for one in resends),
        oldest=min(signed, default=None),
    )
