"""Speed of two processes that share the crawl, against that of one: studies stored in a second, on PostgreSQL.

Run by `make bench`: `serve --roles sync` once and then twice, behind an AutoScribe that answers after 50 ms. Neither
AutoScribe nor PostgreSQL is limited, and the machine needs idle time left, which is printed. Each process is limited by
a share of a core (BENCH_SHARE; twice), as if it had a machine of its own, or by its number of requests at one time.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import pytest
from bench.core_share import CoreShare, core_share
from bench.machine import CORES, idle
from bench.margins import at_least
from bench.processor_time import spent
from bench.serving import autoscribe, gateway
from fakes.databases import at_once, server

STUDIES, LATENCY = 10_000_000, 50  # more than are read; milliseconds
SHARE = float(os.environ.get("BENCH_SHARE", "0.2"))  # of a core
ROUNDS, SECONDS = 3, float(os.environ.get("BENCH_SECONDS", "20"))
WARM = 300  # studies of each process until everything is loaded, and each shape of a resource was judged once
TO_REACH = 1.8
_STORED = "SELECT count(*) FROM study"
_ALIVE = "SELECT count(*) FROM crawler WHERE until > extract(epoch FROM now()) * 1000000"
_SESSIONS = "SELECT pid FROM pg_stat_activity"

pytestmark = pytest.mark.timeout(1800)


@dataclass(frozen=True)
class Limit:
    """Limits of a process: a share of a core, and requests at one time, those of both processes for two."""

    cores: float | None
    for_one: int
    for_two: int


@dataclass(frozen=True)
class Crawled:
    """Studies stored in a second, CPU milliseconds of a study in the gateway and PostgreSQL, idle part of the cores."""

    rate: float
    gateway: float
    postgresql: float
    idle: float


LIMITS = {"a fifth of a core": Limit(SHARE, 16, 16), "requests": Limit(None, 1, 2)}


async def _asked(url: str, sql: str) -> list[int]:
    connection = await asyncpg.connect(url)
    try:
        return [row[0] for row in await connection.fetch(sql)]
    finally:
        await connection.close()


def crawled(url: str, shares: list[CoreShare], cores: float | None) -> Crawled:
    """Measure for some time, once all processes share the crawl and are warm, and each has its share of a core."""
    while at_once(_asked(url, _ALIVE)) != [len(shares)]:
        time.sleep(0.2)
    (stored,) = at_once(_asked(url, _STORED))
    while at_once(_asked(url, _STORED))[0] < stored + WARM * len(shares):
        time.sleep(0.2)
    if cores is not None:
        for one in shares:
            one.limit(cores)
        time.sleep(2)
    begun, own, before, free = _now(url, shares)
    time.sleep(SECONDS)
    ended, spent, after, left = _now(url, shares)
    studies, seconds = after - before, ended - begun
    each = [1e3 * (new - old) / studies for new, old in zip(spent, own, strict=True)]
    return Crawled(studies / seconds, *each, (left - free) / seconds / len(CORES))


def _now(url: str, shares: list[CoreShare]) -> tuple[float, tuple[float, float], int, float]:
    """Return the time, CPU seconds of the gateway and of PostgreSQL, the studies stored, and the idle seconds."""
    (stored,) = at_once(_asked(url, _STORED))
    sessions = spent(at_once(_asked(url, _SESSIONS)))
    return time.perf_counter(), (sum(one.spent for one in shares), sessions), stored, idle()


@contextmanager
def crawler(url: str, upstream: str, folder: Path, concurrency: int) -> Iterator[CoreShare]:
    """Run a process that crawls, in a group of its own."""
    folder.mkdir(parents=True)
    more = {"GATEWAY_SYNC__CONCURRENCY": str(concurrency), "GATEWAY_PDF__INGEST": "link"}
    with core_share(folder.name) as share:
        if share is None:
            pytest.skip("needs a control group for CPU time that this user may make: run it as root on Linux")
        with gateway(url, folder, roles="sync", upstream=upstream, is_pinned=False, share=share, **more):
            yield share


def shared(url: str, upstream: str, folder: Path, limit: Limit) -> tuple[Crawled, Crawled]:
    """Crawl with one process, then with two."""

    def by(count: int, concurrency: int) -> Crawled:
        names = [f"{number}-of-{count}" for number in range(count)]
        with ExitStack() as stack:
            started = [crawler(url, upstream, folder / name, concurrency) for name in names]
            return crawled(url, [stack.enter_context(one) for one in started], limit.cores)

    return by(1, limit.for_one), by(2, limit.for_two)


@pytest.mark.parametrize("limited_by", LIMITS)
def test_two_processes_that_share_the_crawl(limited_by, tmp_path, say) -> None:
    with server("fsync=on") as found, autoscribe(STUDIES, LATENCY) as upstream:
        if found is None:
            pytest.skip("needs PostgreSQL's server programs: apt-get install -y postgresql")
        with found.database() as url:
            limit = LIMITS[limited_by]
            rounds = [shared(url, upstream, tmp_path / f"round{number}", limit) for number in range(ROUNDS)]
    ratios = sorted(two.rate / one.rate for one, two in rounds)
    one, two = (statistics.median(side.rate for side in sides) for sides in zip(*rounds, strict=True))
    say(
        f"crawl shared by two processes, postgresql, each limited by {limited_by}: {one:.0f} and {two:.0f} studies/s,"
        f" {statistics.median(ratios):.2f} x {at_least(statistics.median(ratios), TO_REACH, '.1f', ' x')},"
        f" rounds {', '.join(f'{ratio:.2f}' for ratio in ratios)}"
    )
    for count, sides in zip(("one", "two"), zip(*rounds, strict=True), strict=True):
        own, postgresql = (
            statistics.median(getattr(side, name) for side in sides) for name in ("gateway", "postgresql")
        )
        say(
            f"  {count}: CPU of a study in the gateway {own:.1f} ms, in PostgreSQL {postgresql:.1f} ms;"
            f" the machine was idle for at least {min(side.idle for side in sides):.0%}"
        )
