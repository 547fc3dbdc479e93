"""Where each cause of a message goes: the rows of the outbox, decided while a study is taken in. Pure.

HL7 v2.5.1 table 0123 (what the causes are); decisions D16, D20, D21, D31.

| state | of a destination's row | `reason` |
|---|---|---|
| `waiting` | a message is to be made | |
| `before_start` | the report was first signed before the destination's start, and nothing of it was told there | |
| `excluded` | a filter of the destination leaves it out | the filter |

Where no destination accepts a cause (all exclude it, or none is there) its only row has no destination: `ignored`, with
the name of the rule, or `unrouted`, which is an open item.

Whoever was told of a study is told what becomes of it: filters by facility, customer, modality and critical result
decide on what is told first, and no correction is kept from a receiver since the report is not critical any more, or
of another facility. `statuses` alone are asked each time, but never of what is taken back.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from gateway.destinations.destination import Destination
from gateway.destinations.filter import About, Ignore, about
from gateway.settings.destination import Status
from mappings.dates import parse_instant
from mappings.model import Cause, CauseKind, Report, Study

RoutedState = Literal["waiting", "before_start", "excluded", "unrouted", "ignored"]

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


@dataclass(frozen=True, slots=True)
class Routes:
    """All destinations in the order of the file, and the rules for what none of them needs.

    `draft_wait` is for how many seconds a draft must not have changed before it is sent (D16).
    """

    destinations: tuple[Destination, ...] = ()
    ignores: tuple[Ignore, ...] = ()
    draft_wait: float = 900.0


@dataclass(frozen=True, slots=True)
class Routed:
    """One row of the outbox of a cause; `destination` is empty where none accepts it."""

    destination: str
    state: RoutedState
    reason: str = ""


@dataclass(frozen=True, slots=True)
class _News:
    """A cause with what is known of its report, as destinations look at it; `moment` is None where none is known."""

    cause: Cause
    about: About
    is_critical: bool
    moment: datetime | None


def routed(
    study: Study,
    causes: Iterable[Cause],
    sent: Mapping[str, AbstractSet[str]],
    routes: Routes,
    *,
    gone: Sequence[Report] = (),
) -> list[tuple[Cause, Routed]]:
    """The rows of the outbox for what happened to a study, cause by cause in their order.

    A cause about something signed has one row for each enabled destination, or where none accepts it a single row
    without one. A cause about a draft has a row for each destination whose profile sends drafts, and may have none.

    Args:
        study: as it was taken in (`Change.study`).
        causes: what happened to it (`Change.causes`).
        sent: by name of a destination the ids of the study's reports that it was told of. What is queued for it counts:
            else a correction that comes before the first message has left would be kept back.
        routes: where things go.
        gone: reports that are no longer there (`Change.gone`), for what is taken back.
    """
    reports = {report.report_id: report for report in (*gone, *study.reports)}
    rows: list[tuple[Cause, Routed]] = []
    for cause in causes:
        news = _news(study, cause, reports.get(cause.report_id))
        rows += [(cause, row) for row in _rows(news, sent, routes)]
    return rows


def _news(study: Study, cause: Cause, report: Report | None) -> _News:
    is_critical = report is not None and report.is_critical is True and not cause.is_of_draft
    return _News(cause, about(study, report), is_critical, _moment(report) if report else None)


def _moment(report: Report) -> datetime | None:
    """When it was signed, else when it last changed, which is no earlier; a report's creation says nothing of that."""
    signed = parse_instant(report.signed_at) if report.is_completed else None
    return signed or parse_instant(report.updated_at)


def _rows(news: _News, sent: Mapping[str, AbstractSet[str]], routes: Routes) -> Iterator[Routed]:
    is_draft = news.cause.is_of_draft
    asked = [one for one in routes.destinations if one.is_enabled and not (is_draft and _is_without_drafts(one))]
    rows = [_row(news, sent.get(one.name, frozenset()), one) for one in asked]
    if is_draft or any(row.state != "excluded" for row in rows):
        yield from rows
        return
    rule = next((one.name for one in routes.ignores if one.covers(news.about)), "")
    yield Routed("", "ignored", rule) if rule else Routed("", "unrouted")


def _is_without_drafts(destination: Destination) -> bool:
    return destination.receiver.send_drafts != "on"


def _row(news: _News, told: AbstractSet[str], destination: Destination) -> Routed:
    name, accepts = destination.name, destination.filter
    status = _STATUS[news.cause.kind]
    reason = "" if told else accepts.leaves_out(news.about, is_critical=news.is_critical)
    if not reason and status and status not in accepts.statuses:
        reason = "statuses"
    if reason:
        return Routed(name, "excluded", reason)
    is_early = news.moment is not None and news.moment < destination.start
    return Routed(name, "before_start" if is_early and not _is_told(news, told, destination) else "waiting")


def _is_told(news: _News, told: AbstractSet[str], destination: Destination) -> bool:
    """Whether a destination has the report: where everything is restated it came with any other of its study (D19)."""
    return news.cause.report_id in told or (destination.receiver.addendum == "replace" and bool(told))
