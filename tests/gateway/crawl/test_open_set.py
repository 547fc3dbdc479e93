"""Decision D26: without webhooks, a signature on a study known to be open is ingested within a minute."""

import asyncio

import pytest
from fakes.crawl import Account, Cursors, Index, crawl_of, study, study_id
from fakes.virtual_clock import VirtualClock
from structlog.testing import capture_logs

from gateway.crawl import crawler
from gateway.crawl.crawler import OPEN, OpenSet
from gateway.runtime.errors import UpstreamFailed, UpstreamNotFound


@pytest.fixture
def time(monkeypatch):
    return VirtualClock().install(monkeypatch)


async def test_a_signature_on_a_study_seen_open_is_taken_in_at_the_next_look(time):
    account = Account(study(1, "in_progress"), study(2, "assigned"), study(3))
    crawl = crawl_of(account)
    looks = OpenSet(crawl)
    assert await time.run(looks.once()) == 2
    assert crawl.known.taken_in == [study_id(1), study_id(2)]
    account.change(1, "completed")
    assert await time.run(looks.once()) == 1
    assert crawl.known.taken_in[2:] == [study_id(1)]
    assert crawl.known.stored[study_id(1)]["studyReportStatus"] == "completed"
    await time.run(looks.once())
    assert len(crawl.known.taken_in) == 3


@pytest.mark.parametrize("status", OPEN)
async def test_every_status_but_completed_is_open(status, time):
    assert await time.run(OpenSet(crawl_of(Account(study(1, status), study(2)))).once()) == 1


async def test_sixty_seconds_are_enough_from_signature_to_intake_beside_hundreds_of_others(time):
    account = Account(*(study(number, "in_progress") for number in range(350)), latency=0.05)
    crawl = crawl_of(account)
    loop = asyncio.create_task(OpenSet(crawl).run())
    await time.run_for(31)
    for signed in range(0, 350, 7):
        account.change(signed, "completed")
        began = time.seconds
        while crawl.known.stored[study_id(signed)]["studyReportStatus"] != "completed":
            await time.run_for(1)
        assert time.seconds - began <= 60
    loop.cancel()
    assert crawl.observer.failed == []


async def test_what_left_the_open_set_while_the_gateway_was_down_is_noticed_at_the_restart(time):
    account, cursors = Account(study(1, "in_progress"), study(2, "in_progress")), Cursors()
    index = Index(account)
    await time.run(OpenSet(crawl_of(account, index, cursors)).once())
    account.change(1, "completed")
    del account.studies_by_id[study_id(2)]
    restarted = crawl_of(account, index, cursors)
    await time.run(OpenSet(restarted).once())
    assert index.stored[study_id(1)]["studyReportStatus"] == "completed"
    assert restarted.observer.outcomes["open_set", "upstream-not-found"] == 1


async def test_what_left_and_could_not_be_fetched_is_tried_again_also_after_a_crash(time):
    account, cursors = Account(study(1, "in_progress")), Cursors()
    index = Index(account)
    looks = OpenSet(crawl_of(account, index, cursors))
    await time.run(looks.once())
    account.change(1, "completed")
    account.trouble = lambda call: UpstreamFailed("GET /reports") if call.startswith("reports") else None
    await time.run(looks.once())
    account.trouble = lambda call: None
    time.seconds += 30
    await time.run(OpenSet(crawl_of(account, index, cursors)).once())
    assert index.stored[study_id(1)]["studyReportStatus"] == "completed"


@pytest.mark.parametrize("error", [UpstreamNotFound("GET /studies", status=404), UpstreamFailed("GET /studies")])
async def test_a_look_that_breaks_off_forgets_nothing_of_the_last(error, time):
    account = Account(*(study(number, "assigned") for number in range(3)))
    account.page_size = 1
    crawl = crawl_of(account)
    looks = OpenSet(crawl)
    await time.run(looks.once())
    account.change(0, "completed")
    account.trouble = lambda call: error if call == "open 1" else None
    with pytest.raises(type(error)):
        await time.run(looks.once())
    account.trouble = lambda call: None
    await time.run(looks.once())
    assert crawl.known.stored[study_id(0)]["studyReportStatus"] == "completed"


async def test_the_set_is_written_only_when_it_changed(time):
    account = Account(study(1, "assigned"))
    crawl = crawl_of(account)
    for _ in range(5):
        await time.run(OpenSet(crawl).once())
    account.change(1, "completed")
    await time.run(OpenSet(crawl).once())
    assert crawl.cursors.puts == ["open_set", "open_set"]


async def test_a_set_that_is_too_large_is_remembered_in_part_and_said(time, monkeypatch):
    monkeypatch.setattr(crawler, "MOST_REMEMBERED", 2)
    crawl = crawl_of(Account(*(study(number, "assigned") for number in range(3))))
    with capture_logs() as logs:
        assert await time.run(OpenSet(crawl).once()) == 3
    assert [(one["event"], one["count"]) for one in logs] == [("open-set-too-large", 3)]
    assert len((await crawl.cursors.get("open_set"))["ids"]) == 2


async def test_a_set_that_cannot_be_read_is_as_if_there_was_none(time):
    crawl = crawl_of(Account(study(1, "assigned")))
    await crawl.cursors.put("open_set", {"other": 1})
    assert await time.run(OpenSet(crawl).once()) == 1
    assert (await crawl.cursors.get("open_set"))["ids"] == [study_id(1)]


async def test_a_set_that_seems_empty_has_its_studies_fetched_and_changes_nothing_in_them(time):
    account = Account(*(study(number, "assigned") for number in range(5)))
    crawl = crawl_of(account)
    looks = OpenSet(crawl)
    await time.run(looks.once())
    stored, whole = dict(crawl.known.stored), dict(account.studies_by_id)
    account.studies_by_id.clear()
    await time.run(looks.once())
    assert crawl.known.stored == stored
    account.studies_by_id.update(whole)
    account.change(2, "completed")
    time.seconds += 30
    await time.run(looks.once())
    assert crawl.known.stored[study_id(2)]["studyReportStatus"] == "completed"
