"""Sweep: list all studies of AutoScribe page by page, again and again, to find changes that the other loops miss.

AutoScribe REST API: `GET /v1/autoScribe/studies` has no filter by time and no order, so every page is read. Pages may
shift while data changes, and a cursor may expire. Decisions D21 (studies that are not listed), D26.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from gateway.crawl.ports import Crawl
from gateway.crawl.retries import Retries
from gateway.crawl.sharing import HandedOut
from gateway.crawl.workers import Intake, ListedBatch
from gateway.runtime import clock
from gateway.runtime.errors import (
    UpstreamConflict,
    UpstreamNotFound,
    UpstreamNotUnderstood,
    UpstreamRefused,
    UpstreamUnprocessable,
)
from gateway.runtime.log import get_logger
from gateway.runtime.loops import repeat
from gateway.store.studies.crawling import NAME, Finished, Running, SweepRecord, read_record
from gateway.upstream.answers import Answer, next_cursor
from gateway.upstream.metronome import Metronome

Show = Callable[[SweepRecord], None]
_MISSING_SWEEPS: Final = 3  # in a row without an indexed study, before an alert (decision D21)
_REFUSED: Final = (UpstreamConflict, UpstreamNotFound, UpstreamRefused, UpstreamUnprocessable)


@dataclass(frozen=True, slots=True)
class Swept:
    """Result of a completed sweep: counts of studies listed, ingested, failed, to be retried, and not listed."""

    listed: int
    taken_in: int
    failed: int
    waiting: int
    missing: int
    seconds: float


def unshown(_: SweepRecord) -> None:
    """Show nothing."""


class Sweep:
    """Loop that lists all studies. After a crash it continues at the first page that is not ingested completely.

    Other processes may sweep too: the record is read before it is written, so that no finished sweep is lost.
    """

    def __init__(self, crawl: Crawl) -> None:
        self._crawl = crawl
        self._retries = Retries(f"{NAME}_retry", crawl.cursors)
        self._beat = Metronome(crawl.settings.pages_per_second)

    async def run(self) -> None:
        """Sweep again and again until cancelled."""

        async def once() -> int:
            return (await self.once()).listed

        await repeat(NAME, once, self._crawl.settings.sweep_interval, self._crawl.observer)

    async def once(self, show: Show = unshown) -> Swept:
        """Run one whole sweep, or finish the one that broke off; call `show` after each page.

        If AutoScribe refuses the stored cursor, the sweep starts from the first page.

        Raises:
            GatewayError: AutoScribe did not list the studies, or the store did not answer.
        """
        record = await read_record(self._crawl.cursors)
        if record.running and record.running.cursor:
            try:
                return await self._sweep(record, record.running, show)
            except _REFUSED as error:
                get_logger().warning("sweep-begins-anew", operation=NAME, code=error.code)
        return await self._sweep(record, Running(clock.now()), show)

    async def _sweep(self, record: SweepRecord, running: Running, show: Show) -> Swept:
        async with Intake(NAME, self._crawl, self._retries) as intake:
            running = await self._walk(record, running, intake, show)
        return await self._end(running, intake)

    async def _walk(self, record: SweepRecord, running: Running, intake: Intake, show: Show) -> Running:
        """Read page after page; the stored position moves past a page once its studies are settled."""
        ahead: deque[tuple[Running, ListedBatch | HandedOut]] = deque()
        cursors = {running.cursor}
        while True:
            page = await self._page(record.page_size, running.cursor)
            ahead.append((running, await intake.page(page)))
            if len(ahead) > intake.pages_ahead:
                _, oldest = ahead.popleft()
                await oldest.settled()
            await self._retries.save()
            await self._store_record(replace(await read_record(self._crawl.cursors), running=ahead[0][0]))
            cursor = next_cursor(page)
            listed = running.studies + len(page.value["studies"])
            running = replace(running, cursor=cursor or "", pages=running.pages + 1, studies=listed)
            show(replace(record, running=running))
            if cursor is None:
                return running
            if cursor in cursors:
                detail = "/cursor: expected a new one, found one that came before"
                raise UpstreamNotUnderstood("GET /studies", detail=detail)
            cursors.add(cursor)

    async def _page(self, limit: int, cursor: str) -> Answer:
        await self._beat.next()
        async with aclosing(self._crawl.upstream.studies(limit=limit, cursor=cursor)) as pages:
            return await anext(pages)

    async def _end(self, running: Running, intake: Intake) -> Swept:
        """Record the end of the sweep and report missing studies; a sweep that missed most does not count."""
        missing = await self._crawl.known.missing(running.started)
        now = clock.now()
        record = await read_record(self._crawl.cursors)
        finished = record.finished
        if len(missing) > running.studies:
            get_logger().warning("sweep-lists-too-little", operation=NAME, count=running.studies)
        elif finished is None or finished.started <= running.started:
            finished = Finished(running.started, now, running.studies)
        newest_first = sorted({running.started, *record.starts}, reverse=True)
        starts = tuple(newest_first[:_MISSING_SWEEPS])
        not_listed = await self._not_listed(starts) if missing else 0
        await self._store_record(SweepRecord(record.sweeps + 1, None, finished, starts, not_listed))
        seconds = (now - running.started).total_seconds()
        get_logger().info("sweep-ended", operation=NAME, count=running.studies, seconds=round(seconds, 3))
        self._crawl.observer.missing(len(missing))
        waiting = len(self._retries)
        return Swept(running.studies, intake.done, intake.failed, waiting, len(missing), seconds)

    async def _not_listed(self, starts: tuple[datetime, ...]) -> int:
        """Log and count the studies that none of so many sweeps listed: the alert `studies-not-listed` (D21)."""
        if len(starts) < _MISSING_SWEEPS or not (long_missing := await self._crawl.known.missing(starts[-1])):
            return 0
        get_logger().error("studies-not-listed", operation=NAME, count=len(long_missing), attempts=_MISSING_SWEEPS)
        return len(long_missing)

    async def _store_record(self, record: SweepRecord) -> None:
        await self._crawl.cursors.put(NAME, record.as_json())
