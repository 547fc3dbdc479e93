"""Law of the circuit breaker: once refusals and outages end, everything is delivered, whatever they were (D32)."""

from __future__ import annotations

import asyncio

import pytest
from fakes.inline import Inline, in_no_time
from fakes.refusing import DOWN, Refusing
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.routing import Retry
from gateway.runtime import clock

LONGEST = 300.0 + 60.0 + 30.0  # between two probes, or two tries of one message; and to connect
faults = st.sampled_from(["AR", "CR", DOWN, "AA"])
periods = st.sampled_from([0.1, 3.0, 40.0, 150.0, 700.0])
arrivals = st.lists(st.tuples(st.integers(0, 6), st.booleans()), max_size=9)
happenings = st.lists(st.tuples(faults, arrivals, periods, st.booleans()), min_size=1, max_size=6)


async def happen(feed, story):
    """Run a story and then end all faults; return the messages by lane, in order."""
    told = {}
    for part, (answer, more, seconds, restarts) in enumerate([*story, ("AA", [], LONGEST, True)]):
        feed.answer = answer
        async with feed.serving("one" if restarts else f"number-{part}"):
            for lane, is_critical in more:
                told.setdefault(f"stu_{lane}", []).append(await feed.add(f"stu_{lane}", is_critical=is_critical))
            await asyncio.sleep(seconds)
    return told


@pytest.mark.full
@pytest.mark.parametrize("window", [1, pytest.param(3, marks=pytest.mark.soak)])
def test_after_any_refusals_for_now_all_is_delivered_in_order_without_an_operator(migrated_sqlite, monkeypatch, window):
    @settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(happenings)
    def holds(story):
        async def work():
            engine = Inline(migrated_sqlite)
            async with engine.opened():
                retry = Retry(first=1.0, cap=300.0, jitter=0.0)
                feed = Refusing(engine, monkeypatch, window=window, retry=retry)
                told = await happen(feed, story)
                assert await feed.states() <= {"delivered"}
                assert await feed.paused() == ""
                assert await feed.held() == []
                taken = [one for one in feed.tries if one.answer == "AA"]
                assert len(taken) == len({one.control_id for one in taken}), "nothing twice"
                for lane, control_ids in told.items():
                    assert [one.control_id for one in taken if one.lane == lane] == control_ids
                    tries = [one.number for one in feed.tries if one.lane == lane]
                    assert tries == sorted(tries)
                assert all(one.body == f"body {one.number}".encode() for one in feed.tries)
                assert clock.monotonic() > LONGEST

        in_no_time(work(), monkeypatch)

    holds()
