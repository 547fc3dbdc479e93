"""A permit to write ends by this process's own clock, and a timer tells the writer."""

from __future__ import annotations

import asyncio

import pytest
from fakes.virtual_clock import jump

from gateway.mllp.permit import Permit, PermitEnded
from gateway.runtime import clock


@pytest.fixture
def turned(monkeypatch):
    """Replace the clock by one that the test advances."""
    seconds = [100.0]
    monkeypatch.setattr(clock, "monotonic", lambda: seconds[0])
    return seconds


def test_it_stands_until_its_instant_and_not_at_it(turned):
    permit = Permit(101.0)
    permit.check()
    assert permit.left == 1.0
    turned[0] = 101.0
    with pytest.raises(PermitEnded):
        permit.check()


def test_it_is_extended_but_not_once_it_was_ended(turned):
    permit = Permit(101.0)
    permit.extend(103.0)
    assert permit.left == 3.0
    permit.end()
    assert permit.left == 0.0
    assert permit.is_in_time, "the lease is nobody else's yet"
    permit.extend(99.0)
    assert not permit.is_in_time


async def test_whoever_watches_is_told_what_is_left_and_then_that_it_is_over(monkeypatch):
    jump(monkeypatch)
    told = []
    with Permit(clock.monotonic() + 0.15).watched(told.append):
        await asyncio.sleep(0.3)
    assert told == [pytest.approx(0.05), 0.0]


async def test_whoever_watches_is_told_at_once_when_it_is_ended_from_another_thread():
    told = []
    permit = Permit(clock.monotonic() + 100)
    with permit.watched(told.append):
        await asyncio.to_thread(permit.end)
        await asyncio.sleep(0.02)
    assert told == [0.0]


async def test_nobody_is_told_who_does_not_watch_any_more(monkeypatch):
    jump(monkeypatch)
    told = []
    permit = Permit(clock.monotonic() + 0.02)
    with permit.watched(told.append):
        permit.end()
    await asyncio.sleep(0.05)
    assert told == []


async def test_a_timeout_is_over_with_the_permit_and_not_while_that_is_extended(monkeypatch):
    jump(monkeypatch)
    permit = Permit(clock.monotonic() + 0.1)
    begun = clock.monotonic()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(30) as timeout:
            with permit.limited(timeout):
                await asyncio.sleep(0.05)
                permit.extend(clock.monotonic() + 0.2)
                await asyncio.sleep(10)
    assert clock.monotonic() - begun == pytest.approx(0.25)
