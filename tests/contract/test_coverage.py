"""AutoScribe's listing as the store knows it: studies to fetch, missing studies, and positions of the crawl.

Decisions D21 and D26.
"""

from __future__ import annotations

from datetime import timedelta

import pytest
from fakes.fhir_studies import report
from fakes.store import rows
from fakes.taken_in import DRAFT, said, study_id, take
from fakes.virtual_clock import START, VirtualClock

from gateway.store.database import facts
from gateway.store.database.engine import micros
from gateway.store.studies import crawling
from gateway.store.studies.crawling import StoredCursors, StoredStudies, all_studies, digest_of

NEVER = START - timedelta(days=365)


@pytest.fixture
def time(monkeypatch):
    return VirtualClock().install(monkeypatch)


def listed(digit, **changes):
    return dict(said(digit=digit, **changes).study)


async def test_what_is_not_known_or_not_as_it_was_or_was_fetched_long_ago_is_stale(engine, pipeline, time):
    now = micros(START)
    await take(pipeline, report(), asked=now)
    await take(pipeline, report("2"), digit="2", asked=now)
    await take(pipeline, report("4"), digit="4", asked=now - 1)
    studies = [listed("1"), listed("2", modality="CT"), listed("4"), listed("5")]
    known = StoredStudies(engine, b"k" * 32)
    assert await known.stale(studies, lambda _: START) == [study_id(digit) for digit in "245"]
    assert await known.stale(studies, lambda _: NEVER) == [study_id(digit) for digit in "25"]
    assert await known.stale([listed("5")], lambda _: START) == [study_id("5")]
    assert await known.stale([], lambda _: START) == []


async def test_a_study_that_is_as_it_was_listed_is_not_stale_in_whatever_order_its_keys_come(engine, pipeline, time):
    await take(pipeline, report(), asked=micros(START))
    shuffled = dict(reversed(list(listed("1").items())))
    assert await StoredStudies(engine, b"k" * 32).stale([shuffled], lambda _: NEVER) == []
    assert digest_of({"a": 1, "b": "\ud800"}) == digest_of({"b": "\ud800", "a": 1})


async def test_studies_with_signed_reports_that_were_not_listed_are_missing(engine, pipeline, time):
    now = micros(START)
    await take(pipeline, report(), asked=now)
    await take(pipeline, report("2"), digit="2", asked=now)
    await take(pipeline, report("4", **DRAFT), digit="4", asked=now)
    await take(pipeline, report("5"), digit="5", asked=now, studyType="external")
    known = StoredStudies(engine, b"k" * 32)
    assert await known.missing(START) == []
    began = START + timedelta(seconds=1)
    assert await known.missing(began) == [study_id("1"), study_id("2")]
    time.seconds = 2.0
    await known.stale([listed("2")], lambda _: NEVER)
    assert await known.missing(began) == [study_id("1")]
    assert await rows(engine, "SELECT count(*) FROM study") == [(4,)]


async def test_every_study_is_listed_once(engine, pipeline, monkeypatch):
    monkeypatch.setattr(crawling, "_AT_A_TIME", 2)
    for digit in "1245a":
        await take(pipeline, report(digit), digit=digit)
    assert [one async for one in all_studies(engine)] == [study_id(digit) for digit in "1245a"]


async def test_a_cursor_is_what_was_put_last(engine):
    cursors = StoredCursors(engine)
    assert await cursors.get("sweep") is None
    for value in ({"page": 1}, {"page": 2, "text": "a\0"}):
        await cursors.put("sweep", value)
        assert await cursors.get("sweep") == value


async def test_a_fact_is_what_was_claimed_first_until_it_is_put(engine):
    assert await facts.claimed(engine, "site-key-check", "a") == "a"
    assert await facts.claimed(engine, "site-key-check", "b") == "a"
    await facts.put(engine, "site-key-check", "b")
    assert await facts.claimed(engine, "site-key-check", "c") == "b"
