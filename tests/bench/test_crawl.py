"""Speed of a crawl compared with the limit set by AutoScribe's latency, its processor time, and flat memory.

Run by `make bench`: `sync --once` on one core, an AutoScribe that answers after 50 ms on another, 8 requests at one
time, one for each study. The processor time is that of the crawling process with its workers, and of PostgreSQL's
server. BENCH_STUDIES says how many studies; at fewer than 20,000 the memory is measured from a quarter of them on.
"""

from __future__ import annotations

import os
import re
import time
from pathlib import Path
from typing import NamedTuple
from urllib.request import urlopen

import pytest
from bench.machine import ASKING, MEASURED, on_core
from bench.margins import at_least, at_most
from bench.processor_time import family, spent
from bench.serving import autoscribe
from fakes.databases import at_once
from fakes.gateway_process import environment, site_file, started
from fakes.server_processes import processes

STUDIES = int(os.environ.get("BENCH_STUDIES", "20000"))
LATENCY, CONCURRENCY = 50, 8
WARM = min(1_000, STUDIES // 4)  # studies until everything is loaded and the connections are open
PER_CORE = {"sqlite": 200, "postgresql": 150}  # studies for each second of processor time
MB = 1 << 20
MEMORY = re.compile(r"RssAnon:\s+(\d+) kB")  # without the pages of files, which the system may take back

pytestmark = pytest.mark.timeout(1800)


class Seen(NamedTuple):
    """State of the crawl: time, studies whose reports were given, bytes of memory, CPU seconds."""

    at: float
    given: int
    memory: int
    cpu: float


def given(url: str) -> int:
    """Return the number of studies whose reports AutoScribe returned."""
    with urlopen(f"{url}/count") as response:
        return int(response.read())


def memory(process: int) -> int:
    """Bytes; 0 of a process that has just ended."""
    found = MEMORY.search(Path(f"/proc/{process}/status").read_text())
    return int(found[1]) * 1024 if found else 0


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_crawl_against_what_the_latency_allows(kind, request, tmp_path, say) -> None:
    database = request.getfixturevalue(f"{'sqlite' if kind == 'sqlite' else 'postgres'}_database")
    url = f"sqlite:///{database}" if kind == "sqlite" else database
    server = [] if kind == "sqlite" else at_once(processes(url))[:1]
    seen: list[Seen] = []
    with autoscribe(STUDIES, LATENCY, ASKING) as upstream:
        env = environment(upstream, url, site_file(tmp_path), GATEWAY_SYNC__CONCURRENCY=str(CONCURRENCY))
        with on_core(MEASURED):
            crawl = started(["sync", "--once"], env, tmp_path / "log")
            running = crawl.__enter__()
        try:
            while running.is_alive:
                cpu = spent([one for first in (running.process_id, *server) for one in family(first)])
                seen.append(Seen(time.monotonic(), given(upstream), memory(running.process_id), cpu))
                time.sleep(0.1)
        finally:
            crawl.__exit__(None, None, None)
        assert given(upstream) == STUDIES, running.printed()
    begin = next(one for one in seen if one.given >= WARM)
    end = next(one for one in seen if one.given >= STUDIES)
    speed = (end.given - begin.given) / (end.at - begin.at)
    share = speed / (CONCURRENCY / LATENCY * 1000)
    say(
        f"crawl, {kind}, of {STUDIES} studies: {share:.0%} of what the latency allows,"
        f" {speed:.0f} studies/s {at_least(share, 0.8)}"
    )
    per_core = (end.given - begin.given) / (end.cpu - begin.cpu)
    say(
        f"  {1000 / per_core:.1f} ms CPU a study, {per_core:.0f} studies/s/core"
        f" {at_least(per_core, PER_CORE[kind], form='d')}"
    )
    quarter = next(one for one in seen if one.given >= STUDIES // 4)
    growth = max(one.memory for one in seen if one.given >= STUDIES // 4) - quarter.memory
    said = f"{growth / MB:+.1f} MB from {quarter.memory / MB:.0f} MB"
    say(f"  memory from study {STUDIES // 4} on: {said} {at_most(growth / MB, 20, unit=' MB')}")
