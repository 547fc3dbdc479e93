"""Changes that may have been sent before a database was restored and that no journal knows: all earlier ones. Pure.

Carries out no clause of a standard; decision D38.
"""

from __future__ import annotations

from typing import Final

from gateway.store.database.instants import micros
from gateway.store.feed.outbox import Waiting
from gateway.store.feed.resending import BEHIND
from mappings.dates import parse_instant
from mappings.model import Study

_DAY: Final = 24 * 3600 * 1_000_000
_LATE: Final = _DAY  # within it a change is taken in, at the latest (`sync.report_refetch_hours`)
_SKEW: Final = 600 * 1_000_000  # by which AutoScribe's clock may be ahead; what is later yet has not been
_FOUND: Final = 7 * _DAY  # by then everything was read anew, and what is decided later is news


def is_doubtful(row: Waiting, study: Study, since: int, until: int) -> bool:
    """True if what a row asks for may have been sent while the database was not there, from `since` to `until`.

    Both in microseconds. So may what changed in between, what may not have been taken in by then, and what changed
    nobody knows when. What an operator asks for is none of it.
    """
    if row.kind == "replay" or row.priority == BEHIND or row.decided > until + _FOUND:
        return False
    changed = [
        micros(instant)
        for one in study.reports
        if one.report_id == row.report_id
        for instant in map(parse_instant, (one.signed_at, one.updated_at))
        if instant is not None and micros(instant) < row.decided + _SKEW
    ]
    return not changed or since - _LATE <= max(changed) < until
