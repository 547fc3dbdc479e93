"""Circuit breaker: it opens, probes, and closes by itself, also over restarts (D32)."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest
from fakes.inline import Inline, in_no_time
from fakes.refusing import DOWN, Refusing
from structlog.testing import capture_logs

from gateway.feed.deliver import circuit_breaker
from gateway.routing import Retry
from gateway.runtime import clock
from gateway.runtime.metrics import PREFIX
from gateway.store.feed.leases import paused, resumed

LANES = [f"stu_{number}" for number in range(6)]
HOUR = 3600.0


@pytest.fixture
def run(migrated_sqlite, monkeypatch):
    """Return a function that runs a test in virtual time, with a feed to a receiver that refuses."""

    def running(test, **more):
        async def work():
            engine = Inline(migrated_sqlite)
            async with engine.opened():
                await test(Refusing(engine, monkeypatch, **more))

        in_no_time(work(), monkeypatch)

    return running


async def opened(feed, answer="AR"):
    """Have everything refused until the breaker opens; return the time at which it opened."""
    feed.answer = answer
    for lane in LANES:
        await feed.add(lane)
    while await feed.paused() == "":
        await asyncio.sleep(0.01)
    at = clock.monotonic()
    await asyncio.sleep(0.5)  # for the messages in hand
    return at


async def until_delivered(feed, within=HOUR):
    async with asyncio.timeout(within):
        while await feed.states() != {"delivered"}:
            await asyncio.sleep(1)
    assert await feed.held() == []
    assert await feed.paused() == ""


def apart(tries):
    return [round(two.at - one.at) for one, two in pairwise(tries)]


@pytest.mark.parametrize("answer", ["AR", "CR"])
def test_it_opens_and_probes_every_15_seconds_and_after_2_minutes_every_5_minutes(run, answer):
    async def test(feed):
        async with feed.serving():
            at = await opened(feed, answer)
            assert await feed.paused() == "refused-for-now"
            assert len(feed.tries) in (10, 11)
            await asyncio.sleep(1200)
        probes = list(feed.since(at + 1))
        often = [one for one in probes if one.at - at < circuit_breaker.AT_FIRST]
        assert 15 <= often[0].at - at <= 17
        assert all(15 <= gap <= 17 for gap in apart(often))
        assert all(300 <= gap <= 302 for gap in apart(probes[len(often) :]))
        assert len(often) in (7, 8)
        assert len(probes) - len(often) == 4
        assert {(one.control_id, one.body) for one in probes} == {("ID1", b"body 1")}

    run(test)


def test_the_first_acceptance_closes_it_and_all_goes_at_full_rate(run):
    async def test(feed):
        async with feed.serving():
            at = await opened(feed)
            await asyncio.sleep(200)
            feed.answer = "AA"
            await until_delivered(feed, within=302)
            taken = [one for one in feed.since(at) if one.answer == "AA"]
        assert taken[-1].at - taken[0].at < 5
        assert [one.number for one in taken] == [1, 2, 3, 4, 5, 6]

    run(test)


def test_what_was_to_wait_for_long_goes_as_soon_as_it_closes(run):
    async def test(feed):
        for number in range(6, 12):
            await feed.add(f"stu_{number}")
        async with feed.serving():
            at = await opened(feed)
            feed.answer = "AA"
            await until_delivered(feed, within=25)
            assert feed.since(at)[-1].at - at < 25

    run(test, retry=Retry(first=300.0, cap=300.0, jitter=0.0))


def test_a_newer_critical_message_is_the_probe_before_the_oldest_that_was_refused(run):
    async def test(feed):
        async with feed.serving():
            at = await opened(feed)
            critical = await feed.add("stu_new", is_critical=True)
            await asyncio.sleep(31)
        assert [one.control_id for one in feed.since(at + 1)] == [critical] * 2

    run(test)


def test_what_was_never_sent_is_no_probe_while_something_refused_waits(run):
    async def test(feed):
        await feed.add("stu_late")
        await feed.engine.do(lambda: paused("ehr", "by an operator", 1))
        async with feed.serving():
            await asyncio.sleep(1)
            feed.engine._database.execute("UPDATE message SET state = 'held' WHERE study_id = 'stu_late'")
            await feed.engine.do(lambda: resumed("ehr"))
            at = await opened(feed)
            feed.engine._database.execute("UPDATE message SET state = 'queued' WHERE study_id = 'stu_late'")
            await asyncio.sleep(31)
        assert {one.lane for one in feed.since(at + 1)} == {LANES[0]}

    run(test)


def test_who_takes_over_goes_on_with_it_and_probes_at_once(run):
    async def test(feed):
        async with feed.serving("one"):
            await opened(feed)
            await asyncio.sleep(600)
        at = clock.monotonic()
        async with feed.serving("two"):
            await asyncio.sleep(400)
            probes = feed.since(at)
            assert [round(one.at - at) // 10 * 10 for one in probes] == [0, 300]
            feed.answer = "AA"
            await until_delivered(feed, within=302)

    run(test)


def test_a_probe_that_finds_nobody_there_is_made_again(run):
    async def test(feed):
        async with feed.serving():
            at = await opened(feed)
            feed.answer = DOWN
            await asyncio.sleep(100)
            assert len(feed.since(at + 1)) >= 4
            feed.answer = "AA"
            await until_delivered(feed, within=330)

    run(test)


def test_what_is_held_for_too_many_refusals_for_now_goes_on_by_itself(run):
    async def test(feed):
        async with feed.serving():
            await opened(feed)
            assert await feed.held() == []
            await asyncio.sleep(100)
            assert await feed.held() == []
            feed.answer = "AA"
            await until_delivered(feed)

    run(test, retry=Retry(first=0.5, cap=300.0, jitter=0.0, max_attempts=2))


def test_a_probe_that_is_refused_for_good_holds_its_lane_and_the_next_is_probed_with(run):
    async def test(feed):
        async with feed.serving():
            at = await opened(feed)
            feed.answer = "AE"
            await asyncio.sleep(16)
            feed.answer = "AA"
            await asyncio.sleep(60)
        assert await feed.held() == [("stu_0", "refused")]
        assert await feed.states() == {"held", "delivered"}
        assert [one.lane for one in feed.since(at + 1)][:2] == ["stu_0", "stu_1"]

    run(test)


def test_probes_that_are_all_refused_for_good_pause_the_destination(run):
    async def test(feed):
        for number in range(20):
            await feed.add(f"stu_more_{number}")
        async with feed.serving():
            await opened(feed)
            feed.answer = "AE"
            await asyncio.sleep(HOUR)
        assert await feed.paused() == "refused-in-a-row"

    run(test)


@pytest.mark.full
@pytest.mark.parametrize(
    ("answer", "more"), [("AE", {}), ("AR", {"inverted_acks": True}), ("AE", {"inverted_acks": True})]
)
def test_what_is_refused_for_good_or_by_an_inverted_receiver_pauses_for_an_operator(run, answer, more):
    async def test(feed):
        for number in range(6, 12):
            await feed.add(f"stu_{number}")
        async with feed.serving():
            at = await opened(feed, answer)
            assert await feed.paused() == "refused-in-a-row"
            feed.answer = "AA"
            await asyncio.sleep(HOUR)
        assert feed.since(at + 1) == []

    run(test, **more)


def test_a_pause_by_an_operator_stands_over_it_and_is_not_ended_by_it(run):
    async def test(feed):
        async with feed.serving():
            at = await opened(feed)
            assert await feed.engine.do(lambda: paused("ehr", "by an operator", 1))
            feed.answer = "AA"
            await asyncio.sleep(HOUR)
            assert feed.since(at + 3) == []
            assert await feed.paused() == "by an operator"
            await feed.engine.do(lambda: resumed("ehr"))
            await until_delivered(feed, within=330)

    run(test)


def test_it_is_told_of_once_as_it_opens_and_once_as_it_closes_and_is_a_metric(run):
    async def test(feed):
        def shown():
            return feed.metrics.registry.get_sample_value(f"{PREFIX}feed_breaker_open", {"destination": "ehr"})

        with capture_logs() as logs:
            async with feed.serving():
                await opened(feed)
                await asyncio.sleep(100)
                assert shown() == 1
                feed.answer = "AA"
                await until_delivered(feed)
                assert shown() == 0
        told = [one["event"] for one in logs if one["event"].startswith("breaker")]
        assert told == ["breaker-open", "breaker-closed"]

    run(test)


def test_with_several_connections_one_probe_is_in_hand_at_a_time(run):
    async def test(feed):
        async with feed.serving():
            at = await opened(feed)
            await asyncio.sleep(100)
            assert all(gap >= circuit_breaker.OFTEN - 1 for gap in apart(feed.since(at + 1)))
            feed.answer = "AA"
            await until_delivered(feed, within=302)

    run(test, window=4)


@pytest.mark.full
def test_refusals_of_few_studies_open_nothing_and_wait_for_nobody(run):
    async def test(feed):
        for lane in LANES[:4]:
            await feed.add(lane)
        feed.answer = "AR"
        async with feed.serving():
            await asyncio.sleep(HOUR)
            assert await feed.paused() == ""
            feed.answer = "AA"
            await until_delivered(feed, within=310)

    run(test)
