"""Speed of warm reads and of searches for a patient's reports, as shares of a route that answers constant bytes.

Run by `make bench`: the gateway and the bare route by turns on one core, wrk on another, over 200 reports and their
patients; medians of the rounds. The studies are the sandbox's, most with something that had to be warned of.
"""

from __future__ import annotations

import shutil
import statistics
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

import pytest
from bench import stores, wrk
from bench.margins import at_least
from bench.serving import constant_route, gateway

STUDIES, TARGETS, ROUNDS, SECONDS = 400, 200, 7, 2
CATEGORY = "category=http%3A%2F%2Floinc.org%7CLP29684-5"
TO_REACH = {"sqlite": (0.60, 0.35), "postgresql": (0.30, 0.20)}

pytestmark = [
    pytest.mark.timeout(600),
    pytest.mark.skipif(shutil.which("wrk") is None, reason="needs wrk: apt-get install -y wrk"),
]


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest) -> tuple[str, str]:
    """The name of an engine, and the URL of a migrated database."""
    if request.param == "sqlite":
        return request.param, f"sqlite:///{request.getfixturevalue('sqlite_database')}"
    return request.param, request.getfixturevalue("postgres_database")


@pytest.fixture
async def reports(database: tuple[str, str]) -> list[tuple[str, str]]:
    """Some reports of that database by their addresses, with those of their patients."""
    engine = stores.engine_of(database[1])
    async with engine.opened():
        await stores.taken_in(engine, stores.studies(STUDIES), 8)
        await stores.swept(engine, STUDIES)
        found = await stores.reports(engine, TARGETS)
    await stores.settled(database[1])
    return found


def answered(base: str, targets: list[str]) -> int:
    """Return the mean size of the answers; check that none is an empty Bundle."""
    sizes = []
    for one in targets:
        with urlopen(Request(f"{base}/{one}", headers={"Accept": "application/fhir+json"})) as response:
            body = response.read()
        assert b'"resourceType":"DiagnosticReport"' in body
        sizes.append(len(body))
    return round(statistics.mean(sizes))


def shares(base: str, folder: Path, targets: list[str]) -> Iterator[tuple[float, float]]:
    """Measure in rounds: requests a second of the gateway, and of a route that answers as many bytes."""
    size, path = answered(base, targets), urlsplit(base).path
    script = wrk.script(folder, [f"{path}/{one}" for one in targets])
    with constant_route(size) as bare:
        wrk.rate(base, 1, script)
        wrk.rate(bare, 1)
        for _ in range(ROUNDS):
            yield wrk.rate(base, SECONDS, script), wrk.rate(bare, SECONDS)


def test_reads_and_searches_against_a_constant_route(database, reports, tmp_path, say) -> None:
    kind, url = database
    assert len(reports) == TARGETS
    searches = [f"DiagnosticReport?patient={patient}&{CATEGORY}&date=ge2000-01-01" for _, patient in reports]
    with gateway(url, tmp_path) as base:
        for what, targets, wanted in zip(
            ("warm read", "search patient+category+date"),
            ([address for address, _ in reports], searches),
            TO_REACH[kind],
            strict=True,
        ):
            rounds = list(shares(base, tmp_path, targets))
            every = [ours / bare for ours, bare in rounds]
            share, spread = statistics.median(every), f"{min(every):.0%} to {max(every):.0%}"
            ours, bare = (statistics.median(column) for column in zip(*rounds, strict=True))
            say(
                f"facade, {kind}, {what}: {share:.0%} ({spread}) of a constant route,"
                f" {ours:.0f} to {bare:.0f} requests/s {at_least(share, wanted)}"
            )
