"""Search time in a store of a million reports compared with one of ten thousand.

Run by `make bench`: reports put straight into the store, a patient's reports of a category since a day, asked for at
half the rate that the slower of the two can answer, by turns. BENCH_ROWS says how many the larger store has.
"""

from __future__ import annotations

import os
import random
import shutil
import statistics
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from bench import bulk, paced, stores, wrk
from bench.margins import at_most
from bench.serving import gateway
from fakes.databases import at_once, copied

from gateway.store.database.postgres import Postgres
from gateway.store.database.sqlite import Sqlite

SMALL, LARGE = 10_000, int(os.environ.get("BENCH_ROWS", "1000000"))
ROUNDS, SECONDS, TARGETS = 5, 6, 2_000
QUERY = "category=http%3A%2F%2Floinc.org%7CLP29684-5&date=ge2020-01-01"

pytestmark = [
    pytest.mark.timeout(3600),
    pytest.mark.skipif(shutil.which("wrk") is None, reason="needs wrk: apt-get install -y wrk"),
]


async def rows_of(path: Path) -> list[tuple[str, int, str]]:
    """The rows of the index of a report of the sandbox."""
    engine = Sqlite(path)
    async with engine.opened():
        await stores.taken_in(engine, stores.studies(10), 1)
        return await bulk.template(engine)


def searches(count: int) -> list[str]:
    """Searches for patients of a store with so many reports, the same for any such store."""
    chosen = random.Random(count)
    patients = [bulk.patient(chosen.randrange(count // bulk.VISITS)) for _ in range(TARGETS)]
    return [f"DiagnosticReport?patient={one}&{QUERY}" for one in patients]


def at_99(values: list[float]) -> float:
    return statistics.quantiles(values, n=100)[98]


@pytest.fixture(params=["sqlite", "postgresql"])
def new_database(request: pytest.FixtureRequest, migrated_sqlite: Path, tmp_path: Path) -> Any:
    """The name of an engine, and a function that gives a folder and the URL of a migrated database while it is used."""
    server = request.getfixturevalue("postgres_server") if request.param == "postgresql" else None

    @contextmanager
    def made(count: int) -> Iterator[tuple[Path, str]]:
        folder = tmp_path / str(count)
        folder.mkdir()
        if server is None:
            yield folder, f"sqlite:///{copied(migrated_sqlite, folder)}"
        else:
            with server.database() as url:
                yield folder, url

    return request.param, made


async def filled(url: str, rows: list[tuple[str, int, str]], count: int) -> float:
    """Fill the database and say that all was looked at; the seconds that filling took."""
    if url.startswith("sqlite"):
        engine: Sqlite | Postgres = Sqlite(Path(url.removeprefix("sqlite:///")))
        spent = bulk.fill_sqlite(engine.path, rows, count)
    else:
        engine, spent = Postgres(url), await bulk.fill_postgres(url, rows, count)
    async with engine.opened():
        await stores.swept(engine, count)
    await stores.settled(url)
    return spent


def test_a_search_in_a_large_store_against_one_in_a_small_store(new_database, migrated_sqlite, tmp_path, say) -> None:
    kind, made = new_database
    rows = at_once(rows_of(copied(migrated_sqlite, tmp_path)))
    with ExitStack() as stack:
        bases, spent = {}, {}
        for count in (SMALL, LARGE):
            folder, url = stack.enter_context(made(count))
            spent[count] = at_once(filled(url, rows, count))
            bases[count] = stack.enter_context(gateway(url, folder))
        rates = {}
        for count, base in bases.items():
            script = wrk.script(tmp_path, [f"/fhir/{one}" for one in searches(count)])
            wrk.rate(base, 3, script)
            rates[count] = wrk.rate(base, 3, script)
        rate = min(rates.values()) / 2
        rounds = [
            {
                count: at_99(at_once(paced.latencies(base, searches(count), rate, SECONDS)))
                for count, base in bases.items()
            }
            for _ in range(ROUNDS)
        ]
    small, large = (statistics.median(one[count] for one in rounds) for count in (SMALL, LARGE))
    ratio = statistics.median(one[LARGE] / one[SMALL] for one in rounds)
    say(
        f"search, {kind}, {LARGE} reports against {SMALL}: p99 at {rate:.0f} requests/s {ratio:.2f} x,"
        f" {large * 1e3:.1f} to {small * 1e3:.1f} ms {at_most(ratio, 1.5, unit=' x')}"
    )
    say(f"  at most {rates[LARGE]:.0f} and {rates[SMALL]:.0f} requests/s; {LARGE} reports put in: {spent[LARGE]:.0f} s")
