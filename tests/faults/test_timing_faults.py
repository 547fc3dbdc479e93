"""Faults of timing, F16 to F22: acknowledgements that come late, slowly, in pieces, at once or too early; clocks.

HL7 v2.5.1 §2.9.2 over HL7 Transport Specification: MLLP, Release 1.
"""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from fakes.fed import assert_all_arrived, bodies, fed
from fakes.store import rows

from gateway.routing import QuietHours
from gateway.runtime import clock

DOUBTS = "SELECT doubts FROM message ORDER BY number"
LARGE = "A" * 5_000_000  # more than the kernels of both sides hold together


async def doubts(feed):
    return [int(count) for (count,) in await rows(feed.engine, DOUBTS)]


async def test_f16_an_ack_later_than_the_timeout_sends_the_same_bytes_again(engine):
    async with fed(engine, "slow:1:seconds=0.5", ack_timeout=0.25) as (feed, receiver), feed.serving():
        await feed.sign()
        await feed.seen("indeterminate", "ack-timeout")
        await feed.until("delivered")
        assert len(bodies(receiver)) == 2
        await assert_all_arrived(feed, receiver, repeats=True)


async def test_f16_an_ack_later_than_the_timeout_answers_no_other_message(sqlite_engine):
    async with fed(sqlite_engine, "slow:1:seconds=0.4", ack_timeout=0.25) as (feed, receiver), feed.serving():
        await feed.sign()
        await feed.seen("indeterminate", "ack-timeout")
        receiver.ack = "none"
        await feed.sign()
        await asyncio.sleep(0.4)
        assert "delivered" not in await feed.states()
        receiver.ack = "aa"
        await feed.until("delivered", "delivered")
        await assert_all_arrived(feed, receiver, repeats=True)


async def test_f17_an_ack_of_a_byte_a_second_does_not_wait_for_ever(sqlite_engine):
    async with fed(sqlite_engine, "dribble:seconds=0.05", ack_timeout=0.3) as (feed, receiver), feed.serving():
        await feed.sign()
        await feed.seen("indeterminate", "ack-timeout")
        receiver.ack = "dribble:seconds=0"
        await feed.until("delivered")
        await assert_all_arrived(feed, receiver, repeats=True)


async def test_f18_of_several_acks_in_one_read_each_message_takes_its_own(sqlite_engine):
    async with fed(sqlite_engine, "together") as (feed, receiver), feed.serving():
        for _ in range(4):
            await feed.sign()
        await feed.until(*["delivered"] * 4)
        await feed.sign()
        await feed.until(*["delivered"] * 5)
        assert await doubts(feed) == [0] * 5
        await assert_all_arrived(feed, receiver)


async def test_f19_an_ack_may_be_split_at_any_offset(sqlite_engine):
    cuts = range(1, 128, 6)
    spec = ",".join(f"split:1:at={cut}" for cut in cuts)
    async with fed(sqlite_engine, spec) as (feed, receiver), feed.serving():
        for _ in cuts:
            await feed.sign()
        await feed.until(*["delivered"] * len(cuts))
        assert await doubts(feed) == [0] * len(cuts)
        await assert_all_arrived(feed, receiver)


async def test_f20_an_ack_before_the_end_of_the_frame_is_no_answer_to_it(sqlite_engine):
    """An AA for an incomplete message is worthless: the message is sent again, and its lane is held at last."""
    async with fed(sqlite_engine, "early", ack_timeout=0.6) as (feed, receiver), feed.serving():
        await feed.sign(LARGE)
        await feed.seen("indeterminate", "ack-timeout")
        receiver.ack = "aa"
        await feed.until("delivered")
        await assert_all_arrived(feed, receiver, repeats=True)


async def test_f20_an_ack_after_the_whole_frame_was_written_is_taken_however_little_was_read(sqlite_engine):
    async with fed(sqlite_engine, "early") as (feed, receiver), feed.serving():
        await feed.sign()
        await feed.until("delivered")
        assert await doubts(feed) == [0]
        await assert_all_arrived(feed, receiver)


@pytest.mark.parametrize("window", [1, 3])
async def test_f21_a_peer_that_demands_a_pause_between_messages_gets_it(sqlite_engine, window):
    more = {"gap": 0.25, "window": window}
    async with fed(sqlite_engine, "pause:seconds=0.2", **more) as (feed, receiver), feed.serving():
        for _ in range(4):
            await feed.sign()
        await feed.until(*["delivered"] * 4)
        assert await doubts(feed) == [0] * 4
        await assert_all_arrived(feed, receiver)


async def test_f21_a_peer_that_demands_a_pause_it_was_not_promised_is_served_all_the_same(sqlite_engine):
    async with fed(sqlite_engine, "pause:seconds=0.2") as (feed, receiver), feed.serving():
        for _ in range(3):
            await feed.sign()
        await feed.until(*["delivered"] * 3)
        await assert_all_arrived(feed, receiver, repeats=True)


@pytest.mark.parametrize("hours", [-1, 1])
async def test_f22_a_clock_that_jumps_neither_delays_nor_loses_nor_repeats(engine, monkeypatch, hours):
    really = clock.now
    async with fed(engine, "ar") as (feed, receiver), feed.serving():
        first = await feed.sign()
        await feed.seen("queued", "AR-207")
        monkeypatch.setattr(clock, "now", lambda: really() + timedelta(hours=hours))
        receiver.ack = "aa"
        await feed.until("delivered")
        await feed.add(first)
        await feed.sign()
        await feed.until(*["delivered"] * 3)
        await assert_all_arrived(feed, receiver)


async def test_f22_an_hour_that_comes_twice_holds_back_only_where_hours_are_quiet(sqlite_engine, monkeypatch):
    """In New York 2026-11-01 has 01:30 twice; quiet hours from 01:00 to 02:00 cover both, and then end."""
    zone, at = ZoneInfo("America/New_York"), [datetime.fromisoformat("2026-11-01T06:30:00+00:00")]
    monkeypatch.setattr(clock, "now", lambda: at[0])
    quiet = QuietHours.read(["01:00-02:00"], zone)
    async with fed(sqlite_engine, quiet=quiet) as (feed, receiver), feed.serving():
        await feed.sign()
        await feed.seen("queued")
        assert not bodies(receiver)
        at[0] = datetime.fromisoformat("2026-11-01T07:00:01+00:00")
        await feed.until("delivered")
        await assert_all_arrived(feed, receiver)
