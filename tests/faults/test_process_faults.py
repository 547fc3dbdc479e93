"""Faults of the process and its disk, F39 to F42: a kill at any instant, power loss, a full disk, a damaged file.

https://sqlite.org/atomiccommit.html, https://sqlite.org/wal.html; decisions D7, D8, D32. A message is stored as in hand
before it is on the wire. After a process ends, exactly the messages in hand are therefore in doubt.

| | a process that ends | a machine that ends |
|---|---|---|
| SQLite | every commit stands | every commit stands, if the disk honors fsync |
| PostgreSQL, `synchronous_commit = on` | every commit stands | as SQLite; the server's default |
"""

from __future__ import annotations

import asyncio
import contextlib
import resource
import shutil
import sqlite3
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random

import pytest
from fakes.fed import Fed, assert_all_arrived, assert_nothing_of_a_patient, bodies, destination, fed, ids
from fakes.feed_process import feeding
from fakes.gateway_process import MLLP_TABLE, environment, site_file, started
from fakes.scale import KILLS
from fakes.store import rows

from gateway.feed.deliver.circuit_breaker import CircuitBreaker
from gateway.runtime import clock
from gateway.runtime.errors import StoreUnavailable
from gateway.sandbox.receiver import MllpReceiver
from gateway.store.database import sqlite
from gateway.store.database.engine import Statement, ask, micros
from gateway.store.database.sqlite import Sqlite
from gateway.store.feed.lanes import release_lane

SENDING = "SELECT control_id FROM message WHERE state = 'sending'"
TAKEN = {"delivered", "superseded"}


@dataclass
class Everything:
    """All messages that a receiver ever got; the receiver itself keeps only the latest."""

    receiver: MllpReceiver
    messages: list = field(default_factory=list)

    def __post_init__(self):
        self.receiver.on_message = self.messages.append

    def repeats(self):
        return {key for key, count in Counter(ids(self.messages)).items() if count > 1}


async def in_hand(engine):
    """Return the MSH-10 of the messages stored as in hand."""
    return {str(one) for (one,) in await rows(engine, SENDING)}


async def something_in_hand(engine, seconds):
    """Wait until a message is stored as in hand, so many seconds at most."""
    until = clock.monotonic() + seconds
    while not await in_hand(engine) and clock.monotonic() < until:
        await asyncio.sleep(0.002)


async def release_lanes(engine):
    """Release, as an operator would, the lane of a message that was in hand at several kills in a row."""
    while True:
        for (study_id,) in await rows(engine, "SELECT study_id FROM lane WHERE reason = 'indeterminate'"):
            await engine.do(partial(release_lane, "ehr", str(study_id), micros(clock.now())))
        await asyncio.sleep(0.05)


@pytest.mark.parametrize("rounds", KILLS.both())
async def test_f39_a_feed_that_is_killed_at_any_instant_loses_nothing_and_repeats_what_was_in_hand(
    engine, rounds, tmp_path, say
):
    dice, doubted, hits = Random(39), set(), 0
    async with fed(engine) as (feed, receiver):
        came = Everything(receiver)
        signed = [await feed.sign(critical=False) for _ in range(10)]
        for _ in range(rounds):
            receiver.ack = dice.choice(["aa", "slow:seconds=0.01", "slow:seconds=0.03"])
            for _ in range(3):
                again = dice.random() < 0.3
                signed.append(await (feed.add(dice.choice(signed)) if again else feed.sign(critical=False)))
            with feeding(feed, tmp_path / "log"):
                await asyncio.sleep(dice.uniform(0.005, 0.3))
                if dice.random() < 0.3:  # a loaded machine may have nothing in hand by then
                    await something_in_hand(engine, 5.0)
            held = await in_hand(engine)
            doubted |= held
            hits += bool(held)
        receiver.ack = "aa"
        async with feed.serving():
            releasing = asyncio.create_task(release_lanes(engine))
            await feed.all_delivered(60)
            releasing.cancel()
        repeats = came.repeats()
        assert repeats <= doubted
        assert hits > rounds / 10, "too few kills hit anything"
        say(f"{rounds} kills on {engine.dialect}: {hits} with a message in hand; {len(came.messages)} came, of which"
            f" {len(came.messages) - len(set(ids(came.messages)))} again")  # fmt: skip
        await assert_all_arrived(feed, came, repeats=True, ends=TAKEN)
        assert_nothing_of_a_patient(feed, (tmp_path / "log").read_text())


async def test_f39_a_gateway_that_feeds_and_nothing_else_is_killed_and_goes_on(engines, tmp_path):
    engine = engines()
    async with engine.opened(), fed(engine, "slow:seconds=0.05") as (feed, receiver):
        came = Everything(receiver)
        config = site_file(tmp_path, default_facility='"Sandbox General Hospital"')
        config.write_text(config.read_text() + MLLP_TABLE.format(port=receiver.port) + "[feed]\nlease = 1\n")
        url = f"sqlite:///{engine.path}" if isinstance(engine, Sqlite) else engine._url
        env = environment("http://127.0.0.1:9", url, config)
        for _ in range(30):
            await feed.sign(critical=False)
        with started(["serve", "--roles", "feed", "--port", "0"], env, tmp_path / "log") as gateway:
            async with asyncio.timeout(30):
                while len(came.messages) < 10:
                    assert gateway.is_alive, gateway.printed()
                    await asyncio.sleep(0.01)
            gateway.kill()
        held = await in_hand(engine)
        assert_nothing_of_a_patient(feed, gateway.printed())
        receiver.ack = "aa"
        async with feed.serving():
            await feed.all_delivered(30)
        assert came.repeats() <= held
        await assert_all_arrived(feed, came, repeats=True, ends=TAKEN)


def add(file, data):
    """Append bytes to a file."""
    with file.open("ab") as stream:
        stream.write(data)


async def test_f40_after_a_power_loss_at_any_send_the_disk_knows_what_was_on_the_wire(sqlite_engine, tmp_path):
    images = []
    async with fed(sqlite_engine) as (feed, receiver):
        await feed.queue(5)

        def copy(message):
            folder = tmp_path / str(len(images))
            folder.mkdir()
            for end in ("", "-wal"):
                shutil.copyfile(f"{sqlite_engine.path}{end}", folder / f"gateway.db{end}")
            images.append((folder / "gateway.db", message.control_id))

        receiver.on_message = copy
        await feed.resume()
        async with feed.serving():
            await feed.until(*["delivered"] * 5)
        await assert_all_arrived(feed, receiver)
        for number in (0, 3):
            path, control_id = images[number]
            add(Path(f"{path}-wal"), Random(number).randbytes(3_000))  # a half-written frame
            image = Sqlite(path)
            async with image.opened(), MllpReceiver(port=0) as other:
                assert await rows(image, "PRAGMA integrity_check") == [("ok",)]
                assert await in_hand(image) == {control_id}
                after = Fed(image, feed.account, (destination(other.port),))
                async with after.serving():
                    await after.until(*["delivered"] * 5)
                assert ids(other.messages) == ids(receiver.messages)[number:]
                assert bodies(other) == bodies(receiver)[number:]


async def test_f40_nothing_that_is_committed_waits_in_memory(engine):
    asked = "PRAGMA synchronous" if engine.dialect == "sqlite" else "SHOW synchronous_commit"
    found = await engine.do(lambda: ask(Statement(asked)))
    assert [tuple(one) for one in found] == [(2,) if engine.dialect == "sqlite" else ("on",)]


PAGES = Statement("PRAGMA page_count")
ROOM = Statement("PRAGMA max_page_count = 4294967294")


async def test_f41_a_database_without_room_takes_in_nothing_by_halves_and_goes_on_when_there_is_room(sqlite_engine):
    async with fed(sqlite_engine) as (feed, receiver), feed.serving():
        await feed.sign(critical=False)
        await feed.until("delivered")
        ((pages,),) = await sqlite_engine.do(lambda: ask(PAGES))
        await sqlite_engine.do(lambda: ask(Statement(f"PRAGMA max_page_count = {pages}")))
        late = feed.account.sign_new(critical=False)
        feed.account.change_text(late.report_id, "FINDINGS: " + "long " * 20_000)
        with pytest.raises(StoreUnavailable, match="disk of the database is full"):
            await feed.tell(late.study_id)
        assert not await rows(feed.engine, "SELECT 1 FROM study WHERE study_id = ?", late.study_id)
        await sqlite_engine.do(lambda: ask(ROOM))
        await feed.tell(late.study_id)
        await feed.until("delivered", "delivered")
        await assert_all_arrived(feed, receiver)


async def test_f41_a_full_disk_between_a_message_and_its_result_repeats_nothing(sqlite_engine):
    """The process cannot write while the acknowledgement comes; it keeps the result and stores it later."""
    async with fed(sqlite_engine, "slow:seconds=0.3") as (feed, receiver):
        for _ in range(3):
            await feed.sign(critical=False)
        with feeding(feed, Path("/dev/null")) as process:
            async with asyncio.timeout(20):
                while not receiver.messages:
                    await asyncio.sleep(0.01)
            process.limit(resource.RLIMIT_FSIZE, 0)
            await asyncio.sleep(1.5)
            assert len(bodies(receiver)) == 1, "what cannot be written down is not sent"
            process.limit(resource.RLIMIT_FSIZE, resource.RLIM_INFINITY)
            await feed.until(*["delivered"] * 3)
        await assert_all_arrived(feed, receiver)


@contextlib.asynccontextmanager
async def locked(path):
    """Hold a write lock on a database, as another program would, while the block runs."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


@pytest.mark.parametrize("patience", [10.0, 0.1], ids=["waited for", "not waited for"])
async def test_f42_a_database_that_is_busy_while_an_answer_comes_repeats_nothing(
    sqlite_database, monkeypatch, patience
):
    monkeypatch.setattr(sqlite, "_BUSY_SECONDS", patience)
    engine = Sqlite(sqlite_database)
    async with engine.opened(), fed(engine, "slow:seconds=0.2") as (feed, receiver):
        for _ in range(2):
            await feed.sign(critical=False)
        async with feed.serving():
            async with asyncio.timeout(20):
                while not receiver.messages:
                    await asyncio.sleep(0.01)
            async with locked(engine.path):
                await asyncio.sleep(1.0)
                assert len(bodies(receiver)) == 1
            await feed.until("delivered", "delivered")
        await assert_all_arrived(feed, receiver)


async def test_f42_a_server_that_drops_every_connection_while_an_answer_comes_repeats_nothing(postgres_engine):
    others = "datname = current_database() AND pid <> pg_backend_pid()"
    drop = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {others}"
    async with fed(postgres_engine, "slow:seconds=0.3") as (feed, receiver):
        for _ in range(3):
            await feed.sign(critical=False)
        async with feed.serving():
            async with asyncio.timeout(20):
                while not receiver.messages:
                    await asyncio.sleep(0.01)
            with contextlib.suppress(StoreUnavailable):
                await postgres_engine.query(drop, [])
            is_seen = False
            while not is_seen:  # this test's own connection may have been dropped, too
                with contextlib.suppress(StoreUnavailable):
                    await feed.until(*["delivered"] * 3)
                    is_seen = True
        await assert_all_arrived(feed, receiver)


async def test_f42_a_fault_of_ours_while_an_answer_comes_repeats_nothing(engine, monkeypatch):
    """Whatever error ends a holder's work, the answers to messages in hand are still awaited."""
    async with fed(engine, "slow:seconds=0.4") as (feed, receiver), feed.serving():
        real, failed = CircuitBreaker.look, []

        async def fails(breaker):
            if receiver.messages and not failed:
                failed.append(breaker)
                raise ZeroDivisionError
            return await real(breaker)

        monkeypatch.setattr(CircuitBreaker, "look", fails)
        await feed.sign(critical=False)
        await feed.until("delivered")
        assert failed
        await assert_all_arrived(feed, receiver)


async def test_f42_a_page_that_is_not_right_is_told_and_nothing_is_sent_of_it(sqlite_database, tmp_path):
    engine = Sqlite(sqlite_database)
    async with engine.opened(), fed(engine) as (feed, receiver):
        await feed.queue(3)
        await feed.resume()
        ((root,),) = await rows(engine, "SELECT rootpage FROM sqlite_master WHERE name = 'message'")
        ((size,),) = await rows(engine, "PRAGMA page_size")
        account = feed.account
    right = Path(shutil.copyfile(sqlite_database, tmp_path / "right.db"))
    with sqlite_database.open("r+b") as file:
        file.seek((root - 1) * size)
        file.write(b"\xff" * size)
    async with engine.opened(), fed(engine) as (feed, receiver):
        broken = Fed(engine, account, (destination(receiver.port),), logs=feed.logs)
        async with broken.serving():
            async with asyncio.timeout(20):
                while not [one for one in feed.logs if one["event"] == "feed-interrupted"]:
                    await asyncio.sleep(0.02)
        assert not bodies(receiver)
        assert {one["code"] for one in feed.logs if one["event"] == "feed-interrupted"} == {"store-unavailable"}
    shutil.copyfile(right, sqlite_database)
    async with engine.opened(), fed(engine) as (feed, receiver):
        mended = Fed(engine, account, (destination(receiver.port),), logs=feed.logs)
        async with mended.serving():
            await mended.until(*["delivered"] * 3)
        await assert_all_arrived(mended, receiver)
