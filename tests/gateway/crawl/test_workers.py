"""Decisions D25, D26: listed studies are ingested by a few workers; one that fails stops no other."""

import asyncio
import gc
import weakref
from dataclasses import replace

import pytest
from fakes.crawl import Account, Index, Noted, crawl_of, study, study_id
from fakes.virtual_clock import VirtualClock
from structlog.testing import capture_logs

from gateway.crawl.retries import Retries
from gateway.crawl.sweep import Sweep
from gateway.crawl.workers import NOT_UNDERSTOOD, Intake
from gateway.runtime.errors import StoreUnavailable, UpstreamFailed, UpstreamNotFound, UpstreamNotUnderstood
from gateway.upstream.answers import Answer
from mappings.issues import MappingIssue


@pytest.fixture
def time(monkeypatch):
    return VirtualClock().install(monkeypatch)


class Failing(Index):
    """Index whose ingest raises the error set for a study."""

    def __init__(self, upstream, **errors):
        super().__init__(upstream)
        self.errors = errors

    async def __call__(self, study_id, *, listed):
        error = self.errors.get(study_id)
        if error is not None:
            raise error
        await super().__call__(study_id, listed=listed)


def page(*numbers, issues=()):
    return Answer({"studies": [study(number) for number in numbers], "hasMore": False}, issues)


async def taken_in(crawl, *pages):
    retries = Retries("r", crawl.cursors)
    async with Intake("sweep", crawl, retries) as intake:
        for one in pages:
            await intake.page(one)
    return intake, retries


async def test_what_is_unknown_changed_or_long_unread_is_taken_in_and_nothing_else(time):
    account = Account(study(1), study(2), study(3))
    crawl = crawl_of(account)
    await time.run(taken_in(crawl, page(1, 2)))
    assert crawl.known.taken_in == [study_id(1), study_id(2)]
    time.seconds += 100
    changed = Answer({"studies": [study(1), study(2, severity="stat"), study(3)]})
    await time.run(taken_in(crawl, changed))
    assert crawl.known.taken_in[2:] == [study_id(2), study_id(3)]
    time.seconds += 20 * 3600
    await time.run(taken_in(crawl, changed))
    assert crawl.known.taken_in[4:] == [study_id(1)]


async def test_a_listed_study_is_given_along_so_that_it_need_not_be_asked_for(time):
    account = Account(study(1))
    await time.run(taken_in(crawl_of(account), page(1)))
    assert [call for _, call in account.calls] == [f"reports {study_id(1)}"]


@pytest.mark.parametrize("error", [UpstreamFailed("GET /reports"), StoreUnavailable("locked"), KeyError("mrn 77")])
async def test_a_failure_that_may_pass_is_put_off_and_stops_no_other(error, time):
    account = Account(*map(study, range(1, 5)))
    index = Failing(account, **{study_id(2): error})
    crawl = crawl_of(account, index)
    with capture_logs() as logs:
        intake, retries = await time.run(taken_in(crawl, page(1, 2, 3, 4)))
    assert (intake.done, intake.failed, len(retries)) == (3, 1, 1)
    assert set(index.stored) == {study_id(1), study_id(3), study_id(4)}
    code = getattr(error, "code", "internal")
    assert crawl.observer.outcomes == {("sweep", "done"): 3, ("sweep", code): 1}
    [line] = [one for one in logs if one["event"] == "study-not-taken-in"]
    assert (line["study_id"], line["code"], line["action"]) == (study_id(2), code, "retry")
    assert (line["exc_info"] is None) == (code != "internal")


async def test_a_failure_that_will_not_pass_is_counted_and_given_up(time):
    account = Account(study(1), study(2))
    error = UpstreamNotUnderstood("GET /reports", detail="/reports/0/status")
    crawl = crawl_of(account, Failing(account, **{study_id(1): error}))
    with capture_logs() as logs:
        intake, retries = await time.run(taken_in(crawl, page(1, 2)))
    assert (intake.done, intake.failed, len(retries)) == (1, 1, 0)
    assert logs[0]["action"] == "given-up"
    assert crawl.observer.outcomes["sweep", "upstream-not-understood"] == 1


async def test_a_study_put_off_is_tried_when_it_is_due_and_then_forgotten(time):
    account = Account(study(1))
    index = Failing(account, **{study_id(1): UpstreamNotFound("GET /studies/{}", status=404)})
    crawl = crawl_of(account, index)
    await time.run(taken_in(crawl, page(1)))
    index.errors.clear()
    await time.run(taken_in(crawl, page()))
    assert index.taken_in == []
    time.seconds += 30
    _, retries = await time.run(taken_in(crawl, page()))
    assert (index.taken_in, len(retries)) == ([study_id(1)], 0)
    assert account.asked("study") == [study_id(1)]


async def test_a_study_tried_too_often_is_given_up(time):
    account = Account(study(1))
    crawl = crawl_of(account, Failing(account, **{study_id(1): UpstreamFailed("GET /reports")}))
    tried = []
    for _ in range(12):
        intake, retries = await time.run(taken_in(crawl, page()) if tried else taken_in(crawl, page(1)))
        tried.append(intake.failed)
        time.seconds += 3600
    assert (sum(tried), len(retries)) == (10, 0)


async def test_an_ingest_whose_work_was_cancelled_by_somebody_else_is_a_failure_like_another(time):
    account = Account(study(1), study(2))
    crawl = crawl_of(account, Failing(account, **{study_id(1): asyncio.CancelledError()}))
    intake, retries = await time.run(taken_in(crawl, page(1, 2)))
    assert (intake.done, intake.failed, len(retries)) == (1, 1, 1)


async def test_an_observer_that_fails_stops_no_worker(time):
    class Broken(Noted):
        def ingested(self, trigger, outcome):
            raise KeyError(outcome)

    crawl = replace(crawl_of(Account(*map(study, range(60)))), observer=Broken())
    with capture_logs() as logs:
        await time.run(taken_in(crawl, page(*range(60))))
    assert len(crawl.known.stored) == 60
    assert {one["event"] for one in logs} == {"outcome-not-noted"}


async def test_listed_studies_that_were_not_understood_are_counted_and_reported(time):
    issue = MappingIssue(NOT_UNDERSTOOD, "error", "/studies/1/severity", "left out of the page")
    other = MappingIssue("cursor-absent", "warning", "/cursor", "taken as the last page")
    crawl = crawl_of(Account(study(1)))
    with capture_logs() as logs:
        await time.run(taken_in(crawl, page(1, issues=(issue, issue, other))))
    assert crawl.observer.outcomes == {("sweep", "done"): 1, ("sweep", NOT_UNDERSTOOD): 2}
    assert [(one["event"], one["count"]) for one in logs] == [("listed-studies-not-understood", 2)]


async def test_a_round_that_fails_still_takes_in_what_was_listed(time):
    account = Account(*map(study, range(1, 40)), latency=1)
    crawl = crawl_of(account, concurrency=1)

    async def breaks_off():
        async with Intake("sweep", crawl, Retries("r", crawl.cursors)) as intake:
            await intake.page(page(*range(1, 40)))
            raise UpstreamFailed("GET /studies")

    with pytest.raises(UpstreamFailed):
        await time.run(breaks_off())
    assert len(crawl.known.stored) == 39


async def test_a_round_that_is_cancelled_stops_at_once_and_leaves_no_worker(time):
    account = Account(*map(study, range(1, 40)), latency=1)
    crawl = crawl_of(account, concurrency=2)
    before = asyncio.all_tasks()
    task = asyncio.create_task(taken_in(crawl, page(*range(1, 40))))
    await time.run_for(2.5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(crawl.known.stored) == 8
    assert asyncio.all_tasks() == before


class Held:
    """Object that lives as long as the study it was put into."""


class Counting(Account):
    """Account that knows which of its listed studies are still referenced."""

    def __init__(self, *studies, **more):
        super().__init__(*studies, **more)
        self.alive = weakref.WeakSet()

    def made(self, page):
        copies = [{**one, "held": Held()} for one in page]
        self.alive.update(copy["held"] for copy in copies)
        return copies


class Forgetful(Index):
    """Index that ingests everything and keeps nothing."""

    most = 0

    async def __call__(self, study_id, *, listed):
        await self.upstream.reports(study_id=study_id)
        self.most = max(self.most, len(self.upstream.alive))

    async def stale(self, listed, reports_before):
        return [one["studyId"] for one in listed]


@pytest.mark.full
async def test_no_more_than_two_pages_are_in_memory_however_many_studies_there_are(time):
    account = Counting(*map(study, range(3000)), latency=0.05)
    index = Forgetful(account)
    swept = await time.run(Sweep(crawl_of(account, index)).once())
    gc.collect()
    assert swept.taken_in == 3000
    assert 100 <= index.most <= 250
    assert len(account.alive) == 0
