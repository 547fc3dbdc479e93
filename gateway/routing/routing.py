"""Route each cause: decide its outbox rows while a study is ingested. Pure.

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
    """All destinations in the order of the file, and the rules for reports that none of them needs.

    `draft_wait` is how many seconds a draft must stay unchanged before it is sent (D16).
    """

    destinations: tuple[Destination, ...] = ()
    ignores: tuple[Ignore, ...] = ()
    draft_wait: float = 900.0


@dataclass(frozen=True, slots=True)
class Routed:
    """One outbox row of a cause; `destination` is empty if none is owed it."""

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
    """The rows of the outbox for what happened to a study, cause by cause in their order.

    A cause about something signed has one row for each enabled destination, or where none is owed it a single row
    without one. A cause about a draft has a row for each destination whose profile sends drafts, and may have none.

    Args:
        study: as it was taken in (`Change.study`).
        causes: what happened to it (`Change.causes`).
        told: by name of a destination the ids of the study's reports that it was, or is about to be, told of.
        in_force: the settings.
        gone: reports that are no longer there (`Change.gone`), for what is taken back.
    """
    reports = {report.report_id: report for report in (*gone, *study.reports)}
    rows: list[tuple[Cause, Routed]] = []
    for cause in causes:
        of = news(study, cause, reports.get(cause.report_id))
        rows += [(cause, row) for row in _rows(of, told, in_force)]
    return rows


def _rows(of: ReportNews, told: Mapping[str, AbstractSet[str]], in_force: InForce) -> Iterator[Routed]:
    is_draft = of.cause.is_of_draft
    asked = [one for one in in_force.terms if one.sends_drafts or not is_draft]
    rows = [_row(of, told.get(one.name, frozenset()), one, in_force) for one in asked]
    if is_draft or any(row.state != "excluded" for row in rows):
        yield from rows
        return
    yield Routed("", *owed_by_no_one(of, in_force.ignores, in_force.terms))


def _row(of: ReportNews, told: AbstractSet[str], terms: Terms, in_force: InForce) -> Routed:
    decision = owed(of, told, terms)
    is_planned = decision.state == "waiting" and not told and _is_of_plan(of, terms.name, in_force)
    return Routed(terms.name, "planned" if is_planned else decision.state, decision.reason)


def _is_of_plan(of: ReportNews, name: str, in_force: InForce) -> bool:
    """True for a report signed before the settings in force, which the settings of that time did not owe."""
    since = in_force.since(name).replace(microsecond=0)  # a signing time may have whole seconds
    if of.moment is None or of.cause.is_of_draft or of.moment >= since:
        return False
    earlier = in_force.terms_at(name, of.moment)
    return earlier is None or owed(of, frozenset(), earlier) != Owed("waiting")
