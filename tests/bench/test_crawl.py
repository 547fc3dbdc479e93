"""Speed of a crawl compared with the limit set by AutoScribe's latency, and flat memory.

Run by `make bench`: `sync --once` on one core, an AutoScribe that answers after 50 ms on another, 8 requests at one
time, one for each study. BENCH_STUDIES says how many studies; at fewer than 20,000 the memory is measured from a
quarter of them on.
"""

from __future__ import annotations

import os
import re
import time
from pathlib import Path
from urllib.request import urlopen

import pytest
from bench.machine import ASKING, MEASURED, on_core
from bench.margins import at_least, at_most
from bench.serving import autoscribe
from fakes.gateway_process import environment, site_file, started

STUDIES = int(os.environ.get("BENCH_STUDIES", "20000"))
LATENCY, CONCURRENCY = 50, 8
WARM = 1_000  # studies until everything is loaded and the connections are open
MB = 1 << 20
MEMORY = re.compile(r"RssAnon:\s+(\d+) kB")  # without the pages of files, which the system may take back

pytestmark = pytest.mark.timeout(1800)


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
    seen: list[tuple[float, int, int]] = []
    with autoscribe(STUDIES, LATENCY, ASKING) as upstream:
        env = environment(upstream, url, site_file(tmp_path), GATEWAY_SYNC__CONCURRENCY=str(CONCURRENCY))
        with on_core(MEASURED):
            crawl = started(["sync", "--once"], env, tmp_path / "log")
            running = crawl.__enter__()
        try:
            while running.is_alive:
                seen.append((time.monotonic(), given(upstream), memory(running.process_id)))
                time.sleep(0.1)
        finally:
            crawl.__exit__(None, None, None)
        assert given(upstream) == STUDIES, running.printed()
    begin = next(one for one in seen if one[1] >= WARM)
    end = next(one for one in seen if one[1] >= STUDIES)
    speed = (end[1] - begin[1]) / (end[0] - begin[0])
    share = speed / (CONCURRENCY / LATENCY * 1000)
    say(
        f"crawl, {kind}, of {STUDIES} studies: {share:.0%} of what the latency allows,"
        f" {speed:.0f} studies/s {at_least(share, 0.8)}"
    )
    quarter = next(one for one in seen if one[1] >= STUDIES // 4)
    growth = max(one[2] for one in seen if one[1] >= STUDIES // 4) - quarter[2]
    said = f"{growth / MB:+.1f} MB from {quarter[2] / MB:.0f} MB"
    say(f"  memory from study {STUDIES // 4} on: {said} {at_most(growth / MB, 20, unit=' MB')}")
