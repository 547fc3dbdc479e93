"""Searches in a store of many whole studies compared with the same in a smaller one: broad and narrow.

Run by `make bench`: each search is asked in the one store and in the other by turns, and the fastest of a few answers
counts, so that a busy machine slows both. What a first page reads, which it does not change, is said too: steps of
SQLite's virtual machine, or rows of PostgreSQL. BENCH_WHOLE says how many studies the larger store has, and
BENCH_WHOLE_AT in which folder the stores are kept (bench/kept.py).
"""

from __future__ import annotations

import http.client
import os
import random
import shutil
import sqlite3
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, quote, urlsplit
from zoneinfo import ZoneInfo

import pytest
from bench import kept, multiplied, stores, whole
from bench.serving import gateway
from bench.whole import Copy
from fakes.databases import at_once, copied
from fakes.rows_read import reading, recorded

from gateway.fhir_api.search.search_query import understand
from gateway.index.parameter_lookup import PARAMETERS
from gateway.index.reading import Circumstances
from gateway.ingest import Pipeline
from gateway.runtime.errors import StoreTooSlow
from gateway.store.database.sqlite import Sqlite
from gateway.store.studies import search as store
from gateway.store.studies.search_sql import Search

LARGE = int(os.environ.get("BENCH_WHOLE", "10000"))
SMALL = min(10_000, LARGE // 10)
assert LARGE <= kept.WRITTEN or LARGE in range(kept.WRITTEN, 10 * kept.WRITTEN + 1, kept.WRITTEN), "BENCH_WHOLE"
TARGETS, TIMES, PAGE, COUNTED = 100, 5, 51, 5
MOST_RATIO, FIRST_PAGE = 1.5, 0.050
LOINC, RAD = quote("http://loinc.org|LP29684-5"), quote("http://terminology.hl7.org/CodeSystem/v2-0074|RAD")

pytestmark = pytest.mark.timeout(7200)


@dataclass(frozen=True)
class Asked:
    """A search, made for a copy in the store."""

    name: str
    query: Callable[[Copy], str]


NARROW = (
    Asked("a patient's reports", lambda one: f"DiagnosticReport?patient={one.patient_id}&category={LOINC}&date=ge2020"),
    Asked("patient by MRN", lambda one: f"Patient?identifier={quote(one.template.mrn_system + '|' + one.mrn)}"),
    Asked("study by UID", lambda one: f"ImagingStudy?identifier=urn:dicom:uid|urn:oid:{one.words[one.template.uid]}"),
    Asked("observations of a patient", lambda one: f"Observation?patient={one.patient_id}&category=imaging"),
    Asked(
        "a patient's reports by nobody",
        lambda one: f"DiagnosticReport?patient={one.patient_id}&performer=Practitioner/usr-none",
    ),
    Asked("by patient's MRN, chained", lambda one: f"DiagnosticReport?patient.identifier={quote(one.mrn)}"),
)
BROAD = (
    Asked("reports since 2020", lambda _: "DiagnosticReport?date=ge2020-01-01"),
    Asked("reports of a year, newest first", lambda _: "DiagnosticReport?date=ge2024&date=lt2025&_sort=-date"),
    Asked("final of a category in a month", lambda _: f"DiagnosticReport?status=final&category={RAD}&date=2024-03"),
    Asked("reports with their patients", lambda _: "DiagnosticReport?date=ge2020&_include=DiagnosticReport:subject"),
    Asked("people by a frequent name", lambda _: "Patient?family=Mockford"),
    Asked("critical observations", lambda _: "Observation?interpretation=AA"),
    Asked("critical observations of a month", lambda _: "Observation?interpretation=AA&date=2024-03"),
    Asked("critical observations, newest first", lambda _: "Observation?interpretation=AA&_sort=-date"),
    Asked("critical reports since 2020", lambda _: "DiagnosticReport?date=ge2020&critical=true"),
    Asked("reports since 2020, last changed first", lambda _: "DiagnosticReport?date=ge2020&_sort=-_lastUpdated"),
    Asked("reports since 2020, by status", lambda _: "DiagnosticReport?date=ge2020&_sort=status"),
    Asked("reports since 2020, by status, newest first", lambda _: "DiagnosticReport?date=ge2020&_sort=-status,-date"),
    Asked("reports by the name of their patients", lambda _: "DiagnosticReport?patient.family=Mockford"),
    Asked("patients with a report since 2024", lambda _: "Patient?_has:DiagnosticReport:patient:date=ge2024"),
    Asked("reports of nobody", lambda _: "DiagnosticReport?date=ge2020&performer=Practitioner/usr-none"),
    Asked("reports with a visit", lambda _: "DiagnosticReport?date=ge2020&encounter:missing=false"),
    Asked("reports that are not final", lambda _: "DiagnosticReport?date=ge2020&status:not=final"),
    Asked("reports without a code", lambda _: "DiagnosticReport?date=ge2020&code:missing=true"),
    Asked("critical observations that are not final", lambda _: "Observation?interpretation=AA&status:not=final"),
)


async def _ingested(path: Path, chosen: list[Copy]) -> None:
    engine = Sqlite(path)
    async with engine.opened():
        pipeline = Pipeline(engine, whole.SITE, ZoneInfo("UTC"), wants_pdf=False)
        for one in chosen:

            async def fetch(one: Copy = one) -> whole.Fetched:
                return one.documents

            await pipeline.ingest(one.documents.study["studyId"], fetch)


def test_the_loader_stores_what_the_pipeline_stores(migrated_sqlite, tmp_path) -> None:
    """Compare the rows of a small store, filled by copies, with those of the same documents ingested one by one."""
    count = 60
    (tmp_path / "one").mkdir()
    (tmp_path / "other").mkdir()
    filled, ingested = copied(migrated_sqlite, tmp_path / "one"), copied(migrated_sqlite, tmp_path / "other")
    whole.fill_sqlite(filled, count)
    at_once(_ingested(ingested, list(whole.copies(count))))
    with closing(sqlite3.connect(filled)) as one, closing(sqlite3.connect(ingested)) as other:
        found, wanted = whole.stored_rows(one), whole.stored_rows(other)
    for name, rows in wanted.items():
        assert len(rows) > 0 or name == "issue"
        assert found[name] == rows, name


def test_copies_in_sql_have_ids_of_their_own_that_lead_to_one_another(migrated_sqlite, tmp_path) -> None:
    count, times = 40, 10
    source, path = copied(migrated_sqlite, tmp_path), tmp_path / "larger.db"
    whole.fill_sqlite(source, count)
    shutil.copyfile(source, path)
    multiplied.multiply_sqlite(path, source, times)
    addresses = "(SELECT address FROM resource)"
    dangling = (
        f"SELECT value FROM term WHERE value GLOB '*/???-????????*' AND value NOT IN {addresses}",
        f"SELECT patient_id FROM claim WHERE 'Patient/' || patient_id NOT IN {addresses}",
        "SELECT owner FROM resource WHERE owner <> '' AND owner NOT IN (SELECT study_id FROM study)",
        "SELECT number FROM resource WHERE number NOT IN (SELECT resource FROM version)",
    )
    identifiers = ", ".join(str(one.key) for one in PARAMETERS if one.name == "identifier")
    alike = f"SELECT value FROM term WHERE key IN ({identifiers}) GROUP BY key, value HAVING count(*) > 1"
    with closing(sqlite3.connect(path)) as larger:
        assert larger.execute("SELECT count(*) FROM study").fetchone() == (count * times,)
        assert larger.execute("SELECT count(*) = count(DISTINCT address) FROM resource").fetchone() == (1,)
        for sql in (*dangling, alike):
            assert larger.execute(sql).fetchall() == [], sql


def _asked(base: str, query: str) -> float:
    """Return the seconds of the fastest of a few answers on one connection; endless if it is refused as costly."""
    url = urlsplit(base)
    best = float("inf")
    with closing(http.client.HTTPConnection(str(url.hostname), url.port)) as connection:
        for _ in range(TIMES):
            begun = time.perf_counter()
            connection.request("GET", f"{url.path}/{query}", headers={"Accept": "application/fhir+json"})
            answer = connection.getresponse()
            body = answer.read()
            if b"too-costly" in body:
                return float("inf")
            best = min(best, time.perf_counter() - begun)
            assert answer.status == 200, body
    return best


def at_99(values: list[float]) -> float:
    return statistics.quantiles(values, n=100)[98] if len(values) > 1 else values[0]


def chosen(count: int) -> Iterator[Copy]:
    """Choose copies of a store of so many, the same in each run; of those that the gateway wrote."""
    dice, all_of_it = random.Random(count), list(whole.copies(count // kept.times(count)))
    yield from dice.sample(all_of_it, min(TARGETS, count))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(kept.AT) if kept.AT else tmp_path_factory.mktemp("whole")


@pytest.fixture(scope="module")
def filled(migrated_sqlite: Path, folder: Path) -> dict[int, Path]:
    """SQLite files with so many whole studies."""
    return {count: kept.file_of(folder, migrated_sqlite, count) for count in (SMALL, LARGE)}


@pytest.fixture(scope="module")
def filled_postgres(filled: dict[int, Path], folder: Path) -> Iterator[dict[int, str]]:
    """URLs of PostgreSQL databases with the same studies."""
    with kept.server() as url:
        yield {count: kept.database_of(url, folder, count) for count in filled}


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_searches_among_whole_studies(kind, filled, request, say) -> None:
    urls = {count: f"sqlite:///{file}" for count, file in filled.items()}
    if kind == "postgresql":
        urls = request.getfixturevalue("filled_postgres")
    with ExitStack() as stack:
        bases, read = {}, {}
        for count, url in urls.items():
            at_once(_looked_at(url, count))
            read[count] = at_once(_read(url, count))
            bases[count] = stack.enter_context(gateway(url, filled[count].parent))
        say(f"searches among whole studies, {kind}, {LARGE} against {SMALL} studies (to reach: 1.5 x, 50 ms)")
        for one in (*NARROW, *BROAD):
            many = TARGETS if one in NARROW else 1  # a broad search is the same for each copy
            spent = {
                count: [_asked(base, one.query(copy)) for copy in list(chosen(count))[:many]]
                for count, base in bases.items()
            }
            small, large = at_99(spent[SMALL]), at_99(spent[LARGE])
            rest = "" if large / small <= MOST_RATIO and large <= FIRST_PAGE else " (not reached)"
            say(f"  {one.name}: p99 {large * 1e3:.1f} to {small * 1e3:.1f} ms, {large / small:.2f} x{rest};")
            say(f"    reads {read[LARGE][one.name]} to {read[SMALL][one.name]}")


def _search(one: Asked, copy: Copy) -> Search:
    """Return the first page of a search, as the facade asks the store for it."""
    resource_type, _, query = one.query(copy).partition("?")
    where = Circumstances(ZoneInfo("UTC"), whole.NOW, "")
    return understand(resource_type, parse_qsl(query), where, strict=True).search(PAGE)


async def _read(url: str, count: int) -> dict[str, int]:
    """Return the most that the first page of each search reads."""
    engine, most = stores.engine_of(url), dict[str, int]()
    async with engine.opened():
        for place, copy in enumerate(list(chosen(count))[:COUNTED]):
            for one in (*NARROW, *(() if place else BROAD)):
                with recorded(engine) as sent, suppress(StoreTooSlow):
                    await store.page(engine, _search(one, copy))
                most[one.name] = max(most.get(one.name, 0), (await reading(engine, sent)).read)
    return most


async def _pages(path: Path, count: int) -> dict[str, float]:
    """Return the milliseconds of processor time of each search's first page in SQLite, for the worst copy."""
    engine, spent = Sqlite(path), dict[str, float]()
    async with engine.opened():
        picked = list(chosen(count))
        for one in (*NARROW, *BROAD):
            for copy in picked if one in NARROW else picked[:1]:
                spent[one.name] = max(spent.get(one.name, 0.0), await _least(engine, _search(one, copy)))
    return spent


async def _least(engine: Sqlite, search: Search) -> float:
    """Return the milliseconds of the fastest of a few pages; infinity if the store refuses one as too costly."""
    times = []
    for _ in range(TIMES):
        begun = time.process_time()
        try:
            await store.page(engine, search)
        except StoreTooSlow:
            return float("inf")
        times.append(time.process_time() - begun)
    return min(times) * 1e3


def test_pages_among_whole_studies_by_processor_time(filled, say) -> None:
    """Compare without clients and without waiting: what a busy machine changes least."""
    small, large = (at_once(_pages(filled[count], count)) for count in (SMALL, LARGE))
    say(f"first pages among whole studies, SQLite, processor time with {LARGE} and {SMALL} studies")
    for name, spent in large.items():
        say(f"  {name}: {spent:.2f} and {small[name]:.2f} ms, {spent / small[name]:.2f} x")


async def _looked_at(url: str, count: int) -> None:
    engine = stores.engine_of(url)
    async with engine.opened():
        await stores.swept(engine, count)
