"""Run the three crawl loops (all studies, unsigned studies, cancelled studies) without end, or a single full pass.

AutoScribe REST API: there is no change feed, so the gateway polls (decision D26).
"""

from __future__ import annotations

import asyncio
from typing import Final

from gateway.crawl.cancelled import Cancelled
from gateway.crawl.open_set import OpenSet
from gateway.crawl.ports import Crawl
from gateway.crawl.sweep import Show, Sweep, Swept, unshown
from gateway.runtime import clock
from gateway.runtime.errors import GatewayError
from gateway.runtime.loops import pause

_MOST_FAILURES: Final = 6


async def crawl_forever(crawl: Crawl) -> None:
    """Run the loops until cancelled."""
    loops = OpenSet(crawl), Cancelled(crawl), Sweep(crawl)
    async with asyncio.TaskGroup() as group:
        for loop in loops:
            group.create_task(loop.run())


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
