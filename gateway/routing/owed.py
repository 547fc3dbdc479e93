"""Decides what a destination is owed: a function of its settings, a report, and what it was told of the study. Pure.

HL7 v2.5.1 table 0123 (what the causes are); decisions D16, D20, D21, D31, D37. Intake, the plan, status, certificate
and metrics all go by it: the ledger keeps what it says, and is decided anew when the settings change.

| state | of a destination's row | `reason` |
|---|---|---|
| `waiting` | it is owed it | |
| `before_start` | the report was first signed before the destination's start, and nothing of it was told there | |
| `excluded` | a filter of the destination leaves it out | the filter |

Whoever was told of a study is told what becomes of it: filters by facility, customer, modality and critical result
decide on what is told first, and no correction is kept from a receiver since the report is not critical any more, or
of another facility. `statuses` alone are asked each time, but never of what is taken back.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from gateway.routing.filter import About, Filter, Ignore, about
from gateway.settings.destination import Status
from mappings.dates import parse_instant
from mappings.model import Cause, CauseKind, Report, Study

OwedState = Literal["waiting", "before_start", "excluded"]
NoOneState = Literal["unrouted", "ignored"]

# Kind of a cause -> what `statuses` calls it; None: whoever was told is told that too
_STATUS: Final[dict[CauseKind, Status | None]] = {
    "signed": "final",
    "addendum_signed": "addendum",
    "addendum_cancelled": None,
    "text_changed": "corrected",
    "critical_changed": "corrected",
    "patient_changed": "corrected",
    "withdrawn": None,
    "reinstated": "corrected",
    "replay": None,
    "draft": "draft",
    "draft_cancelled": None,
}
# The kinds that say something of a report, and take nothing back
SAYS: Final[frozenset[CauseKind]] = frozenset(
    {"signed", "addendum_signed", "text_changed", "critical_changed", "patient_changed", "reinstated"}
)

BEFORE_START: Final = "before_start"  # why a row is unrouted that is of before each destination's start
_EVERYTHING: Final = Filter()


@dataclass(frozen=True, slots=True)
class Terms:
    """The settings of a destination that decide what it is owed.

    `sends_drafts` and `restates` (a message says the whole study again) are from its receiver profile. One that is not
    enabled is owed nothing.
    """

    name: str
    start: datetime
    filter: Filter = _EVERYTHING
    sends_drafts: bool = False
    restates: bool = True
    is_enabled: bool = True


@dataclass(frozen=True, slots=True)
class Owed:
    """The state of a cause at a destination; `reason` is the filter that leaves it out."""

    state: OwedState
    reason: str = ""


@dataclass(frozen=True, slots=True)
class ReportNews:
    """A cause with what is known of its report, as destinations look at it; `moment` is None where none is known."""

    cause: Cause
    about: About
    is_critical: bool
    moment: datetime | None


def news(study: Study, cause: Cause, report: Report | None) -> ReportNews:
    """A cause as destinations look at it; `report` is the one that it is about, also where it is gone by now."""
    is_critical = report is not None and report.is_critical is True and not cause.is_of_draft
    return ReportNews(cause, about(study, report), is_critical, _moment(report) if report else None)


def owed(of: ReportNews, told: AbstractSet[str], terms: Terms) -> Owed:
    """Decide what a destination is owed of a cause; `told` are the ids of the study's reports that it was told of.

    What is queued for it counts as told: else a correction that comes before the first message has left would be kept
    back.
    """
    if not terms.is_enabled:
        return Owed("excluded", "enabled")
    status = _STATUS[of.cause.kind]
    reason = "" if told else terms.filter.leaves_out(of.about, is_critical=of.is_critical)
    if not reason and status and status not in terms.filter.statuses:
        reason = "statuses"
    if reason:
        return Owed("excluded", reason)
    is_early = of.moment is not None and of.moment < terms.start
    return Owed("before_start" if is_early and not _is_told(of, told, terms) else "waiting")


def owed_by_no_one(of: ReportNews, ignores: Iterable[Ignore], terms: Collection[Terms]) -> tuple[NoOneState, str]:
    """The state of a cause that no destination is owed, and the rule that says that none needs it.

    What is not needed by a rule is unrouted: with the reason `before_start` where it is history to each destination.
    """
    rule = next((one.name for one in ignores if one.covers(of.about)), "")
    if rule:
        return "ignored", rule
    is_history = bool(terms) and all(of.moment is not None and of.moment < one.start for one in terms)
    return "unrouted", BEFORE_START if is_history else ""


def _moment(report: Report) -> datetime | None:
    """When it was signed, else when it last changed, which is no earlier; a report's creation says nothing of that."""
    signed = parse_instant(report.signed_at) if report.is_completed else None
    return signed or parse_instant(report.updated_at)


def _is_told(of: ReportNews, told: AbstractSet[str], terms: Terms) -> bool:
    """True where a destination has the report: where all is restated it came with any other of its study (D19)."""
    return of.cause.report_id in told or (terms.restates and bool(told))
