"""What is to be told of a study, and to whom: the rows of the outbox, decided with the study (D7).

HL7 v2.5.1 table 0123 (why a result is sent); decisions D20, D28, D31, D37. A message that carries the PDF waits for it,
but for a critical result, which waits for nothing; a draft waits until it has not changed for a while (D16).
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any, Final

from gateway.destinations import InForce, Routed, Routes, routed
from gateway.destinations.plan import Step
from gateway.pipeline.look import NEW_TEXT
from gateway.store.instants import micros
from mappings.changes import Change
from mappings.dates import parse_instant
from mappings.model import Cause, Report

Told = Mapping[str, AbstractSet[str]]
_SECOND: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds that a message may wait: for the PDF of a text that is new, by destination, and for a draft to stand."""

    pdf: Mapping[str, float]
    draft: float


def patience(routes: Routes, *, wants_pdf: bool) -> Patience:
    """The longest waits of messages; for no PDF where none are kept."""
    taking = [one for one in routes.destinations if wants_pdf and one.receiver.takes_pdf]
    return Patience({one.name: one.input_wait for one in taking}, routes.draft_wait)


def telling(change: Change, told: Told, in_force: InForce, wait: Patience, now: int) -> list[dict[str, Any]]:
    """A row for each cause and each destination that it concerns, or one without a destination.

    `told` has by name of a destination the ids of the reports that it was, or is about to be, told of. `in_force` says
    who is told.
    """
    reports = {one.report_id: one for one in (*change.gone, *change.study.reports)}
    rows = []
    for cause, row in routed(change.study, change.causes, told, in_force, gone=change.gone):
        made = outbox_row(cause, row, reports.get(cause.report_id), now)
        is_move = cause.report_id in change.moved  # held at once, for an operator (D13)
        seconds = wait.draft if cause.kind == "draft" and not is_move else 0.0
        if not (made["is_critical"] or is_move) and cause.kind in NEW_TEXT:
            seconds = wait.pdf.get(row.destination, 0.0)
        rows.append({**made, "is_move": int(is_move), "due": now + int(seconds * _SECOND)})
    return rows


def outbox_row(cause: Cause, row: Routed | Step, report: Report | None, now: int) -> dict[str, Any]:
    """The columns of a row of the outbox; `report` is the one that the cause is about."""
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
