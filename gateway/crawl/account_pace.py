"""Times of the crawl by the number of studies: length of a sweep, age for refetching reports, age of the index.

AutoScribe REST API: `GET /v1/autoScribe/studies` has no filter by time, and no field that tells of a changed text, so
that all is listed and fetched again and again. Decision D26. The stored progress of the sweep (pass over all studies)
is read every second.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from zlib import crc32

from gateway.runtime import clock
from gateway.runtime.loops import forever
from gateway.settings import Sync
from gateway.store.studies.crawling import SMALLEST_PAGE, StoredCursors, SweepRecord, read_record

# Age of a study -> times `report_refetch_hours` after which its reports are fetched again, in a large account
TIERS: Final = ((timedelta(days=30), 1), (timedelta(days=365), 7), (timedelta.max, 30))
_LEAST_INDEX_AGE: Final = 14_400.0
_HEADROOM: Final = 1.5
_TURNS_FROM: Final = datetime(2000, 1, 1, tzinfo=UTC)
_CHANGED: Final = ("createdAt", "updatedAt")


@dataclass(frozen=True, slots=True)
class AccountPace:
    """Times of the crawl for an account with a number of studies: all listed so far."""

    studies: int
    settings: Sync

    @property
    def sweep_seconds(self) -> float:
        """Time to list all studies."""
        return self.studies / SMALLEST_PAGE / self.settings.pages_per_second

    @property
    def max_index_age(self) -> float:
        """Seconds since the last sweep after which answers say `incomplete`.

        That is the setting, or by default half as long again as a sweep takes, and at least four hours.
        """
        if self.settings.max_index_age is not None:
            return self.settings.max_index_age
        return max(_LEAST_INDEX_AGE, _HEADROOM * max(self.sweep_seconds, self.settings.sweep_interval))

    @property
    def is_tiered(self) -> bool:
        """True if refetching all reports in time would exceed `refetches_per_second`: old studies then wait longer."""
        return self.studies / (self.settings.report_refetch_hours * 3600) > self.settings.refetches_per_second

    def refetched_within(self, age: timedelta) -> timedelta:
        """Return the time within which the reports of a study of that age are fetched again."""
        factor = next(factor for older, factor in TIERS if age < older) if self.is_tiered else 1
        return timedelta(hours=self.settings.report_refetch_hours) * factor

    def stale_before(self, listed: Mapping[str, Any], now: datetime) -> datetime:
        """Return the instant before which reports of a listed study must have been fetched to be fetched again.

        A young study, or one whose age is not known, is fetched by the sweep after which its reports would become too
        old. Each old study has a turn of its own in each week or month: else all would be due at once, for ever.
        """
        within = self.refetched_within(_age(listed, now))
        if within > self.refetched_within(timedelta()):
            turn = within * (crc32(str(listed["studyId"]).encode()) / 2**32)
            return now - (now - _TURNS_FROM - turn) % within
        return now - max(within - timedelta(seconds=self.max_index_age), within / 2)


def pace_of(record: SweepRecord, settings: Sync) -> AccountPace:
    """Return the times for the number of studies that the sweeps have seen."""
    return AccountPace(record.most_studies, settings)


def _age(listed: Mapping[str, Any], now: datetime) -> timedelta:
    """Return the time since the study was last changed."""
    try:
        newest = max(datetime.fromisoformat(text) for name in _CHANGED if (text := listed.get(name)))
        return now - newest
    except (TypeError, ValueError):  # no instant, or no time zone
        return timedelta()


EVERY: Final = 1.0


class SweepWatch:
    """Watch over the sweep's stored record, which `run` reads every second.

    `max_index_age` is in seconds since the last sweep, after which answers say `incomplete`.
    """

    def __init__(self, cursors: StoredCursors, settings: Sync) -> None:
        self._cursors, self._settings = cursors, settings
        self._take(SweepRecord())

    @property
    def index_age(self) -> float | None:
        """Seconds since the last finished sweep began, None if none has finished."""
        finished = self.record.finished
        return None if finished is None else max(0.0, (clock.now() - finished.started).total_seconds())

    async def once(self) -> None:
        """Read the record once."""
        self._take(await read_record(self._cursors))

    def _take(self, record: SweepRecord) -> None:
        self.record, self.max_index_age = record, pace_of(record, self._settings).max_index_age

    async def run(self) -> None:
        """Read the record until cancelled; the last one stays while the store cannot be reached."""
        await forever(self.once, EVERY, not_done="sweep-record-not-read")
