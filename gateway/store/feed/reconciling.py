"""Read signed reports with their rows, their messages and open items, from which their fates follow.

Carries out no clause of a standard; decisions D21, D31, D49 (gateway/feed/fate.py).
Proved by tests/contract/test_takeover.py and tests/gateway/cli/test_feed.py.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from gateway.runtime.computing import computed
from gateway.store.database.engine import Engine
from gateway.store.database.statements import Row, Statement
from gateway.store.feed.moves import IS_OWED
from gateway.store.feed.states import NO_NEWS
from gateway.store.studies.cancelled_reports import CancelledItem, items_of_studies
from gateway.store.studies.kept import kept

_STUDIES: Final = Statement("SELECT study_id, is_external, fetched FROM study WHERE study_id IN listed(:study_ids)")
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
_SIGNED: Final = Statement("SELECT study_id FROM study WHERE has_signed = 1")
_OPEN_ROWS: Final = Statement(
    "SELECT study_id FROM outbox WHERE destination = :destination"
    " AND state IN ('waiting', 'held', 'planned', 'to_stop')"
    " UNION SELECT study_id FROM outbox WHERE destination = :destination AND state = 'nothing'"
    " AND reason NOT IN listed(:no_news)"
    " UNION SELECT study_id FROM outbox WHERE destination = '' AND state = 'unrouted'"
    " UNION SELECT study_id FROM cancelled_report WHERE state = 'open'"
    " UNION SELECT study_id FROM cancelled_report WHERE state = 'withdrawing'"
)
_OPEN_MESSAGES: Final = Statement(
    "SELECT study_id FROM message WHERE destination = :destination AND state IN ('queued', 'sending', 'indeterminate',"
    " 'held', 'dead_letter')"
    " UNION SELECT study_id FROM message WHERE destination = :destination AND stale_until IS NOT NULL"
)
_RECORDED: Final = Statement("SELECT study_id FROM message WHERE destination = :destination AND state = 'recorded'")
_UNACCEPTED: Final = Statement(
    "SELECT study_id FROM message WHERE destination = :destination AND accepted IS NULL AND committed IS NOT NULL"
)
_SECONDS: Final = 60.0
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

    `stale_at` are destinations that an old copy of a message about its study may still reach (D33). `cancelled` is its
    open item, if AutoScribe cancelled it.
    """

    signed: int | None
    rows: list[LedgerRow] = field(default_factory=list)
    messages: list[LedgerMessage] = field(default_factory=list)
    stale_at: set[str] = field(default_factory=set)
    study_id: str = ""
    cancelled: CancelledItem | None = None


@dataclass(frozen=True, slots=True)
class LedgerRecords:
    """Study in the store, with its signed reports by id; `fetched` is when it was last read, in microseconds."""

    is_external: bool
    reports: dict[str, ReportRecord] = field(default_factory=dict)
    fetched: int = 0


async def report_records(engine: Engine, study_ids: Sequence[str]) -> dict[str, LedgerRecords]:
    """Return those of these studies that are stored, by id."""
    asked = {"study_ids": json.dumps(list(study_ids))}
    records = {
        str(study_id): LedgerRecords(bool(is_external), fetched=int(fetched))
        for study_id, is_external, fetched in await engine.fetch(_STUDIES, **asked)
    }
    for study_id, report_id, signed in await engine.fetch(_REPORTS, **asked):
        if str(study_id) in records:  # it was stored in between
            record = ReportRecord(None if signed is None else int(signed), study_id=str(study_id))
            records[str(study_id)].reports[str(report_id)] = record
    for study_id, report_id, destination, _, state, reason, decided, version in await engine.fetch(_ROWS, **asked):
        about = _record(records, study_id, report_id)
        if about is not None:
            about.rows.append(LedgerRow(str(destination), str(state), str(reason), int(decided), str(version)))
    for study_id, report_id, report_ids, numbers, *columns in await engine.fetch(_MESSAGES, **asked):
        message = LedgerMessage(tuple(json.loads(numbers)), *columns)
        for included_id in {str(report_id), *json.loads(report_ids)}:
            about = _record(records, study_id, included_id)
            if about is not None:
                about.messages.append(message)
    await _mark(engine, study_ids, records)
    return records


async def _mark(engine: Engine, study_ids: Sequence[str], records: dict[str, LedgerRecords]) -> None:
    """Add what stands open of reports beside their rows and messages: old copies, and cancellations."""
    for study_id, destination in await engine.fetch(_STALE, study_ids=json.dumps(list(study_ids))):
        for of_study in records[str(study_id)].reports.values() if str(study_id) in records else ():
            of_study.stale_at.add(str(destination))
    for item in await items_of_studies(engine, study_ids):
        about = _record(records, item.study_id, item.report_id)
        if about is not None and item.is_open:
            about.cancelled = item


async def signed_studies(engine: Engine) -> set[str]:
    """Return the ids of all studies with a signed report."""
    return {str(study_id) for (study_id,) in await _scan(engine, _SIGNED)}


async def studies_with_open_work(
    engine: Engine, destination: str, *, is_two_phase: bool = False, is_dry_run: bool = False
) -> set[str]:
    """Return the ids of all studies of which a report may be open at a destination whose plan is made.

    What is recorded is open unless `is_dry_run`; what only the interface accepted is open if `is_two_phase`.
    """
    rows = list(await _scan(engine, _OPEN_ROWS, destination=destination, no_news=json.dumps(NO_NEWS)))
    asked = [_OPEN_MESSAGES, *([] if is_dry_run else [_RECORDED]), *([_UNACCEPTED] if is_two_phase else [])]
    for statement in asked:
        rows += await _scan(engine, statement, destination=destination)
    return {str(study_id) for (study_id,) in rows}


async def _scan(engine: Engine, statement: Statement, **values: str) -> Sequence[Row]:
    compiled = statement.compiled(engine.dialect)
    return await engine.scan(compiled.sql, compiled.positional(values), _SECONDS)


async def critical_results(engine: Engine, study_id: str) -> set[str]:
    """Return the ids of a stored study's reports that are critical results."""
    rows = await engine.fetch(_KEPT, study_id=study_id)
    study = (await computed(kept, rows[0][0])).study if rows else None
    return {one.report_id for one in study.reports if one.is_critical is True} if study is not None else set()


def _record(found: dict[str, LedgerRecords], study_id: str, report_id: str) -> ReportRecord | None:
    return found[str(study_id)].reports.get(str(report_id)) if str(study_id) in found else None
