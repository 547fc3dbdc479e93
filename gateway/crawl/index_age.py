"""Read the stored progress of the sweep (pass over all studies) every second, to know the age of the search index.

Carries out no clause of a standard; decision D26.
"""

from __future__ import annotations

from typing import Final

from gateway.crawl.account_pace import pace_of
from gateway.runtime import clock
from gateway.runtime.loops import forever
from gateway.settings import Sync
from gateway.store.studies.crawling import StoredCursors, SweepRecord, read_record

EVERY: Final = 1.0


class SweepWatch:
    """Latest stored record of the sweep; `run` reads it every second.

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
