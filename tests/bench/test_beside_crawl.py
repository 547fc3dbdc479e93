"""Time of a read while a crawl of 50 studies a second runs beside it, on all cores of the machine.

Run by `make bench`: warm reads at a quarter of the rate that the gateway can answer, first without a crawl, then with
one that AutoScribe's latency throttles. Clients, AutoScribe and the database share the cores with the gateway.
"""

from __future__ import annotations

import os
import shutil
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import urlopen

import pytest
from bench import paced, stores, wrk
from bench.margins import at_most
from bench.serving import autoscribe, gateway
from fakes.databases import at_once, copied, server

STUDIES, TARGETS, SECONDS = 200, 100, float(os.environ.get("BENCH_SECONDS", "12"))
LATENCY, CONCURRENCY = 34, 2  # milliseconds, requests at one time: 50 studies a second

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


@pytest.fixture
def database(kind: str, migrated_sqlite: Path, tmp_path: Path) -> Iterator[str]:
    """Make a migrated database, of a server of its own that uses every core, too; yield its URL."""
    if kind == "sqlite":
        yield f"sqlite:///{copied(migrated_sqlite, tmp_path)}"
        return
    with server("fsync=on") as found:
        if found is None:
            pytest.skip("needs PostgreSQL's server programs: apt-get install -y postgresql")
        with found.database() as url:
            yield url


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_reads_beside_a_crawl(kind, database, tmp_path, say) -> None:
    targets, own = at_once(filled(database)), list[float]()
    with autoscribe(100_000, LATENCY) as upstream:
        with gateway(database, tmp_path, is_pinned=False) as base:
            script = wrk.script(tmp_path, [f"{urlsplit(base).path}/{one}" for one in targets])
            wrk.rate(base, 1, script)
            rate = wrk.rate(base, 3, script) / 4
            without = at_once(paced.latencies(base, targets, rate, SECONDS, is_pinned=False))
        more = {"GATEWAY_SYNC__CONCURRENCY": str(CONCURRENCY), "GATEWAY_PDF__INGEST": "link"}
        with gateway(database, tmp_path, roles="api,sync", upstream=upstream, is_pinned=False, **more) as base:
            while given(upstream) < STUDIES:
                time.sleep(0.1)
            at_once(paced.latencies(base, targets, rate, 1, is_pinned=False))
            before, begun = given(upstream), time.perf_counter()
            beside = at_once(paced.latencies(base, targets, rate, SECONDS, is_pinned=False, own=own))
            crawled = (given(upstream) - before) / (time.perf_counter() - begun)
    say(
        f"reads at {rate:.0f}/s beside a crawl of {crawled:.0f} studies/s, {kind}, both cores: p99 {p99(beside):.1f} ms"
        f" {at_most(p99(beside), 10, unit=' ms')}, p50 {statistics.median(beside) * 1e3:.1f} ms"
    )
    say(f"  p99 without the crawl {p99(without):.1f} ms; the client itself was late by p99 {p99(own):.1f} ms")
