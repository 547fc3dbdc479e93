"""Read the studies that were handed out, with a few parallel workers: claim some, ingest each, and settle the claims.

Carries out no clause of a standard; decision D26. Claims of a process that was killed or is frozen end with its
lease, and another process reads those studies.
Proved by tests/gateway/crawl/test_sharing.py.
"""

from __future__ import annotations

import asyncio
from typing import Final

from gateway.crawl.ports import Crawl
from gateway.crawl.retries import ATTEMPTS, may_help, wait_after
from gateway.crawl.sharing import Sharing
from gateway.crawl.workers import WORKERS_PER_REQUEST, ingested, note_failure
from gateway.runtime.errors import GatewayError
from gateway.runtime.log import code_of, get_logger
from gateway.store.database.bell import CRAWL, Listener
from gateway.store.studies.crawling import Claimed, Settled

_IDLE: Final = 1.0  # seconds until a look at the store without a ring


class Readers:
    """Workers of one process."""

    def __init__(self, crawl: Crawl, sharing: Sharing) -> None:
        self._crawl, self._sharing = crawl, sharing
        self._queue: asyncio.Queue[Claimed] = asyncio.Queue()
        self._held: dict[str, Claimed] = {}
        self._settled: list[Settled] = []

    async def run(self) -> None:
        """Read until cancelled."""
        await self._sharing.has_joined.wait()
        with self._sharing.engine.bell.listener(CRAWL) as listener:
            async with asyncio.TaskGroup() as group:
                for _ in range(self._crawl.settings.concurrency * WORKERS_PER_REQUEST):
                    group.create_task(self._work(listener))
                group.create_task(self._claim(listener))

    @property
    def _most(self) -> int:
        """Maximum of claims: what this process cannot read soon is left to the others."""
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
