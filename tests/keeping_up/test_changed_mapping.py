"""Decisions D7, D20: another release or setting sends nothing; only `rerender` makes new FHIR versions."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from fakes.facade import site
from fakes.memory_account import MemoryAccount, of_many_reports
from fakes.scale import REPORTS
from fakes.seeded import documents

from gateway.crawl.crawler import crawl_once
from gateway.crawl.ports import Crawl
from gateway.ingest import Pipeline
from gateway.ingest.read_through import ReadThrough
from gateway.runtime import clock
from gateway.runtime.metrics import Metrics
from gateway.sandbox.seed import generate
from gateway.settings import Sync
from gateway.store.database.sqlite import Sqlite
from gateway.store.studies.crawling import StoredCursors, StoredStudies, all_studies
from mappings.profile import AssigningAuthority, ProcedureCode, Site, exact

_ROWS = "SELECT (SELECT count(*) FROM version), (SELECT count(*) FROM outbox)"
_TYPES = (
    "SELECT r.type, count(*) FROM version v JOIN resource r ON r.number = v.resource WHERE v.version = 1 GROUP BY 1"
)
ZONES = {"before": ZoneInfo("UTC"), "after": ZoneInfo("Asia/Tokyo")}


def changed(before: Site, **more: Any) -> Site:
    """Return a site that differs in every setting that does not change a patient's identity."""
    facilities = {
        name: replace(one, time_zone=ZoneInfo("Asia/Tokyo"), name_order="family_given", code=f"C{number}")
        for number, (name, one) in enumerate(before.facilities.items())
    }
    codes = {key: (ProcedureCode("X-1", "Local", "urn:oid:2.999.7", "L"),) for key in before.procedures}
    codes[exact("CT Chest")] = (ProcedureCode("X-2", "Local", "urn:oid:2.999.7", "L"),)
    return replace(
        before,
        facilities={**facilities, **more.pop("facilities", {})},
        procedures=codes,
        accession_keys=("priority",),
        send_drafts=True,
        on_cancelled_after_sign="withdraw",
        **more,
    )


async def crawled(account: MemoryAccount, engine: Sqlite, where: Site, zone: str = "before") -> Pipeline:
    """Run a full crawl by a gateway of that site; every study is fetched, however recent its reports are."""
    pipeline = Pipeline(engine, where, ZONES[zone], wants_pdf=False)
    reads = ReadThrough(account, engine, pipeline, Metrics())

    async def ingest(study_id: str, *, listed: Mapping[str, Any] | None) -> None:
        await reads.study(study_id, fresh=True, listed=listed)

    settings = Sync(pages_per_second=50, report_refetch_hours=1e-6)
    crawl = Crawl(account, ingest, StoredStudies(engine, b"k" * 32), StoredCursors(engine), settings)
    swept = await crawl_once(crawl)
    assert (swept.taken_in, swept.failed) == (len(account.studies_by_id), 0)
    return pipeline


async def rows(engine: Sqlite) -> tuple[int, int]:
    """Count the versions and causes."""
    (found,) = await engine.query(_ROWS, [])
    return int(found[0]), int(found[1])


async def rendered_anew(pipeline: Pipeline, engine: Sqlite) -> Counter[str]:
    """Run the command `rerender`; return the number of versions that it writes, by type."""
    written: Counter[str] = Counter()
    study_ids = [study_id async for study_id in all_studies(engine)]
    for first in range(0, len(study_ids), 8):
        for ingested in await asyncio.gather(*map(pipeline.rerender, study_ids[first : first + 8])):
            written += Counter(one.address.partition("/")[0] for one in ingested.written)
    return written


def with_something_new(account: MemoryAccount, every: int = 1) -> None:
    """Add data that the mapping ignores to studies and reports: only mapping them shows that nothing changed."""
    for study_id in list(account.studies_by_id)[::every]:
        listed = account.listed[study_id]
        account.studies_by_id[study_id] = {**account.studies_by_id[study_id], "futureField": "x"}
        account.listed[study_id] = {**listed, "reports": [{**one, "futureField": 1} for one in listed["reports"]]}


@pytest.mark.parametrize(("studies", "reports"), REPORTS.both())
async def test_a_changed_mapping_and_a_full_crawl_queue_nothing(studies, reports, sqlite_database, say):
    account = of_many_reports(studies, reports) if reports else MemoryAccount(documents(generate(studies=studies)))
    assert account.signed >= (studies * reports or 2_000)
    engine, seconds, begun = Sqlite(sqlite_database), [], clock.monotonic()
    async with engine.opened():
        await crawled(account, engine, site())
        before = await rows(engine)
        seconds.append(clock.monotonic() - begun)
        with_something_new(account, every=2)
        pipeline = await crawled(account, engine, changed(site()), "after")
        assert await rows(engine) == before
        seconds.append(clock.monotonic() - begun)
        written = await rendered_anew(pipeline, engine)
        seconds.append(clock.monotonic() - begun)
        versions, causes = await rows(engine)
    say(
        f"{account.signed} reports of {studies} studies under another mapping: {before[0]} versions and {before[1]} "
        f"causes, 0 more by the crawl; rerender: {versions - before[0]} versions, 0 causes; "
        f"at {', '.join(f'{one:.0f}' for one in seconds)} s"
    )
    assert causes == before[1] >= account.signed * 0.95
    assert written.total() == versions - before[0]
    assert written["DiagnosticReport"] >= account.signed


async def test_another_assigning_system_makes_other_patients_and_queues_nothing(sqlite_engine):
    account = MemoryAccount(documents(generate(studies=150)))
    await crawled(account, sqlite_engine, site())
    _, causes = await rows(sqlite_engine)
    before = await types(sqlite_engine)
    facilities = site().facilities
    other = {name: replace(one, mrn=AssigningAuthority("urn:oid:2.999.8", "NEW")) for name, one in facilities.items()}
    with_something_new(account)
    pipeline = await crawled(account, sqlite_engine, replace(site(), facilities=other))
    after = await types(sqlite_engine)
    assert after.pop("Patient") > before.pop("Patient")  # patients that the next versions of the reports will refer to
    assert after == before
    written = await rendered_anew(pipeline, sqlite_engine)
    assert written["DiagnosticReport"] > 100
    assert (await rows(sqlite_engine))[1] == causes


async def types(engine: Sqlite) -> dict[str, int]:
    """Count the versions of each type."""
    return {str(kind): int(number) for kind, number in await engine.query(_TYPES, [])}
