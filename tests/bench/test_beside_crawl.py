"""Time of a read while a crawl of 50 studies a second runs beside it, on all cores of the machine.

Run by `make bench`: warm reads at a quarter of the rate that the gateway can answer, first without a crawl, then with
one that AutoScribe's latency throttles. Clients, AutoScribe and the database share the cores with the gateway.
"""

from __future__ import annotations

import os
import shutil
import statistics
import time
from urllib.parse import urlsplit
from urllib.request import urlopen

import pytest
from bench import paced, stores, wrk
from bench.serving import autoscribe, gateway
from fakes.databases import at_once

STUDIES, TARGETS, SECONDS = 200, 100, float(os.environ.get("BENCH_SECONDS", "12"))
LATENCY, CONCURRENCY = 40, 2  # milliseconds, requests at one time: 50 studies a second

pytestmark = [
    pytest.mark.timeout(600),
    pytest.mark.skipif(shutil.which("wrk") is None, reason="needs wrk: apt-get install -y wrk"),
]


def given(upstream: str) -> int:
    with urlopen(f"{upstream}/count") as response:
        return int(response.read())


async def filled(url: str) -> list[str]:
    """Fill a store; return what is read of it."""
    engine = stores.engine_of(url)
    async with engine.opened():
        await stores.taken_in(engine, stores.studies(STUDIES), 8)
        await stores.swept(engine, STUDIES)
        return [address for address, _ in await stores.reports(engine, TARGETS)]


def p99(times: list[float]) -> float:
    return statistics.quantiles(times, n=100)[98] * 1e3


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_reads_beside_a_crawl(kind, new_database, tmp_path, say) -> None:
    with new_database(kind) as database, autoscribe(100_000, LATENCY) as upstream:
        url = f"sqlite:///{database}" if kind == "sqlite" else database
        targets = at_once(filled(url))
        with gateway(url, tmp_path, is_pinned=False) as base:
            script = wrk.script(tmp_path, [f"{urlsplit(base).path}/{one}" for one in targets])
            wrk.rate(base, 1, script)
            rate = wrk.rate(base, 3, script) / 4
            without = at_once(paced.latencies(base, targets, rate, SECONDS))
        more = {"GATEWAY_SYNC__CONCURRENCY": str(CONCURRENCY), "GATEWAY_PDF__INGEST": "link"}
        with gateway(url, tmp_path, roles="api,sync", upstream=upstream, is_pinned=False, **more) as base:
            while given(upstream) < STUDIES:
                time.sleep(0.1)
            before, begun = given(upstream), time.perf_counter()
            beside = at_once(paced.latencies(base, targets, rate, SECONDS))
            crawled = (given(upstream) - before) / (time.perf_counter() - begun)
    say(
        f"reads at {rate:.0f}/s beside a crawl of {crawled:.0f} studies/s, {kind}, both cores: p99"
        f" {p99(beside):.1f} ms, p50 {statistics.median(beside) * 1e3:.1f} ms; without it p99 {p99(without):.1f} ms (to reach: 10 ms)"  # noqa: E501
    )
