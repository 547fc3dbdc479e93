"""Share the crawl among processes on PostgreSQL: one lists studies, all ingest what it lists.

AutoScribe REST API: `GET /v1/autoScribe/studies`; decisions D26, D33. Limits hold for all processes together: each
sends its share of the requests, and a Retry-After that one hears closes all. A process that says nothing for the time
of a lease, since it was killed or is frozen, counts as gone: another one lists, and reads what it had claimed.
Proved by tests/gateway/crawl/test_sharing.py.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from gateway.runtime import clock
from gateway.runtime.errors import GatewayError
from gateway.runtime.log import code_of, get_logger
from gateway.store.database.engine import CRAWL, Engine
from gateway.store.studies.crawling import Crawlers, ToRead
from gateway.upstream.pace import Pace

BEAT: Final = 2.0  # seconds; less with a short lease


class Sharing:
    """This process among those that share the crawl. `is_first` while it is the one that lists studies.

    `lease` is the time in seconds after which a silent process is gone. `has_joined` is set once the others had time to
    make room for this process.
    """

    def __init__(self, engine: Engine, pace: Pace, lease: float) -> None:
        holder, self.every = secrets.token_hex(8), min(BEAT, lease / 3)
        self.engine, self.pace = engine, pace
        self.to_read = ToRead(engine, holder, lease)
        self.is_first, self.is_other = asyncio.Event(), asyncio.Event()
        self._crawlers = Crawlers(engine, holder, lease)
        self._has_news, self._joins = True, clock.monotonic() + self.every
        self.has_joined = asyncio.Event()
        self.is_other.set()

    async def beat(self) -> None:
        """Report that this process is alive, and take its share of the allowed requests.

        Raises:
            StoreUnavailable: the store cannot be reached.
        """
        standing = await self._crawlers.beat(self.pace.closed_for)
        if self._joins <= clock.monotonic() or standing.processes == 1:
            self.has_joined.set()
        self.pace.share(standing.processes)
        self.pace.close_for(standing.closed_for)
        now, before = (self.is_first, self.is_other) if standing.is_first else (self.is_other, self.is_first)
        if not now.is_set():
            now.set()
            before.clear()
            get_logger().info("crawl-lists" if standing.is_first else "crawl-reads", count=standing.processes)

    async def run(self) -> None:
        """Beat until cancelled, at once when AutoScribe asks this process to wait; then leave."""
        self.pace.on_closed = self._note
        try:
            with self.engine.bell.listener(CRAWL) as listener:
                while True:
                    await self._beat_and_ring()
                    await asyncio.sleep(self.every / 10)  # a ring for each page of studies: not a beat for each
                    await listener.wait(self.every)
        finally:
            with suppress(GatewayError):
                await self.to_read.release()
                await self._crawlers.leave()

    async def _beat_and_ring(self) -> None:
        has_news, self._has_news = self._has_news, False
        try:
            await self.beat()
        except GatewayError as error:
            get_logger().warning("crawl-not-shared", code=code_of(error))
            self._has_news |= has_news
        else:
            if has_news:
                self.engine.bell.ring(CRAWL)

    def _note(self) -> None:
        """Report at once to the other processes that AutoScribe asked to wait."""
        self._has_news = True
        self.engine.bell.heard(CRAWL)


class HandedOut:
    """Studies handed out together, whichever process ingests them."""

    def __init__(self, to_read: ToRead, study_ids: Sequence[str]) -> None:
        self._to_read, self._study_ids = to_read, study_ids

    async def settled(self) -> None:
        """Wait until every study was ingested, scheduled for another try, or given up.

        Raises:
            StoreUnavailable: the store cannot be reached.
        """
        while self._study_ids and await self._to_read.unread(self._study_ids):  # noqa: ASYNC110 (another process reads)
            await asyncio.sleep(BEAT / 10)
