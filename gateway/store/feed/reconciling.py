"""Read signed reports with their messages for the certificate (state of every report at a destination).

Carries out no clause of a standard; decision D31 (`feed certificate`).
Proved by tests/contract/test_takeover.py and tests/gateway/cli/test_feed.py.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from gateway.runtime.computing import computed
from gateway.store.database.engine import Engine
from gateway.store.database.statements import Statement
from gateway.store.feed.moves import IS_OWED
from gateway.store.studies.kept import kept

_STUDIES: Final = Statement("SELECT study_id, is_external FROM study WHERE study_id IN listed(:study_ids)")
_REPORTS: Final = Statement(
    "SELECT study_id, report_id, coalesce(signed, first_seen_signed) FROM report WHERE study_id IN listed(:study_ids)"
    " AND status = 'completed'"
)
_ROWS: Final = Statement(
    "SELECT study_id, report_id, destination, number, state, reason, decided, content_version FROM outbox"
    " WHERE study_id IN listed(:study_ids) AND kind NOT IN ('draft', 'draft_cancelled') ORDER BY number"
)
_MESSAGES: Final = Statement(
    "SELECT study_id, report_id, report_ids, filler_order_numbers, destination, number, outbox, state, reason, ack,"  # noqa: S608 (constants)
    f" superseded_by, made, remarks FROM message WHERE study_id IN listed(:study_ids) AND is_draft = 0{IS_OWED}"
    " ORDER BY number"
)
_STALE: Final = Statement(
    "SELECT DISTINCT study_id, destination FROM message WHERE study_id IN listed(:study_ids)"
    " AND stale_until IS NOT NULL"
)
_KEPT: Final = Statement("SELECT kept FROM study WHERE study_id = :study_id")


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """Row of the outbox. `destination` is empty if none takes the report; `version` is the content's version."""

    destination: str
    state: str
    reason: str
    decided: int
    version: str = ""


@dataclass(frozen=True, slots=True)
class LedgerMessage:
    """Message that includes a report or is about one; messages of one cause have the same `outbox` row.

    `remarks` are codes for content that could not be expressed, separated by spaces.
    """

    filler_order_numbers: tuple[str, ...]
    destination: str
    number: int
    outbox: int
    state: str
    reason: str
    ack: str
    superseded_by: int | None
    made: int
    remarks: str = ""


@dataclass(slots=True)
class ReportRecord:
    """Signed report in the store: when it was signed (or first seen signed), its rows and its messages, in order.

    `stale_at` are destinations that an old copy of a message about its study may still reach (D33).
    """

    signed: int | None
    rows: list[LedgerRow] = field(default_factory=list)
    messages: list[LedgerMessage] = field(default_factory=list)
    stale_at: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class LedgerRecords:
    """Study in the store, with its signed reports by id."""

    is_external: bool
    reports: dict[str, ReportRecord] = field(default_factory=dict)


async def report_records(engine: Engine, study_ids: Sequence[str]) -> dict[str, LedgerRecords]:
    """Return those of these studies that are stored, by id."""
    asked = {"study_ids": json.dumps(list(study_ids))}
    records = {
        str(study_id): LedgerRecords(bool(is_external))
        for study_id, is_external in await engine.fetch(_STUDIES, **asked)
    }
    for study_id, report_id, signed in await engine.fetch(_REPORTS, **asked):
        if str(study_id) in records:  # it was stored in between
            records[str(study_id)].reports[str(report_id)] = ReportRecord(None if signed is None else int(signed))
    for study_id, report_id, destination, _, state, reason, decided, version in await engine.fetch(_ROWS, **asked):
        record = _record(records, study_id, report_id)
        if record is not None:
            record.rows.append(LedgerRow(str(destination), str(state), str(reason), int(decided), str(version)))
    for study_id, report_id, report_ids, numbers, *columns in await engine.fetch(_MESSAGES, **asked):
        message = LedgerMessage(tuple(json.loads(numbers)), *columns)
        for included_id in {str(report_id), *json.loads(report_ids)}:
            record = _record(records, study_id, included_id)
            if record is not None:
                record.messages.append(message)
    for study_id, destination in await engine.fetch(_STALE, **asked):
        for of_study in records[str(study_id)].reports.values() if str(study_id) in records else ():
            of_study.stale_at.add(str(destination))
    return records


async def critical_results(engine: Engine, study_id: str) -> set[str]:
    """Return the ids of a stored study's reports that are critical results."""
    rows = await engine.fetch(_KEPT, study_id=study_id)
    study = (await computed(kept, rows[0][0])).study if rows else None
    return {one.report_id for one in study.reports if one.is_critical is True} if study is not None else set()


def _record(found: dict[str, LedgerRecords], study_id: str, report_id: str) -> ReportRecord | None:
    return found[str(study_id)].reports.get(str(report_id)) if str(study_id) in found else None
