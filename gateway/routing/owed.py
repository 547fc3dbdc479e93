"""Decide whether a destination is owed a report, by its settings and what it was already sent. No I/O.

HL7 v2.5.1 table 0123 (what the causes are); decisions D16, D20, D21, D31, D37. Ingest, plan, status, certificate and
metrics all use this decision. The ledger keeps it, and it is made again when the settings change.

| state | of a destination's row | `reason` |
|---|---|---|
| `waiting` | the destination is owed the report | |
| `before_start` | the report was first signed before the destination's start, and none of it was sent there | |
| `excluded` | a filter of the destination excludes it | the filter |

A destination that has a study also gets its later changes. Filters by facility, customer, modality and critical result
only decide on the first report. So a correction is sent even if the report is no longer critical, or now names another
facility. `statuses` is checked each time, but never for a withdrawal.
Proved by tests/gateway/routing/test_routing.py and tests/contract/test_owed.py.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from gateway.routing.filter import Filter, FilterValues, Ignore, about
from gateway.settings.destination import Status
from mappings.model import Cause, CauseKind, Report, Study
from mappings.values.dates import parse_instant

OwedState = Literal["waiting", "before_start", "excluded"]
NoOneState = Literal["unrouted", "ignored"]

# Kind of a cause -> its name in `statuses`; None: sent to every destination that has the report
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
# Causes that state a report, and withdraw nothing
SAYS: Final[frozenset[CauseKind]] = frozenset(
    {"signed", "addendum_signed", "text_changed", "critical_changed", "patient_changed", "reinstated"}
)

BEFORE_START: Final = "before_start"  # reason of an unrouted row that predates every start
_EVERYTHING: Final = Filter()


@dataclass(frozen=True, slots=True)
class Terms:
    """Settings of a destination that decide which reports it is owed.

    `sends_drafts` and `restates` (a message repeats the whole study) come from its receiver profile. A disabled
    destination is owed nothing. With `moves_merges` it is owed a move of what it has under a number that the hospital
    merged into another one (D48); while it is disabled, the move waits for an operator.
    """

    name: str
    start: datetime
    filter: Filter = _EVERYTHING
    sends_drafts: bool = False
    restates: bool = True
    is_enabled: bool = True
    moves_merges: bool = False


@dataclass(frozen=True, slots=True)
class Owed:
    """Decision about a cause at a destination; `reason` is the filter that excludes it."""

    state: OwedState
    reason: str = ""


@dataclass(frozen=True, slots=True)
class ReportNews:
    """Cause with the values of its report that filters compare; `moment` is None if no time is known."""

    cause: Cause
    about: FilterValues
    is_critical: bool
    moment: datetime | None


def news(study: Study, cause: Cause, report: Report | None) -> ReportNews:
    """Add the filter values to a cause. `report` is the report it is about, even if that is gone."""
    is_critical = report is not None and report.is_critical is True and not cause.is_of_draft
    return ReportNews(cause, about(study, report), is_critical, _moment(report) if report else None)


def owed(report_news: ReportNews, told: AbstractSet[str], terms: Terms) -> Owed:
    """Decide whether a destination is owed a cause; `told` are the study's reports that it has.

    Queued reports count as sent. Otherwise a correction would be dropped if it came before the first message left.
    """
    if not terms.is_enabled:
        return Owed("excluded", "enabled")
    status = _STATUS[report_news.cause.kind]
    reason = "" if told else terms.filter.leaves_out(report_news.about, is_critical=report_news.is_critical)
    if not reason and status and status not in terms.filter.statuses:
        reason = "statuses"
    if reason:
        return Owed("excluded", reason)
    is_early = report_news.moment is not None and report_news.moment < terms.start
    return Owed("before_start" if is_early and not _is_told(report_news, told, terms) else "waiting")


def owed_by_no_one(
    report_news: ReportNews, ignores: Iterable[Ignore], terms: Collection[Terms]
) -> tuple[NoOneState, str]:
    """Decide about a cause that no destination is owed; with the ignore rule that covers it, if any.

    A cause that no rule covers is unrouted, with the reason `before_start` if it predates the start of each
    destination.
    """
    rule = next((one.name for one in ignores if one.covers(report_news.about)), "")
    if rule:
        return "ignored", rule
    is_history = bool(terms) and all(report_news.moment is not None and report_news.moment < one.start for one in terms)
    return "unrouted", BEFORE_START if is_history else ""


def _moment(report: Report) -> datetime | None:
    """Return when the report was signed; if unknown, when it last changed, which is no earlier."""
    signed = parse_instant(report.signed_at) if report.is_completed else None
    return signed or parse_instant(report.updated_at)


def _is_told(report_news: ReportNews, told: AbstractSet[str], terms: Terms) -> bool:
    """True if a destination has the report; where messages restate the whole study, any report of it counts (D19)."""
    return report_news.cause.report_id in told or (terms.restates and bool(told))
