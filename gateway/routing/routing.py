"""Choose the destinations for a study's causes, and the state of each outbox row; owed.py decides for one destination.

HL7 v2.5.1 table 0123 (what the causes are); decisions D16, D20, D21, D31, D37. gateway/routing/owed.py decides what a
destination is owed by the settings in force. Routing adds one state:

| state | of a destination's row |
|---|---|
| `planned` | owed since a change of settings, and the report was signed before it: it waits for `feed apply` |

If no destination is owed a cause (all exclude it, or none exists), its only row has no destination: `ignored`, with the
name of the rule, or `unrouted`, which is an open item.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Literal

from gateway.routing.destination import Destination
from gateway.routing.filter import Ignore
from gateway.routing.in_force import InForce
from gateway.routing.owed import NoOneState, Owed, OwedState, ReportNews, Terms, news, owed, owed_by_no_one
from mappings.model import Cause, Report, Study

RoutedState = Literal["planned"] | OwedState | NoOneState


@dataclass(frozen=True, slots=True)
class Routes:
    """All destinations in the order of the settings, and the ignore rules.

    `draft_wait` is how many seconds a draft must stay unchanged before it is sent (D16).
    """

    destinations: tuple[Destination, ...] = ()
    ignores: tuple[Ignore, ...] = ()
    draft_wait: float = 900.0


@dataclass(frozen=True, slots=True)
class Routed:
    """Outbox row for a cause; `destination` is empty if none is owed it."""

    destination: str
    state: RoutedState
    reason: str = ""


def routed(
    study: Study,
    causes: Iterable[Cause],
    told: Mapping[str, AbstractSet[str]],
    in_force: InForce,
    *,
    gone: Sequence[Report] = (),
) -> list[tuple[Cause, Routed]]:
    """Return the outbox rows of a study's causes, in the order of the causes.

    A cause about a signed report has one row for each enabled destination, or a single row without a destination if
    none is owed it. A cause about a draft has a row for each destination whose profile sends drafts, and may have none.

    Args:
        study: the study as ingested (`Change.study`).
        causes: its causes (`Change.causes`).
        told: the ids of the study's reports sent to a destination, or about to be, by the destination's name.
        in_force: the settings.
        gone: reports that no longer exist (`Change.gone`), for withdrawals.
    """
    reports = {report.report_id: report for report in (*gone, *study.reports)}
    rows: list[tuple[Cause, Routed]] = []
    for cause in causes:
        report_news = news(study, cause, reports.get(cause.report_id))
        rows += [(cause, row) for row in _rows(report_news, told, in_force)]
    return rows


def _rows(report_news: ReportNews, told: Mapping[str, AbstractSet[str]], in_force: InForce) -> Iterator[Routed]:
    is_draft = report_news.cause.is_of_draft
    asked = [one for one in in_force.terms if one.sends_drafts or not is_draft]
    rows = [_row(report_news, told.get(one.name, frozenset()), one, in_force) for one in asked]
    if is_draft or any(row.state != "excluded" for row in rows):
        yield from rows
        return
    yield Routed("", *owed_by_no_one(report_news, in_force.ignores, in_force.terms))


def _row(report_news: ReportNews, told: AbstractSet[str], terms: Terms, in_force: InForce) -> Routed:
    decision = owed(report_news, told, terms)
    is_planned = decision.state == "waiting" and not told and _is_of_plan(report_news, terms.name, in_force)
    return Routed(terms.name, "planned" if is_planned else decision.state, decision.reason)


def _is_of_plan(report_news: ReportNews, name: str, in_force: InForce) -> bool:
    """True for a report that a plan decides: signed before the present settings, and not owed by those of that time."""
    if report_news.moment is None or report_news.cause.is_of_draft or in_force.is_since(name, report_news.moment):
        return False
    earlier = in_force.terms_at(name, report_news.moment)
    return earlier is None or owed(report_news, frozenset(), earlier) != Owed("waiting")
