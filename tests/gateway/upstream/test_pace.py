"""RFC 9110 §10.2.3 (Retry-After): no crawl request before it is over; trouble halves the limit, quiet raises it."""

import asyncio

import pytest
from fakes.crawl import Noted
from fakes.virtual_clock import VirtualClock
from hypothesis import given
from hypothesis import strategies as st

from gateway.runtime.errors import (
    UpstreamFailed,
    UpstreamNotFound,
    UpstreamThrottled,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from gateway.upstream.pace import LONGEST_WAIT, RECOVERY, Pace


@pytest.fixture
def time(monkeypatch):
    return VirtualClock().install(monkeypatch)


def throttled(seconds=None):
    return UpstreamThrottled("GET /studies", status=429, retry_after=seconds)


async def ask(pace, time, seconds=1.0, error=None, log=None):
    async with pace.turn() as begun:
        if log is not None:
            log.append(begun)
        await time.sleep(seconds)
        pace.answered(begun, error)


async def test_no_more_than_most_are_under_way_and_first_come_is_first_served(time):
    pace, order = Pace(3), []

    async def one(number):
        async with pace.turn():
            order.append(number)
            assert pace.under_way <= 3
            await time.sleep(1)

    await time.run(asyncio.gather(*map(one, range(10))))
    assert (order, time.seconds, pace.under_way) == (list(range(10)), 4.0, 0)


async def test_a_turn_that_is_given_up_while_waiting_takes_nothing_from_the_others(time):
    pace = Pace(1)
    first, given_up, last = (asyncio.create_task(ask(pace, time)) for _ in range(3))
    await asyncio.sleep(0)
    given_up.cancel()
    await time.run(asyncio.gather(first, last))
    assert (given_up.cancelled(), time.seconds) == (True, 2.0)


async def test_retry_after_closes_the_way_for_all_and_the_longest_counts(time):
    noted, log = Noted(), []
    pace = Pace(4, noted)
    await time.run(asyncio.gather(*(ask(pace, time, error=throttled(wait)) for wait in (5, 30, 10))))
    await time.run(asyncio.gather(*(ask(pace, time, log=log) for _ in range(3))))
    assert log[0] == 31.0
    assert noted.throttles == [5]


async def test_retry_after_of_any_error_is_heeded_but_no_longer_than_an_hour(time):
    log = []
    pace = Pace(4)
    await time.run(ask(pace, time, error=UpstreamNotFound("GET /studies", status=404, retry_after=1e9)))
    await time.run(ask(pace, time, log=log))
    assert log == [1.0 + LONGEST_WAIT]


@pytest.mark.parametrize("kind", [UpstreamFailed, UpstreamThrottled, UpstreamTimeout, UpstreamUnreachable])
async def test_trouble_halves_the_requests_at_one_time_once_for_those_that_were_under_way_together(kind, time):
    pace = Pace(8)
    await time.run(asyncio.gather(*(ask(pace, time, error=kind("GET /reports")) for _ in range(8))))
    assert pace.limit == 4
    for left in (2, 1, 1):
        await time.run(ask(pace, time, error=kind("GET /reports")))
        assert pace.limit == left


async def test_what_is_no_trouble_changes_nothing(time):
    pace = Pace(8)
    await time.run(ask(pace, time, error=UpstreamNotFound("GET /studies/{}", status=404)))
    assert pace.limit == 8


async def test_one_request_is_given_back_for_each_ten_quiet_seconds_up_to_the_most(time):
    pace = Pace(4)
    await time.run(ask(pace, time, error=UpstreamFailed("GET /reports")))
    assert pace.limit == 2
    limits = []
    for _ in range(40):
        await time.run(ask(pace, time))
        limits.append(pace.limit)
    assert limits == [2] * 9 + [3] * 10 + [4] * 21
    assert RECOVERY == 10.0


async def test_fewer_requests_at_one_time_hold_for_those_that_wait_already(time):
    pace, most = Pace(4), [0]

    async def one(error=None):
        async with pace.turn() as begun:
            if begun >= 2.0:
                most[0] = max(most[0], pace.under_way)
            await time.sleep(2)
            pace.answered(begun, error)

    await time.run(asyncio.gather(*(one(UpstreamFailed("GET /reports")) for _ in range(4)), *(one() for _ in range(6))))
    assert most == [2]


@given(
    st.lists(st.tuples(st.sampled_from([None, "fail", 1, 20]), st.floats(0.01, 15)), min_size=1, max_size=40),
    st.integers(1, 9),
)
async def test_whatever_happens_none_is_sent_while_the_way_is_closed_and_never_more_than_most(answers, most):
    with pytest.MonkeyPatch.context() as patch:
        time = VirtualClock().install(patch)
        pace, closed = Pace(most), []

        async def one(said, seconds):
            async with pace.turn() as begun:
                assert pace.under_way <= most
                assert all(begun <= start or begun >= end for start, end in closed)
                await time.sleep(seconds)
                error = UpstreamFailed("GET /reports") if said == "fail" else throttled(said) if said else None
                if said and error.retry_after:
                    closed.append((time.seconds, time.seconds + error.retry_after))
                pace.answered(begun, error)
                assert 1 <= pace.limit <= most

        await time.run(asyncio.gather(*(one(*answer) for answer in answers)))
