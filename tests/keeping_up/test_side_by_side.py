"""Decisions D25, D26, D33: several loops and several gateways working side by side undo none of each other's work."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from fakes.crawl import Account, Cursors, Index, crawl_of, study, study_id
from fakes.upstream import STUDY_ID, FakeUpstream, study_json

from gateway.crawl.crawler import OpenSet
from gateway.crawl.sweep import Sweep
from gateway.ingest import Pipeline
from gateway.ingest.read_through import ReadThrough
from gateway.runtime.metrics import Metrics
from gateway.store.database.kept import unpacked
from gateway.store.studies.crawling import Finished, StoredStudies, digest_of, read_record
from mappings.profile import Site

OLD, NEW = (study_json(studyDescription=text) for text in ("Older", "Newer"))
_STORED = "SELECT received, fetched FROM study"


def reading(upstream, engine):
    return ReadThrough(upstream, engine, Pipeline(engine, Site(), UTC), Metrics())


async def described(engine):
    (row,) = await engine.query(_STORED, [])
    return unpacked(bytes(row[0]))["study"]["studyDescription"]


async def test_a_listing_that_is_older_than_what_another_gateway_stored_is_asked_for_anew(engine):
    upstream = FakeUpstream()
    for stands in (OLD, NEW):
        upstream.studies[STUDY_ID] = stands
        await reading(upstream, engine).study(STUDY_ID, fresh=True)
    upstream.calls.clear()
    await reading(upstream, engine).study(STUDY_ID, fresh=True, listed=OLD)
    assert f"study {STUDY_ID}" in upstream.calls
    assert await described(engine) == "Newer"


async def test_a_listing_stands_for_a_study_that_is_not_stored_or_is_stored_so(engine):
    upstream = FakeUpstream()
    upstream.studies[STUDY_ID] = NEW
    reads = reading(upstream, engine)
    for _ in range(2):
        await reads.study(STUDY_ID, fresh=True, listed=NEW)
    assert f"study {STUDY_ID}" not in upstream.calls
    assert await described(engine) == "Newer"


async def test_a_newer_listing_is_not_answered_with_what_an_older_one_brought(engine):
    upstream = FakeUpstream()
    upstream.studies[STUDY_ID], upstream.gate = OLD, asyncio.Event()
    reads = reading(upstream, engine)
    under_way = asyncio.create_task(reads.study(STUDY_ID, fresh=True))
    while f"study {STUDY_ID}" not in upstream.calls:
        await asyncio.sleep(0)
    upstream.studies[STUDY_ID] = NEW
    others = [asyncio.create_task(reads.study(STUDY_ID, fresh=True, listed=one)) for one in (OLD, NEW)]
    await asyncio.sleep(0)
    upstream.gate.set()
    await asyncio.gather(under_way, *others)
    assert await described(engine) == "Newer"


async def test_a_study_that_is_as_it_was_is_not_as_of_an_earlier_time(engine, monkeypatch):
    upstream, times = FakeUpstream(), []
    reads = reading(upstream, engine)
    for minutes in (5, 0):
        at = datetime(2026, 11, 1, 12, minutes, tzinfo=UTC)
        monkeypatch.setattr("gateway.runtime.clock.now", lambda at=at: at)
        await reads.study(STUDY_ID, fresh=True)
        times += [int(fetched) for _, fetched in await engine.query(_STORED, [])]
    assert times[0] == times[1]


async def test_two_that_note_the_same_studies_do_so_in_one_order():
    noted = []

    async def fetch(_, **__):
        return [(f"stu_{number}", digest_of({}), 0) for number in (3, 1, 2)]

    async def do(work):
        noted.extend(values["study_id"] for values in next(work()).values)

    listed = [{"studyId": f"stu_{number}"} for number in (2, 3, 1)]
    await StoredStudies(SimpleNamespace(fetch=fetch, do=do), b"k" * 32).stale(
        listed, lambda _: datetime(2026, 11, 1, tzinfo=UTC)
    )
    assert noted == ["stu_1", "stu_2", "stu_3"]


async def test_an_open_study_is_remembered_though_another_gateway_kept_an_older_look():
    account = Account(study(1, "in_progress"))
    crawl = crawl_of(account)
    looks = OpenSet(crawl)
    await looks.once()
    await crawl.cursors.put("open_set", {"ids": []})
    account.change(1, "completed")
    await looks.once()
    assert crawl.known.stored[study_id(1)]["studyReportStatus"] == "completed"


@pytest.mark.parametrize("minutes", [-5, 5])
async def test_a_sweep_that_another_gateway_ended_meanwhile_is_not_forgotten(minutes):
    account, cursors = Account(*map(study, range(250))), Cursors()
    index = Index(account)
    crawl = crawl_of(account, index, cursors, pages_per_second=50)
    kept, seen = index.stale, []
    at = datetime.now(UTC) + timedelta(minutes=minutes)
    other = Finished(at, at + timedelta(minutes=1), 250)

    async def ended_beside(listed, reports_before):
        record = await read_record(cursors)
        seen.append(record.finished)
        if len(seen) == 1:
            ended = replace(record, sweeps=7, finished=other, starts=(other.started,))
            await cursors.put("sweep", ended.as_json())
        return await kept(listed, reports_before)

    index.stale = ended_beside
    await Sweep(crawl).once()
    record = await read_record(cursors)
    assert seen == [None, other, other]
    assert record.sweeps == 8
    assert (record.finished == other) is (minutes > 0)
    assert len(record.starts) == 2
    assert record.starts == tuple(sorted(record.starts, reverse=True))
