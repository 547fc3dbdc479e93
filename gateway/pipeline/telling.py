"""What is to be told of a study, and to whom: the rows of the outbox, decided with the study (D7).

HL7 v2.5.1 table 0123 (why a result is sent); decisions D20, D28, D31. A message that carries the PDF waits for it, but
for a critical result, which waits for nothing; a draft waits until it has not changed for a while (D16).
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Any, Final

from gateway.destinations import Destination, Routes, routed
from gateway.pipeline.look import NEW_TEXT
from gateway.store.instants import micros
from mappings.changes import Change
from mappings.dates import parse_instant

Told = Mapping[str, AbstractSet[str]]
_SECOND: Final = 1_000_000


def telling(change: Change, told: Told, routes: Routes, now: int, *, wants_pdf: bool) -> list[dict[str, Any]]:
    """A row for each cause and each destination that it concerns, or one without a destination.

    `told` has by name of a destination the ids of the reports that it was, or is about to be, told of.
    """
    reports = {one.report_id: one for one in (*change.gone, *change.study.reports)}
    by_name = {one.name: one for one in routes.destinations}
    rows = []
    for cause, row in routed(change.study, change.causes, told, routes, gone=change.gone):
        report = reports.get(cause.report_id)
        is_critical = report is not None and report.is_critical is True and not cause.is_of_draft
        signed = parse_instant(report.signed_at) if report is not None and report.is_completed else None
        is_move = cause.report_id in change.moved  # held at once, for an operator (D13)
        wait = routes.draft_wait if cause.kind == "draft" and not is_move else 0.0
        if not (is_critical or is_move) and wants_pdf and cause.kind in NEW_TEXT:
            wait = _pdf_wait(by_name.get(row.destination))
        rows.append(
            {
                "report_id": cause.report_id,
                "kind": cause.kind,
                "content_version": cause.content_version,
                "destination": row.destination,
                "state": row.state,
                "reason": row.reason,
                "is_move": int(is_move),
                "is_critical": int(is_critical),
                "due": now + int(wait * _SECOND),
                "signed": micros(signed) if signed else None,
            }
        )
    return rows


def _pdf_wait(destination: Destination | None) -> float:
    """Seconds that a message may wait for the PDF of a text that is new."""
    return destination.input_wait if destination is not None and destination.receiver.takes_pdf else 0.0
