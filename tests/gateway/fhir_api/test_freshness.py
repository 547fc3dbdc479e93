"""RFC 9111 §5.1 (`Age`), §5.2.1; decision D26: age and completeness of answers from the index."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from fakes.facade import facade
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request

from gateway.fhir_api.freshness import age, incompleteness, index_age, wants_newer
from gateway.runtime import clock
from gateway.store.database.engine import micros
from gateway.store.studies.crawling import Finished, Running, SweepRecord

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)


@pytest.fixture(autouse=True)
def noon(monkeypatch):
    monkeypatch.setattr(clock, "now", lambda: NOW)


def request(**headers):
    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return Request({"type": "http", "method": "GET", "headers": raw, "query_string": b""})


def ago(seconds):
    return NOW - timedelta(seconds=seconds)


def finished(ended, started=None):
    return SweepRecord(sweeps=1, finished=Finished(ago(started or ended), ago(ended), 10))


@pytest.fixture
async def serving():
    """The parts behind a facade; `sweep` may be another."""
    async with facade() as stage:
        yield stage.app.state.facade


def said(serving, record, max_index_age=100.0):
    return incompleteness(replace(serving, sweep=lambda: record, max_index_age=lambda: max_index_age))


async def test_before_the_first_sweep_has_ended_an_answer_may_lack_something(serving):
    running = SweepRecord(running=Running(ago(5), "c", 2, 200))
    for record, seen in ((SweepRecord(), 0), (running, 200)):
        [issue] = said(serving, record)
        assert (issue.severity, issue.code, issue.detail) == ("warning", "incomplete", "index-incomplete")
        assert f"has not ended ({seen} studies so far)" in issue.diagnostics
        assert index_age(replace(serving, sweep=lambda record=record: record)) is None


async def test_after_a_sweep_an_answer_is_whole_until_that_is_too_long_ago(serving):
    assert said(serving, finished(100)) == []
    [issue] = said(serving, finished(101))
    assert "ended 101 s ago" in issue.diagnostics


async def test_a_sweep_under_way_does_not_make_the_last_one_older(serving):
    record = replace(finished(50), running=Running(ago(5)))
    assert said(serving, record) == []


async def test_what_changed_since_a_sweep_started_may_be_unseen(serving):
    record = finished(50, started=80)
    assert index_age(replace(serving, sweep=lambda: record)) == 80


@pytest.mark.parametrize(
    ("headers", "newer"),
    [
        ({}, False),
        ({"cache_control": "no-cache"}, True),
        ({"cache_control": "No-Cache, no-store"}, True),
        ({"pragma": "no-cache"}, True),
        ({"cache_control": "max-age=100", "pragma": "no-cache"}, False),
        ({"cache_control": "max-age=59"}, True),
        ({"cache_control": "max-age=60"}, False),
        ({"cache_control": "max-age=0"}, True),
        ({"cache_control": 'private, max-age="10"'}, True),
        ({"cache_control": "max-age"}, False),
        ({"cache_control": "max-age=-1"}, False),
        ({"cache_control": "min-fresh=10"}, False),
    ],
)
def test_a_client_says_how_old_an_answer_may_be(headers, newer):
    assert wants_newer(request(**headers), micros(ago(60))) is newer


def test_an_answer_of_unknown_age_is_older_than_any():
    assert wants_newer(request(cache_control="max-age=999999999"), None)
    assert not wants_newer(request(), None)


@given(st.integers(-(10**6), 10**12))
def test_an_age_is_whole_seconds_and_never_below_none(microseconds):
    found = age(micros(NOW) - microseconds)
    assert found == max(0, microseconds // 1_000_000)


@given(st.text(st.characters(codec="latin-1", exclude_characters="\r\n\0")))
def test_no_header_breaks_an_answer(value):
    asked = Request({"type": "http", "headers": [(b"cache-control", value.encode("latin-1"))]})
    assert wants_newer(asked, micros(NOW)) in {True, False}
