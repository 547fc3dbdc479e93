"""Plan the outbox rows of a study: one for each cause (signed, corrected, …) and each destination concerned.

HL7 v2.5.1 table 0123 (why a result is sent); decisions D7, D20, D28, D31, D37. A message with the PDF waits for it,
except for a critical result. A draft waits until it has not changed for a while (D16).
Proved by tests/contract/test_planning.py.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any, Final

from gateway.ingest.map_study import NEW_TEXT
from gateway.routing import InForce, Routed, Routes, routed
from gateway.routing.owed import SAYS, news, owed
from gateway.routing.plan_study import PlanStep
from gateway.store.database.engine import micros
from gateway.store.feed.states import MERGE_HELD, MERGED
from mappings.life.changes import NOBODY, Change, GaveWay
from mappings.model import Cause, CauseKind, Report
from mappings.values.dates import parse_instant

Told = Mapping[str, AbstractSet[str]]
_SECOND: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Patience:
    """Longest waits of messages in seconds: for the PDF of a new text, by destination, and for drafts to settle."""

    pdf: Mapping[str, float]
    draft: float


def patience(routes: Routes, *, wants_pdf: bool) -> Patience:
    """Return the longest waits by the settings; none for PDFs if PDFs are not stored."""
    taking = [one for one in routes.destinations if wants_pdf and one.receiver.takes_pdf]
    return Patience({one.name: one.input_wait for one in taking}, routes.draft_wait)


def outbox_rows(  # noqa: PLR0913, PLR0917 (the change, and what decides about it)
    change: Change, told: Told, in_force: InForce, wait: Patience, now: int, given: GaveWay = NOBODY
) -> list[dict[str, Any]]:
    """Return an outbox row for each cause and each destination it concerns, or one row without a destination.

    `told` maps a destination's name to the ids of the reports sent there, or about to be. `in_force` are the settings
    that decide. A destination that gets its first report of a study also gets the reports that a filter left out
    before. Reports in `given` move where the destination asks for that (D48).
    """
    reports = {one.report_id: one for one in (*change.gone, *change.study.reports)}
    first = routed(change.study, change.causes, told, in_force, gone=change.gone)
    rows = []
    for cause, row in (*first, *_left_out_before(change, first, told, in_force)):
        made = outbox_row(cause, row, reports.get(cause.report_id), now)
        is_move = cause.report_id in change.moved  # held at once, for an operator (D13)
        seconds = wait.draft if cause.kind == "draft" and not is_move else 0.0
        if not (made["is_critical"] or is_move) and cause.kind in NEW_TEXT:
            seconds = wait.pdf.get(row.destination, 0.0)
        rows.append({**made, "is_move": int(is_move), "due": now + int(seconds * _SECOND)})
    if given.report_ids:
        rows += _moved_by_merge(change, told, in_force, now, given)
    return rows


def _moved_by_merge(
    change: Change, told: Told, in_force: InForce, now: int, given: GaveWay
) -> Iterator[dict[str, Any]]:
    """Yield a row for each report that a destination was sent under a patient number merged since.

    The same merge always gives the same content version, and so the same MSH-10. An operator decides where `statuses`
    excludes corrections, since the move would bring the present text, and where the destination is off.
    """
    gone = hashlib.sha256(" ".join(sorted(given.patient_ids)).encode()).hexdigest()[:16]
    version = f"{change.version}/merged/{gone}"
    every = (revisions[-1].terms for revisions in in_force.revisions.values())
    for terms in (one for one in every if one.moves_merges):
        about = told.get(terms.name, frozenset()) & given.report_ids
        for report in (one for one in change.study.reports if one.report_id in about):
            kind: CauseKind = "patient_changed" if report.is_completed else "draft"
            if kind != "draft" or terms.sends_drafts:
                cause = Cause(report.report_id, kind, version)
                is_owed = owed(news(change.study, cause, report), about, terms).state == "waiting"
                row = outbox_row(cause, Routed(terms.name, "waiting"), report, now)
                yield {**row, "is_move": MERGED if is_owed else MERGE_HELD}


def _left_out_before(
    change: Change, first: Sequence[tuple[Cause, Routed]], told: Told, in_force: InForce
) -> Iterator[tuple[Cause, Routed]]:
    """Yield rows for a study's earlier reports at destinations that now get their first report of it."""
    new = {cause.report_id for cause in change.causes}
    for terms in in_force.terms:
        goes = {cause.report_id for cause, row in first if _goes_to(terms.name, cause, row)}
        if not goes or told.get(terms.name):
            continue
        for report in change.study.completed:
            kind: CauseKind = "addendum_signed" if report.is_addendum else "signed"
            cause = Cause(report.report_id, kind, change.causes[0].content_version)
            if report.report_id not in new and owed(news(change.study, cause, report), goes, terms).state == "waiting":
                yield cause, Routed(terms.name, "waiting")


def _goes_to(name: str, cause: Cause, row: Routed) -> bool:
    return (row.destination, row.state) == (name, "waiting") and cause.kind in SAYS


def outbox_row(cause: Cause, row: Routed | PlanStep, report: Report | None, now: int) -> dict[str, Any]:
    """Return the columns of an outbox row. `report` is the report that the cause is about."""
    is_critical = report is not None and report.is_critical is True and not cause.is_of_draft
    signed = parse_instant(report.signed_at) if report is not None and report.is_completed else None
    return {
        "report_id": cause.report_id,
        "kind": cause.kind,
        "content_version": cause.content_version,
        "destination": row.destination,
        "state": row.state,
        "reason": row.reason,
        "is_move": 0,
        "is_critical": int(is_critical),
        "due": now,
        "signed": micros(signed) if signed else None,
    }
