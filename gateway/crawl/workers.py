"""Ingest listed studies with a few parallel workers; on PostgreSQL, hand them out to the workers of all processes.

AutoScribe REST API: `GET /v1/autoScribe/studies`, whose elements may differ from the contract one by one; decision D26.
Listing waits while studies are ingested. Claims of a process that was killed or is frozen end with its lease, and
another process reads those studies.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from types import TracebackType
from typing import Final, Self

from gateway.crawl.account_pace import AccountPace, pace_of
from gateway.crawl.ports import Crawl, Json
from gateway.crawl.retries import ATTEMPTS, Retries, may_help, wait_after
from gateway.crawl.sharing import HandedOut, Sharing
from gateway.runtime import clock
from gateway.runtime.errors import GatewayError
from gateway.runtime.log import code_of, get_logger
from gateway.store.database.engine import CRAWL, Listener
from gateway.store.studies.crawling import Claimed, Settled, ToRead, read_record
from gateway.upstream.answers import Answer

NOT_UNDERSTOOD: Final = "element-not-understood"
_QUEUED: Final = 100
# Pages that are handed out before the oldest is settled: several processes read one in a tenth of a second
_PAGES_AHEAD: Final = 4
# Each worker asks AutoScribe for only part of its time: this many keep requests always waiting for a turn
WORKERS_PER_REQUEST: Final = 2


class ListedBatch:
    """Studies handed in together, and how many of them are not settled yet."""

    def __init__(self, count: int) -> None:
        self._left, self._over = count, asyncio.Event()
        if not count:
            self._over.set()

    def settle_one(self) -> None:
        """Count one study as settled: ingested, to be tried again, or given up."""
        self._left -= 1
        if not self._left:
            self._over.set()

    async def settled(self) -> None:
        """Wait until every study of the batch is settled."""
        await self._over.wait()


class Intake:
    """Round of a loop that ingests studies. Use as `async with`: the end waits for all, even after a failure."""

    def __init__(self, loop: str, crawl: Crawl, retries: Retries) -> None:
        self._loop, self._crawl, self._retries = loop, crawl, retries
        self._queue: asyncio.Queue[tuple[ListedBatch, str, Json | None]] = asyncio.Queue(_QUEUED)
        self._workers: list[asyncio.Task[None]] = []
        self._pace = AccountPace(0, crawl.settings)
        self._sharing = crawl.sharing
        self._handed_out: list[HandedOut] = []
        self.listed = self.done = self.failed = 0

    async def __aenter__(self) -> Self:
        await self._retries.load()
        self._pace = pace_of(await read_record(self._crawl.cursors), self._crawl.settings)
        count = 0 if self._sharing else self._crawl.settings.concurrency * WORKERS_PER_REQUEST
        self._workers = [asyncio.create_task(self._work()) for _ in range(count)]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if kind is None or issubclass(kind, Exception):
                await self._queue.join()
                for handed_out in self._handed_out:
                    await handed_out.settled()
        finally:
            for worker in self._workers:
                worker.cancel()
            await asyncio.gather(*self._workers, return_exceptions=True)
        if kind is None:
            await self._retries.save()

    @property
    def pages_ahead(self) -> int:
        """Pages that may be handed in before the oldest is settled; a crash lists them again."""
        return _PAGES_AHEAD if self._sharing else 1

    async def page(self, page: Answer) -> ListedBatch | HandedOut:
        """Ingest the stale studies of a page, and those due for another try; wait while all workers are busy."""
        studies = page.value["studies"]
        self.listed += len(studies)
        self._count_unread(page)
        now = clock.now()
        stale = set(await self._crawl.known.stale(studies, lambda study: self._pace.stale_before(study, now)))
        given: dict[str, Json | None] = dict.fromkeys(self._retries.take_due(now))
        given |= {study["studyId"]: study for study in studies if study["studyId"] in stale}
        return await self._hand_in(given.items())

    async def studies(self, study_ids: Iterable[str]) -> ListedBatch | HandedOut:
        """Ingest these studies, even if the store has them unchanged; wait while all workers are busy."""
        return await self._hand_in([(study_id, None) for study_id in study_ids])

    async def _hand_in(self, given: Iterable[tuple[str, Json | None]]) -> ListedBatch | HandedOut:
        items = list(given)
        if self._sharing is not None:
            return await self._hand_out(self._sharing.to_read, items)
        batch = ListedBatch(len(items))
        for study_id, listed in items:
            await self._queue.put((batch, study_id, listed))
        return batch

    async def _hand_out(self, to_read: ToRead, items: list[tuple[str, Json | None]]) -> HandedOut:
        """Hand out studies to all processes; wait until few enough pages are unsettled."""
        if items:
            await to_read.add(self._loop, items)
        handed_out = HandedOut(to_read, [study_id for study_id, _ in items])
        self._handed_out.append(handed_out)
        if len(self._handed_out) > self.pages_ahead:
            await self._handed_out.pop(0).settled()
        return handed_out

    async def _work(self) -> None:
        while True:
            batch, study_id, listed = await self._queue.get()
            try:
                await self._take_in(study_id, listed)
            except Exception as error:  # a worker that ended would block the round for ever
                get_logger().error("outcome-not-noted", operation=self._loop, study_id=study_id, exc_info=error)
            batch.settle_one()
            self._queue.task_done()

    async def _take_in(self, study_id: str, listed: Json | None) -> None:
        error = await ingested(self._crawl, self._loop, study_id, listed)
        if error is None:
            self.done += 1
            self._retries.settle(study_id)
            return
        self.failed += 1
        is_put_off = may_help(error) and self._retries.put_off(study_id, clock.now())
        if not is_put_off:
            self._retries.settle(study_id)
        note_failure(self._crawl, self._loop, study_id, error, is_put_off=is_put_off)

    def _count_unread(self, page: Answer) -> None:
        unread = sum(issue.code == NOT_UNDERSTOOD for issue in page.issues)
        if unread:
            get_logger().warning("listed-studies-not-understood", operation=self._loop, count=unread)
        for _ in range(unread):
            self._crawl.observer.ingested(self._loop, NOT_UNDERSTOOD)


async def ingested(crawl: Crawl, loop: str, study_id: str, listed: Json | None) -> BaseException | None:
    """Ingest a study for a loop; return the error if that failed."""
    try:
        await crawl.ingest(study_id, listed=listed)
    except asyncio.CancelledError as error:
        if _is_cancelled():
            raise
        return error  # the work inside the ingest was cancelled, not this worker
    except Exception as error:
        return error
    crawl.observer.ingested(loop, "done")
    return None


def note_failure(crawl: Crawl, loop: str, study_id: str, error: BaseException, *, is_put_off: bool) -> None:
    """Count and log a study that was not ingested."""
    code = error.code if isinstance(error, GatewayError) else None
    crawl.observer.ingested(loop, code or "internal")
    get_logger().warning(
        "study-not-taken-in",
        operation=loop,
        study_id=study_id,
        code=code or "internal",
        action="retry" if is_put_off else "given-up",
        exc_info=None if code else error,
    )


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


_IDLE: Final = 1.0  # seconds until a look at the store without a ring


class Readers:
    """Workers of one process that claim studies and ingest them."""

    def __init__(self, crawl: Crawl, sharing: Sharing) -> None:
        self._crawl, self._sharing = crawl, sharing
        self._queue: asyncio.Queue[Claimed] = asyncio.Queue()
        self._held: dict[str, Claimed] = {}
        self._settled: list[Settled] = []

    async def run(self) -> None:
        """Claim and ingest studies until cancelled."""
        await self._sharing.has_joined.wait()
        with self._sharing.engine.bell.listener(CRAWL) as listener:
            async with asyncio.TaskGroup() as group:
                for _ in range(self._crawl.settings.concurrency * WORKERS_PER_REQUEST):
                    group.create_task(self._work(listener))
                group.create_task(self._claim(listener))

    @property
    def _most(self) -> int:
        """Number of studies to claim at most, so that other processes get those it cannot ingest soon."""
        return self._sharing.pace.own_limit * WORKERS_PER_REQUEST

    async def _claim(self, listener: Listener) -> None:
        while True:
            settled, self._settled = self._settled, []
            more = max(0, self._most - len(self._held))
            try:
                claims = await self._sharing.to_read.turn(settled, sorted(self._held), more)
            except GatewayError as error:
                get_logger().warning("studies-not-claimed", code=code_of(error))
                self._settled = settled + self._settled
                claims = []
            for one in claims:
                self._held[one.study_id] = one
                self._queue.put_nowait(one)
            await listener.wait(min(_IDLE, self._sharing.every))

    async def _work(self, listener: Listener) -> None:
        while True:
            claim = await self._queue.get()
            error = await ingested(self._crawl, claim.loop, claim.study_id, claim.listed)
            wait = None if error is None else self._wait(claim, error)
            self._settled.append(Settled(claim, wait))
            del self._held[claim.study_id]
            if len(self._held) <= self._most // 2:
                listener.wake()

    def _wait(self, claim: Claimed, error: BaseException) -> float | None:
        """Note a failure; return the seconds until another try, None if the study is given up."""
        attempts = claim.attempts + 1
        is_put_off = may_help(error) and attempts < ATTEMPTS
        note_failure(self._crawl, claim.loop, claim.study_id, error, is_put_off=is_put_off)
        return wait_after(attempts).total_seconds() if is_put_off else None
