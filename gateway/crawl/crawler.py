"""Run the three crawl loops (all studies, unsigned studies, cancelled studies) without end, or a single full pass.

AutoScribe REST API: there is no change feed, so the gateway polls (decision D26). `GET
/v1/autoScribe/studies?studyReportStatus=` lists the open set every half minute: no event tells of a begun report, an
opened addendum or a cancelled study, and webhooks can be lost, so a signature is noticed without them.
`?isCancelled=true` is listed every ten minutes (D21).
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import replace
from typing import Final

from gateway.crawl.ports import Crawl
from gateway.crawl.retries import Retries
from gateway.crawl.sharing import Sharing
from gateway.crawl.sweep import Show, Sweep, Swept, unshown
from gateway.crawl.workers import Intake, Readers
from gateway.runtime import clock
from gateway.runtime.errors import GatewayError
from gateway.runtime.log import get_logger
from gateway.runtime.loops import alongside, pause, repeat
from gateway.store.database.engine import Engine
from gateway.store.studies.crawling import kept_position
from gateway.upstream.metronome import Metronome

CANCELLED: Final = "cancelled"


class Cancelled:
    """Loop that lists the cancelled studies."""

    def __init__(self, crawl: Crawl) -> None:
        self._crawl = crawl
        self._retries = Retries(f"{CANCELLED}_retry", crawl.cursors)

    async def run(self) -> None:
        """Read the list again and again, until cancelled."""
        await repeat(CANCELLED, self.once, self._crawl.settings.cancelled_interval, self._crawl.observer)

    async def once(self) -> int:
        """Read the list once; return how many studies are cancelled.

        Raises:
            GatewayError: AutoScribe did not list the studies, or the store did not answer.
        """
        beat = Metronome(self._crawl.settings.pages_per_second)
        await beat.next()
        async with (
            Intake(CANCELLED, self._crawl, self._retries) as intake,
            aclosing(self._crawl.upstream.studies(is_cancelled=True)) as pages,
        ):
            async for page in pages:
                await intake.page(page)
                await beat.next()
        return intake.listed


OPEN_SET: Final = "open_set"
OPEN: Final = ("unassigned", "assigned", "in_progress", "addendum_active")
MOST_REMEMBERED: Final = 20_000
_IDS: Final = "ids"


class OpenSet:
    """Loop that lists the open set (studies not signed yet), which is stored: a restart notices those that left it.

    It is also kept in memory, since another gateway may overwrite the stored one.
    """

    def __init__(self, crawl: Crawl) -> None:
        self._crawl = crawl
        self._seen: frozenset[str] = frozenset()
        self._retries = Retries(f"{OPEN_SET}_retry", crawl.cursors)

    async def run(self) -> None:
        """Poll again and again, until cancelled."""
        await repeat(OPEN_SET, self.once, self._crawl.settings.open_interval, self._crawl.observer)

    async def once(self) -> int:
        """Poll once; return how many studies are open. A poll that breaks off leaves the stored set as it was.

        Raises:
            GatewayError: AutoScribe did not list the studies, or the store did not answer.
        """
        before = await kept_position(
            self._crawl.cursors, OPEN_SET, lambda value: frozenset(value[_IDS]), frozenset[str]()
        )
        open_ids: set[str] = set()
        async with Intake(OPEN_SET, self._crawl, self._retries) as intake:
            async with aclosing(self._crawl.upstream.studies(study_report_status=OPEN)) as pages:
                async for page in pages:
                    open_ids.update(study["studyId"] for study in page.value["studies"])
                    await intake.page(page)
            await intake.studies(sorted((before | self._seen) - open_ids))
        await self._remember(before, open_ids)
        self._seen = frozenset(open_ids)
        return len(open_ids)

    async def _remember(self, before: frozenset[str], found: set[str]) -> None:
        ids = sorted(found)[:MOST_REMEMBERED]
        if len(ids) < len(found):
            get_logger().warning("open-set-too-large", operation=OPEN_SET, count=len(found))
        if before != set(ids):
            await self._crawl.cursors.put(OPEN_SET, {_IDS: ids})


_MOST_FAILURES: Final = 6


async def crawl_forever(crawl: Crawl) -> None:
    """Run the loops until cancelled. If processes share the crawl, one lists studies and all ingest them."""
    async with asyncio.TaskGroup() as group:
        if crawl.sharing is None:
            for loop in _loops(crawl):
                group.create_task(loop.run())
        else:
            group.create_task(crawl.sharing.run())
            group.create_task(Readers(crawl, crawl.sharing).run())
            group.create_task(_list_while_first(crawl, crawl.sharing))


def together(crawl: Crawl, engine: Engine, lease: float) -> Crawl:
    """Return the crawl as one shared with other processes, if the database allows; `lease` is in seconds."""
    if engine.dialect == "sqlite":
        return crawl
    return replace(crawl, sharing=Sharing(engine, crawl.upstream.pace, lease))


def _loops(crawl: Crawl) -> tuple[OpenSet, Cancelled, Sweep]:
    return OpenSet(crawl), Cancelled(crawl), Sweep(crawl)


async def _list_while_first(crawl: Crawl, sharing: Sharing) -> None:
    while True:
        await sharing.has_joined.wait()
        await sharing.is_first.wait()
        async with alongside([loop.run() for loop in _loops(crawl)]):
            await sharing.is_other.wait()


async def crawl_once(crawl: Crawl, show: Show = unshown) -> Swept:
    """Run one whole sweep, or finish one that broke off; a failed listing is tried again a few times.

    Raises:
        GatewayError: AutoScribe or the store failed too often, or in a way that waiting does not cure. Ingested studies
            stay, and the next call continues from there.
    """
    sweep = Sweep(crawl)
    for failures in range(1, _MOST_FAILURES):
        try:
            return await sweep.once(show)
        except GatewayError as error:
            if error.retry != "transient":
                raise
        await clock.sleep(pause(failures))
    return await sweep.once(show)
