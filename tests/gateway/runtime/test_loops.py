"""Decision D26: no exception ends a loop, only cancellation does."""

import asyncio

import pytest
from fakes.crawl import Noted
from fakes.virtual_clock import VirtualClock
from structlog.testing import capture_logs

from gateway.runtime.errors import StoreUnavailable, UpstreamFailed
from gateway.runtime.loops import pause, repeat, resting


@pytest.fixture
def time(monkeypatch):
    return VirtualClock().install(monkeypatch)


async def rounds(time, takes, *, every, seconds):
    """Return the starts of rounds and the notes; `takes` has the seconds of each round, or its exception."""
    begun, noted, left = [], Noted(), list(takes)

    async def once():
        begun.append(time.seconds)
        what = left.pop(0) if left else 0
        if isinstance(what, Exception):
            raise what
        await time.sleep(what)
        return len(begun)

    loop = asyncio.create_task(repeat("sweep", once, every, noted))
    await time.run_for(seconds)
    loop.cancel()
    with pytest.raises(asyncio.CancelledError):
        await loop
    return begun, noted


async def test_rounds_begin_at_even_distances_or_as_soon_as_the_last_is_over(time):
    begun, noted = await rounds(time, [0, 10, 45, 29], every=30, seconds=130)
    assert begun == [0, 30, 60, 105]
    assert noted.rounds == [("sweep", 1), ("sweep", 2), ("sweep", 3)]


async def test_a_round_that_fails_is_begun_anew_after_a_pause_that_grows_and_is_forgotten(time):
    errors = [UpstreamFailed("GET /studies"), StoreUnavailable("locked"), RuntimeError("mrn 77"), 0, KeyError("x")]
    with capture_logs() as logs:
        begun, noted = await rounds(time, errors, every=600, seconds=700)
    assert begun == [0, 2, 6, 14, 614, 616]
    assert (noted.failed, len(noted.rounds)) == (["sweep"] * 4, 2)
    assert [one["code"] for one in logs] == ["upstream-failed", "store-unavailable", "internal", "internal"]


async def test_the_pause_is_never_longer_than_the_loops_own_interval_nor_than_a_minute(time):
    begun, _ = await rounds(time, [UpstreamFailed("GET /studies")] * 6, every=5, seconds=18)
    assert begun == [0, 2, 6, 11, 16]
    assert [pause(failures) for failures in (1, 5, 6, 7, 10_000)] == [2, 32, 60, 60, 60]


async def test_after_a_piece_of_long_work_the_loop_rests_as_long_as_it_took_and_a_second_at_most(time):
    ended = []

    async def pieces():
        for seconds in (0.25, 5):
            await resting(time.sleep(seconds))
            ended.append(time.seconds)

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(pieces())
        await time.run_for(10)
    assert ended == [0.5, 6.5]
