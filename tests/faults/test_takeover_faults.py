"""Faults of takeover, F43 and F44: a holder is suspended or dies, and another process takes over.

Decision D33: the lease runs by the database's clock, and a holder stops by its own. A fence cannot protect a receiver's
socket: only the bytes that a suspended holder had begun to write can still leave it.
"""

from __future__ import annotations

import asyncio
import signal
import time

from fakes.fed import assert_all_arrived, bodies, destination, fed, ids
from fakes.feed_process import feeding
from fakes.store import rows

from gateway.sandbox.receiver import MllpReceiver
from gateway.settings.feed import Feed
from gateway.store.database.sqlite import Sqlite
from gateway.store.feed.leases import Leases

LEASE = Feed(lease=1)
HOLDER = "SELECT holder, fence FROM destination"
MESSAGES = "SELECT number, state, ack, attempts, doubts, sent, closed FROM message ORDER BY number"
LARGE = "A" * 5_000_000  # more than the kernels of both sides hold together


async def until(holds, seconds=60):
    """Wait until a condition holds."""
    async with asyncio.timeout(seconds):
        while not holds():
            await asyncio.sleep(0.01)


async def test_f43_a_holder_that_slept_for_twice_its_lease_writes_no_byte_and_no_row(postgres_engine, tmp_path):
    async with fed(postgres_engine, "slow:seconds=0.05") as (feed, first), MllpReceiver(port=0) as second:
        for _ in range(20):
            await feed.sign(critical=False)
        with feeding(feed, tmp_path / "log", holder="one", lease=LEASE.lease) as sleeper:
            await until(lambda: len(first.messages) >= 5)
            sleeper.signal(signal.SIGSTOP)
            began = time.monotonic()
            feed.destinations = (destination(second.port),)
            async with feed.serving("two", LEASE):
                await until(lambda: second.messages)
                taken_over = time.monotonic() - began
                await feed.all_delivered()
                await asyncio.sleep(max(0.0, 2 * LEASE.lease - (time.monotonic() - began)))
                seen, before = len(first.messages), await rows(feed.engine, MESSAGES)
                sleeper.signal(signal.SIGCONT)
                await until(lambda: "lease-lost" in sleeper.logged() or "feed-interrupted" in sleeper.logged())
                await asyncio.sleep(1.5)
                assert len(first.messages) <= seen + 1
                assert await rows(feed.engine, MESSAGES) == before
                assert [str(one) for one, _ in await rows(feed.engine, HOLDER)] == ["two"]
        assert taken_over < 3
        repeated = set(ids(first.messages)) & set(ids(second.messages))
        assert len(repeated) <= 1
        await assert_all_arrived(feed, first, second, repeats=True)


async def test_f43_a_holder_that_froze_in_a_transaction_is_followed_within_its_lease_and_three_seconds(
    postgres_engine, tmp_path
):
    """Its session stays open and locks the row of the lease: the server itself must end the session."""
    async with fed(postgres_engine) as (feed, receiver):
        await feed.sign(critical=True)
        with feeding(feed, tmp_path / "log", holder="one", lease=LEASE.lease, freezes=True) as frozen:
            await until(lambda: frozen.is_frozen)
            began = time.monotonic()
            async with feed.serving("two", LEASE):
                await feed.until_rows(HOLDER, lambda found: [str(one) for one, _ in found] == ["two"])
                assert time.monotonic() - began < LEASE.lease + 3
                await feed.until("delivered")
                frozen.signal(signal.SIGCONT)
                await until(lambda: "lease-lost" in frozen.logged() or "feed-interrupted" in frozen.logged())
        await assert_all_arrived(feed, receiver)


async def test_f43_another_goes_on_within_ten_seconds_of_a_crash_at_the_usual_lease(postgres_engine, tmp_path):
    """Measured with a shorter lease: the rest of the lease is waited out, and everything else takes as long."""
    async with fed(postgres_engine, "slow:seconds=0.05") as (feed, receiver):
        for _ in range(10):
            await feed.sign(critical=False)
        with feeding(feed, tmp_path / "log", holder="one", lease=LEASE.lease) as dying:
            await until(lambda: len(receiver.messages) >= 3)
            async with feed.serving("two", LEASE):
                await asyncio.sleep(0.2)
                dying.kill()
                began, seen = time.monotonic(), len(receiver.messages)
                await until(lambda: len(receiver.messages) > seen)
                assert time.monotonic() - began - LEASE.lease + Feed().lease < 10
                await feed.until(*["delivered"] * 10)
        await assert_all_arrived(feed, receiver, repeats=True)


async def test_f43_on_sqlite_the_lock_of_the_file_tells_at_once_that_a_holder_is_dead(sqlite_engine, tmp_path):
    """A waiting process sends within a second of the crash, and waits while the holder lives, however slow it is."""
    async with fed(sqlite_engine, "slow:seconds=0.05") as (feed, receiver):
        for _ in range(10):
            await feed.sign(critical=False)
        with feeding(feed, tmp_path / "log", holder="one", lease=60) as dying:
            await until(lambda: len(receiver.messages) >= 3)
            async with feed.serving("two", Feed(lease=60)):
                await asyncio.sleep(1.5)
                assert [str(one) for one, _ in await rows(feed.engine, HOLDER)] == ["one"]
                await feed.sign(critical=False)
                dying.kill()
                began, seen = time.monotonic(), len(receiver.messages)
                await feed.sign(critical=False)
                await until(lambda: len(receiver.messages) > seen, seconds=5)
                assert time.monotonic() - began < 1
                await feed.until(*["delivered"] * 12)
        await assert_all_arrived(feed, receiver, repeats=True)


async def test_f43_on_sqlite_another_holder_of_the_same_process_is_not_taken_for_dead(sqlite_engine):
    first, second = Leases(sqlite_engine, "one", 60), Leases(sqlite_engine, "two", 60)
    assert await first.take("ehr") is not None
    assert await second.take("ehr") is None
    other = Sqlite(sqlite_engine.path)
    async with other.opened():
        assert await Leases(other, "three", 60).take("ehr") is None


async def test_f43_of_two_that_are_awake_one_sends(engine):
    async with fed(engine) as (feed, receiver), feed.serving("one"), feed.serving("two"):
        for _ in range(5):
            await feed.sign(critical=False)
        await feed.until(*["delivered"] * 5)
        await assert_all_arrived(feed, receiver)


async def test_f43_an_orderly_stop_hands_over_at_once_and_repeats_nothing(engine):
    async with fed(engine, "slow:seconds=0.02") as (feed, receiver):
        for _ in range(20):
            await feed.sign(critical=False)
        async with feed.serving("one"):
            await until(lambda: len(receiver.messages) >= 5)
        async with feed.serving("two"):
            await feed.until(*["delivered"] * 20)
        await assert_all_arrived(feed, receiver)


async def test_f44_a_failover_in_the_middle_of_a_frame_sends_the_whole_of_it_again(engine, tmp_path):
    async with fed(engine, "zero-window") as (feed, receiver):
        await feed.sign(LARGE, critical=False)
        with feeding(feed, tmp_path / "log", holder="one", lease=LEASE.lease) as dying:
            await feed.seen("sending")
            await asyncio.sleep(0.3)
            dying.kill()
        assert not bodies(receiver), "no whole frame came"
        receiver.ack = "aa"
        async with feed.serving("two", LEASE):
            await feed.until("delivered")
        assert [tuple(one) for one in await rows(feed.engine, "SELECT attempts FROM message")] == [(2,)]
        await assert_all_arrived(feed, receiver)


async def test_f44_a_failover_between_frame_and_ack_sends_the_same_bytes_again(engine, tmp_path):
    async with fed(engine, "none") as (feed, receiver):
        signed = await feed.sign(critical=False)
        with feeding(feed, tmp_path / "log", holder="one", lease=LEASE.lease) as dying:
            await until(lambda: receiver.messages)
            await feed.add(signed)
            dying.kill()
        receiver.ack = "aa"
        async with feed.serving("two", LEASE):
            await feed.until("delivered", "delivered")
        assert len(bodies(receiver)) == 3
        assert len(set(bodies(receiver))) == 2
        await assert_all_arrived(feed, receiver, repeats=True)
