"""What stands in the ledger of reports and what was told of them: for one study after the other, a few at a time.

Carries out no clause of a standard; decision D31 (`feed certificate`).
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
    """A row of the outbox; `destination` is empty where none takes the report, `version` is that of the content."""

    destination: str
    state: str
    reason: str
    decided: int
    version: str = ""


@dataclass(frozen=True, slots=True)
class LedgerMessage:
    """A message with a report in it, or about one; all of one cause have the same row of the `outbox`.

    `remarks` are codes of what it could not say as it should, parted by blanks.
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
class Record:
    """A signed report in the store: when it was signed (else seen so), its rows and its messages, in order.

    `stale_at` are destinations that an old copy of a message about its study may still reach (D33).
    """

    signed: int | None
    rows: list[LedgerRow] = field(default_factory=list)
    messages: list[LedgerMessage] = field(default_factory=list)
    stale_at: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class LedgerRecords:
    """A study in the store, with the signed reports by id."""

    is_external: bool
    reports: dict[str, Record] = field(default_factory=dict)


async def recorded(engine: Engine, study_ids: Sequence[str]) -> dict[str, LedgerRecords]:
    """Those of the studies that are stored, by id."""
    asked = {"study_ids": json.dumps(list(study_ids))}
    found = {
        str(study_id): LedgerRecords(bool(is_external))
        for study_id, is_external in await engine.fetch(_STUDIES, **asked)
    }
    for study_id, report_id, signed in await engine.fetch(_REPORTS, **asked):
        if str(study_id) in found:  # else it came in between
            found[str(study_id)].reports[str(report_id)] = Record(None if signed is None else int(signed))
    for study_id, report_id, destination, _, state, reason, decided, version in await engine.fetch(_ROWS, **asked):
        record = _record(found, study_id, report_id)
        if record is not None:
            record.rows.append(LedgerRow(str(destination), str(state), str(reason), int(decided), str(version)))
    for study_id, report_id, report_ids, numbers, *said in await engine.fetch(_MESSAGES, **asked):
        message = LedgerMessage(tuple(json.loads(numbers)), *said)
        for one in {str(report_id), *json.loads(report_ids)}:
            record = _record(found, study_id, one)
            if record is not None:
                record.messages.append(message)
    for study_id, destination in await engine.fetch(_STALE, **asked):
        for of_study in found[str(study_id)].reports.values() if str(study_id) in found else ():
            of_study.stale_at.add(str(destination))
    return found


async def critical_results(engine: Engine, study_id: str) -> set[str]:
    """The ids of the reports of a study that are critical results, as it is stored."""
    rows = await engine.fetch(_KEPT, study_id=study_id)
    study = (await computed(kept, rows[0][0])).study if rows else None
    return {one.report_id for one in study.reports if one.is_critical is True} if study is not None else set()


def _record(found: dict[str, LedgerRecords], study_id: str, report_id: str) -> Record | None:
    return found[str(study_id)].reports.get(str(report_id)) if str(study_id) in found else None
