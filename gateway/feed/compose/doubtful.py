"""Without a journal: decide if an outbox row's message may have been sent between a backup and its restore. Pure.

Carries out no clause of a standard; decision D38.
"""

from __future__ import annotations

from typing import Final

from gateway.store.database.engine import micros
from gateway.store.feed.outbox import BEHIND, WaitingRow
from mappings.model import Study
from mappings.values.dates import parse_instant

_DAY: Final = 24 * 3600 * 1_000_000
_LATE: Final = _DAY  # the longest until a change is ingested (`sync.report_refetch_hours`)
_SKEW: Final = 600 * 1_000_000  # the most that AutoScribe's clock may be ahead of ours
_FOUND: Final = 7 * _DAY  # by then every study was read again, so a row decided later is a new change


def is_doubtful(row: WaitingRow, study: Study, since: int, until: int) -> bool:
    """True if a row's message may have been sent in the time that the restore lost, from `since` to `until`.

    Both are in microseconds. A row is doubtful if its report changed in that span or up to a day before it, or at an
    unknown instant. Replays and backloads are never doubtful.
    """
    if row.kind == "replay" or row.priority == BEHIND or row.decided > until + _FOUND:
        return False
    changed = [
        micros(instant)
        for report in study.reports
        if report.report_id == row.report_id
        for instant in map(parse_instant, (report.signed_at, report.updated_at))
        if instant is not None and micros(instant) < row.decided + _SKEW
    ]
    return not changed or since - _LATE <= max(changed) < until
