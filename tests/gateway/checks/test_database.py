"""Part of `check-config` that asks the database: the pace of the crawl (D26); names are tried as commands."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from gateway.checks.database import database_findings
from gateway.settings import load
from gateway.store.studies.crawling import NAME, Finished, StoredCursors, SweepRecord

AT = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)


@pytest.fixture
def said(sqlite_engine, tmp_path):
    """Returns what is said with these settings of a database whose last sweep saw so many studies."""

    async def of(studies, sync=""):
        await StoredCursors(sqlite_engine).put(NAME, SweepRecord(1, None, Finished(AT, AT, studies)).as_json())
        file = tmp_path / "gateway.toml"
        file.write_text(f'[database]\nurl = "sqlite:///{sqlite_engine.path}"\n[sync]\n{sync}\n')
        return [str(one) async for one in database_findings(load(file))]

    return of


async def test_before_a_sweep_has_counted_the_studies_nothing_is_said_of_its_pace(said):
    assert await said(0) == []


async def test_the_pace_that_follows_from_the_number_of_studies_is_said(said):
    assert await said(93 * 7_200) == [
        "sync: a sweep lists 669,600 studies in 1.0 h; answers say incomplete if none has ended for 4.0 h",
        "sync: 669,600 studies are many for sync.refetches_per_second: reports are fetched again after a day;"
        " of studies unchanged for 30 days after a week, and for a year after 30 days",
    ]
    assert len(await said(93 * 7_200, "refetches_per_second = 50")) == 1


async def test_an_age_that_no_sweep_can_keep_is_said(said):
    found = await said(93 * 7_200, "max_index_age = 3000\nrefetches_per_second = 50")
    assert found[0].endswith("if none has ended for 0.8 h")
    assert found[1].endswith("long before: remove sync.max_index_age, or raise sync.pages_per_second")
