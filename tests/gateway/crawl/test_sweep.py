"""Decisions D21, D26: all studies are swept without end; a crash costs a page, silence withdraws nothing."""

import asyncio
import random
from datetime import timedelta

import pytest
from fakes.crawl import Account, Cursors, Index, crawl_of, refuses_cursors, study, study_id
from fakes.virtual_clock import START, VirtualClock
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from gateway.crawl.account_pace import AccountPace
from gateway.crawl.crawler import OpenSet
from gateway.crawl.sweep import Sweep
from gateway.runtime.errors import UpstreamFailed, UpstreamNotFound, UpstreamNotUnderstood
from gateway.settings import Sync
from gateway.store.studies.crawling import read_record
from gateway.upstream.answers import Answer


@pytest.fixture
def time(monkeypatch):
    return VirtualClock().install(monkeypatch)


def events(logs):
    return [one["event"] for one in logs]


async def test_a_sweep_takes_in_every_study_and_the_next_only_what_changed(time):
    account = Account(*map(study, range(250)))
    crawl = crawl_of(account)
    sweep = Sweep(crawl)
    first = await time.run(sweep.once())
    assert (first.listed, first.taken_in, first.failed, first.waiting, first.missing) == (250, 250, 0, 0, 0)
    account.change(120, severity="stat")
    second = await time.run(sweep.once())
    assert (second.listed, second.taken_in) == (250, 1)
    assert crawl.known.taken_in[-1] == study_id(120)


async def test_a_study_that_opened_and_closed_between_two_looks_is_found_by_the_sweep(time):
    account = Account(study(1, "assigned"))
    crawl = crawl_of(account)
    looks = OpenSet(crawl)
    await time.run(looks.once())
    account.change(2, "completed")
    await time.run(looks.once())
    assert study_id(2) not in crawl.known.stored
    await time.run(Sweep(crawl).once())
    assert study_id(2) in crawl.known.stored


async def test_pages_are_paced_and_the_record_says_how_far_the_sweep_is(time):
    account = Account(*map(study, range(250)))
    crawl = crawl_of(account)
    shown = []
    await time.run(Sweep(crawl).once(shown.append))
    assert [at for at, call in account.calls if call.startswith("page")] == [0.0, 0.5, 1.0]
    assert [(one.studies_seen, one.running.pages, one.percent) for one in shown] == [
        (100, 1, None),
        (200, 2, None),
        (250, 3, None),
    ]
    shown.clear()
    await time.run(Sweep(crawl).once(shown.append))
    assert [one.percent for one in shown] == [39, 79, 99]
    record = await read_record(crawl.cursors)
    assert (record.sweeps, record.running, record.studies_seen, record.percent) == (2, None, 0, None)
    assert (record.finished.started, record.finished.studies) == (record.starts[0], 250)
    assert record.starts[1] == START


@pytest.mark.full
async def test_a_silent_change_of_a_text_is_noticed_within_a_day(time):
    account = Account(*map(study, range(30)))
    crawl = crawl_of(account)
    loop = asyncio.create_task(Sweep(crawl).run())
    await time.run_for(100)
    account.calls.clear()
    await time.run_for(86_400)
    loop.cancel()
    asked = [at for at, call in account.calls if call == f"reports {study_id(7)}"]
    assert len(asked) == 1
    assert crawl.observer.failed == []


async def test_reports_are_not_fetched_again_and_again_however_long_an_index_may_be_old():
    pace = AccountPace(1, Sync(max_index_age=1e6, report_refetch_hours=10))
    assert pace.stale_before(study(1), START) == START - timedelta(hours=5)


async def test_back_pressure_the_next_page_is_not_listed_while_the_workers_are_full(time):
    account = Account(*map(study, range(1000)), latency=1)
    crawl = crawl_of(account, concurrency=1)
    loop = asyncio.create_task(Sweep(crawl).once())
    await time.run_for(60)
    loop.cancel()
    assert len(account.asked("page")) <= 3
    assert len(account.asked("reports")) >= 100


async def test_the_crawl_is_as_fast_as_concurrency_and_latency_let_it_be(time):
    account = Account(*map(study, range(2000)), latency=0.05)
    crawl = crawl_of(account, concurrency=4)
    await time.run(Sweep(crawl).once())
    assert account.most_under_way <= 9
    assert 2000 / time.seconds >= 0.8 * 4 / 0.05


async def crashing(time, sweeps, moments):
    """Sweep until one sweep ends; the process is killed after each of these numbers of loop steps."""
    for steps in moments:
        task = asyncio.create_task(sweeps().once())
        for _ in range(steps):
            await time.step()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        if task.done() and not task.cancelled():
            return
    await time.run(sweeps().once())


@pytest.mark.full
@settings(max_examples=100)
@given(st.integers(0, 60), st.lists(st.integers(0, 400), max_size=8), st.integers(1, 12), st.randoms())
async def test_a_crash_at_any_moment_loses_no_study_and_at_most_two_pages_are_read_again(studies, moments, size, dice):
    with pytest.MonkeyPatch.context() as patch:
        time = VirtualClock().install(patch)
        account, cursors = Account(*map(study, range(studies)), latency=0.1), Cursors()
        account.page_size = size
        bad = {study_id(number) for number in range(studies) if dice.random() < 0.2}
        account.trouble = lambda call: UpstreamFailed("GET /reports") if call.split(" ")[-1] in bad else None
        index = Index(account)
        await crashing(time, lambda: Sweep(crawl_of(account, index, cursors, concurrency=2)), moments)
        assert set(index.stored) == set(account.studies_by_id) - bad
        assert len(account.asked("page")) <= max(1, -(-studies // size)) + 2 * len(moments)
        account.trouble = lambda call: None
        account.page_size = None
        index.stale = _nothing
        time.seconds += 4000
        await time.run(Sweep(crawl_of(account, index, cursors)).once())
        assert set(index.stored) == set(account.studies_by_id)


async def _nothing(listed, reports_before):
    return []


async def test_after_a_crash_the_sweep_goes_on_at_the_page_it_stood_on(time):
    account, cursors = Account(*map(study, range(1000)), latency=0.05), Cursors()
    index = Index(account)
    for seconds in (2.0, 3.3, 0.4):
        task = asyncio.create_task(Sweep(crawl_of(account, index, cursors, concurrency=2)).once())
        await time.run_for(seconds)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        record = await read_record(cursors)
        account.calls.clear()
    swept = await time.run(Sweep(crawl_of(account, index, cursors)).once())
    assert account.asked("page")[0] == record.running.cursor != ""
    assert record.running.started == START
    assert swept.listed == 1000
    assert len(index.stored) == 1000
    assert len(account.asked("page")) == 10 - record.running.pages


async def test_a_page_is_let_go_of_only_when_its_studies_are_settled(time):
    account, cursors = Account(*map(study, range(300))), Cursors()
    gate = asyncio.Event()

    class Stuck(Index):
        async def __call__(self, study_id_, *, listed):
            if study_id_ == study_id(42):
                await gate.wait()
            await super().__call__(study_id_, listed=listed)

    index = Stuck(account)
    task = asyncio.create_task(Sweep(crawl_of(account, index, cursors)).once())
    await time.run_for(30)
    record = await read_record(cursors)
    assert (record.running.cursor, record.running.pages) == ("", 0)
    assert len(index.stored) >= 199
    gate.set()
    await time.run(task)
    assert len(index.stored) == 300


async def test_a_cursor_that_is_refused_after_a_crash_begins_the_sweep_anew_and_loses_nothing(time):
    account, cursors = Account(*map(study, range(400)), latency=0.05), Cursors()
    index = Index(account)
    task = asyncio.create_task(Sweep(crawl_of(account, index, cursors, concurrency=2)).once())
    await time.run_for(3.5)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert (await read_record(cursors)).running.cursor
    account.calls.clear()
    refused = []

    def trouble(call):
        error = refuses_cursors(call) if not refused else None
        refused.extend([call] if error else [])
        return error

    account.trouble = trouble
    swept = await time.run(Sweep(crawl_of(account, index, cursors)).once())
    assert account.asked("page")[:2] == [refused[0].split(" ")[1], ""]
    assert (swept.listed, len(index.stored)) == (400, 400)


@pytest.mark.full
async def test_a_listing_that_refuses_every_cursor_is_not_asked_without_a_pause(time):
    account = Account(*map(study, range(400)))
    account.trouble = refuses_cursors
    crawl = crawl_of(account)
    loop = asyncio.create_task(Sweep(crawl).run())
    await time.run_for(600)
    loop.cancel()
    assert len(account.asked("page")) < 60
    assert crawl.observer.failed.count("sweep") >= 9
    assert (await read_record(crawl.cursors)).finished is None


async def test_a_cursor_that_comes_again_breaks_the_sweep_off_instead_of_going_round(time):
    class Circle(Account):
        async def studies(self, **filters):
            yield Answer({"studies": [], "hasMore": True, "cursor": "b" if filters["cursor"] == "a" else "a"})

    crawl = crawl_of(Circle())
    with pytest.raises(UpstreamNotUnderstood, match="/cursor"):
        await time.run(Sweep(crawl).once())


async def test_pages_have_other_edges_in_the_next_sweep(time):
    account = Account(*map(study, range(250)))
    crawl = crawl_of(account)
    for _ in range(2):
        await time.run(Sweep(crawl).once())
    assert account.asked("page") == ["", "100", "200", "", "99", "198"]


async def test_a_permanent_failure_of_one_study_does_not_stop_the_others(time):
    account = Account(*map(study, range(150)))
    broken = f"reports {study_id(3)}"
    account.trouble = lambda call: UpstreamNotUnderstood("GET /reports") if call == broken else None
    crawl = crawl_of(account)
    swept = await time.run(Sweep(crawl).once())
    assert (swept.taken_in, swept.failed, swept.waiting) == (149, 1, 0)
    assert crawl.observer.outcomes["sweep", "upstream-not-understood"] == 1


def alerted(logs):
    """Alerts of studies that are listed no longer, as (studies, sweeps)."""
    return [(one["count"], one["attempts"]) for one in logs if one["event"] == "studies-not-listed"]


async def silent(time, seconds, *, answer):
    """Index 120 signed studies, then let AutoScribe answer 404, or nothing, to everything for so long."""
    account = Account(*map(study, range(120)))
    crawl = crawl_of(account)
    await time.run(Sweep(crawl).once())
    time.seconds += 60
    stored, before = dict(crawl.known.stored), await read_record(crawl.cursors)
    account.calls.clear()
    whole = dict(account.studies_by_id)
    if answer == 404:
        account.trouble = lambda _: UpstreamNotFound("GET /studies", status=404)
    else:
        account.studies_by_id.clear()
    with capture_logs() as logs:
        loops = [asyncio.create_task(loop.run()) for loop in (Sweep(crawl), OpenSet(crawl))]
        await time.run_for(seconds)
        for loop in loops:
            loop.cancel()
    assert crawl.known.stored == stored
    assert account.asked("study") == account.asked("reports") == []
    assert (await read_record(crawl.cursors)).finished == before.finished
    account.studies_by_id, account.trouble = whole, lambda _: None
    return crawl, alerted(logs), logs


async def test_an_upstream_that_lists_nothing_for_an_hour_withdraws_nothing_and_is_counted(time):
    crawl, told, logs = await silent(time, 3600, answer="nothing")
    assert set(crawl.observer.missed[1:]) == {120}
    assert len(told) >= 50
    assert set(told) == {(120, 3)}
    assert events(logs)[:2] == ["sweep-lists-too-little", "sweep-ended"]
    assert events(logs)[:7].count("studies-not-listed") == 1
    record = await read_record(crawl.cursors)
    assert not record.is_current(START.replace(hour=20), AccountPace(120, crawl.settings).max_index_age)
    assert record.not_listed == 120
    await time.run(Sweep(crawl).once())
    record = await read_record(crawl.cursors)
    assert (record.finished.studies, crawl.observer.missed[-1], record.not_listed) == (120, 0, 0)


async def test_an_upstream_that_knows_nothing_for_an_hour_withdraws_nothing_and_the_index_grows_old(time):
    crawl, told, _ = await silent(time, 3600, answer=404)
    assert told == []
    assert crawl.observer.missed == [0]
    assert set(crawl.observer.failed) == {"sweep", "open_set"}
    swept = await time.run(Sweep(crawl).once())
    assert (swept.listed, swept.taken_in) == (120, 0)


async def test_a_study_that_is_listed_no_longer_is_alerted_after_three_sweeps_and_no_sooner(time):
    account = Account(*map(study, range(5)))
    crawl = crawl_of(account)
    sweep = Sweep(crawl)
    with capture_logs() as logs:
        await time.run(sweep.once())
        gone = account.studies_by_id.pop(study_id(2))
        for missed in (1, 1):
            time.seconds += 60
            assert (await time.run(sweep.once())).missing == missed
        account.studies_by_id[study_id(2)] = gone
        time.seconds += 60
        await time.run(sweep.once())
        del account.studies_by_id[study_id(2)]
        for _ in range(3):
            assert alerted(logs) == []
            time.seconds += 60
            await time.run(sweep.once())
    assert alerted(logs) == [(1, 3)]
    assert (await read_record(crawl.cursors)).finished.studies == 4


async def test_an_account_without_studies_is_swept_too(time):
    crawl = crawl_of(Account())
    assert (await time.run(Sweep(crawl).once())).listed == 0
    assert (await read_record(crawl.cursors)).finished.studies == 0


async def test_data_that_moves_under_the_sweep_hides_no_study_that_was_there_all_along(time):
    """Check new studies that appear at the front: pages overlap, and no old study is skipped."""
    dice = random.Random(7)
    account = Account(*map(study, range(600)))
    crawl = crawl_of(account)
    old = set(account.studies_by_id)

    class Growing(Account):
        def made(self, page):
            fresh = {study_id(number): study(number) for number in range(1000, 1000 + dice.randrange(30))}
            self.studies_by_id = fresh | self.studies_by_id
            return page

    growing = Growing()
    growing.studies_by_id = account.studies_by_id
    crawl = crawl_of(growing)
    await time.run(Sweep(crawl).once())
    assert old <= set(crawl.known.stored)
