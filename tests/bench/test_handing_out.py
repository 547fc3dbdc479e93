"""Speed of the shared crawl without the work: what handing out, claiming and settling leave of AutoScribe's latency.

Run by `make bench`: one process, two and eight share a crawl through PostgreSQL, in this one process. To ingest a study
is one request of 50 ms, and nothing else; each process may send four at one time. So processor time is no limit. The
best of three rounds counts.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from dataclasses import replace

import pytest
from bench.margins import at_least
from fakes.crawl import Account, Index, crawl_of, study
from fakes.databases import at_once, server

from gateway.crawl.crawler import crawl_forever
from gateway.crawl.sharing import Sharing
from gateway.store.database.postgres import Postgres
from gateway.store.studies.crawling import StoredCursors
from gateway.upstream.pace import Pace

LATENCY, REQUESTS = 0.05, 4  # seconds; of each process at one time
SECONDS, TO_REACH = 8, 1.8
PROCESSES, ROUNDS = (1, 2, 8), 3
_RARELY = {"open_interval": 3600, "cancelled_interval": 3600, "pages_per_second": 50}

pytestmark = pytest.mark.timeout(300)


async def rate(url: str, processes: int) -> float:
    """Return the studies read in a second by so many processes."""
    account = Account(*(study(number) for number in range(20_000)), latency=LATENCY)
    index, read = Index(account), [0]
    async with AsyncExitStack() as stack:
        paces = []
        for _ in range(processes):
            engine = Postgres(url)
            await stack.enter_async_context(engine.opened())
            paces.append(pace := Pace(processes * REQUESTS))

            async def ingest(study_id: str, *, listed: object, pace: Pace = pace) -> None:
                async with pace.turn():
                    await asyncio.sleep(LATENCY)
                read[0] += 1

            made = crawl_of(account, index, StoredCursors(engine), concurrency=pace.most, **_RARELY)
            crawl = replace(made, ingest=ingest, sharing=Sharing(engine, pace, 6.0))
            running = asyncio.create_task(crawl_forever(crawl))
            stack.push_async_callback(asyncio.wait, [running])
            stack.callback(running.cancel)
        while any(pace.processes < processes for pace in paces) or read[0] < 300:
            await asyncio.sleep(0.05)
        begun, before = time.perf_counter(), read[0]
        await asyncio.sleep(SECONDS)
        return (read[0] - before) / (time.perf_counter() - begun)


def test_what_sharing_leaves_of_the_latency(say) -> None:
    with server("fsync=on") as found:
        if found is None:
            pytest.skip("needs PostgreSQL's server programs: apt-get install -y postgresql")
        rates = dict.fromkeys(PROCESSES, 0.0)
        for processes in PROCESSES * ROUNDS:
            with found.database() as url:
                rates[processes] = max(rates[processes], at_once(rate(url, processes)))
    ratio = rates[2] / rates[1]
    say(f"shared crawl without the work: two processes {ratio:.2f} x of one {at_least(ratio, TO_REACH, '.1f', ' x')}")
    for processes, reached in rates.items():
        share = reached / (processes * REQUESTS / LATENCY)
        say(f"  by {processes}: {reached:.0f} studies/s, {share:.0%} of what AutoScribe's latency allows")
