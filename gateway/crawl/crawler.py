"""Run the three crawl loops (all studies, unsigned studies, cancelled studies) without end, or a single full pass.

AutoScribe REST API: there is no change feed, so the gateway polls (decision D26).
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Final

from gateway.crawl.cancelled import Cancelled
from gateway.crawl.open_set import OpenSet
from gateway.crawl.ports import Crawl
from gateway.crawl.readers import Readers
from gateway.crawl.sharing import Sharing
from gateway.crawl.sweep import Show, Sweep, Swept, unshown
from gateway.runtime import clock
from gateway.runtime.errors import GatewayError
from gateway.runtime.loops import alongside, pause
from gateway.store.database.engine import Engine

_MOST_FAILURES: Final = 6


async def crawl_forever(crawl: Crawl) -> None:
    """Run the loops until cancelled. If several processes share the crawl, one lists studies and all read them."""
    async with asyncio.TaskGroup() as group:
        if crawl.sharing is None:
            for loop in _loops(crawl):
                group.create_task(loop.run())
        else:
            group.create_task(crawl.sharing.run())
            group.create_task(Readers(crawl, crawl.sharing).run())
            group.create_task(_list_while_first(crawl, crawl.sharing))


def together(crawl: Crawl, engine: Engine, lease: float) -> Crawl:
    """Return a crawl that other processes share, if the database lets several processes work; `lease` is in seconds."""
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
