"""The store's readiness for writes is known within five seconds, and no reader waits for it (D38)."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlsplit

import pytest
from fakes.relay import Relay
from fakes.store import rows

from gateway.runtime import clock
from gateway.runtime.errors import StoreUnavailable
from gateway.runtime.loops import forever
from gateway.store.database import probe as probing
from gateway.store.database.engine import Statement, ask
from gateway.store.database.postgres import Postgres
from gateway.store.database.probe import DEADLINE, EVERY, FULL, LOST, StoreProbe

BIG = Statement("INSERT INTO fact (name, value) VALUES ('big', :value)")


@contextlib.asynccontextmanager
async def probed(engine):
    """Run a probe of the engine while the block runs."""
    probe = StoreProbe(engine, "one")
    task = asyncio.create_task(forever(probe.once, EVERY, not_done="store-not-probed"))
    try:
        yield probe
    finally:
        task.cancel()


async def seen(probe, trouble, seconds=60.0):
    """Wait for that trouble, five seconds at most."""
    async with asyncio.timeout(seconds):
        while probe.trouble != trouble:
            await asyncio.sleep(0.01)


def test_what_is_wrong_is_known_within_five_seconds_of_it():
    assert EVERY + DEADLINE < 5


async def test_a_store_that_takes_writes_is_in_no_trouble_and_nothing_of_the_probe_stays(engine):
    probe = StoreProbe(engine, "one")
    before = await rows(engine, "SELECT name FROM fact")
    await asyncio.gather(probe.once(), StoreProbe(engine, "two").once())
    assert probe.trouble == ""
    assert await rows(engine, "SELECT name FROM fact") == before


async def test_a_file_that_somebody_else_holds_is_lost_until_it_is_let_go(sqlite_engine):
    with contextlib.closing(sqlite3.connect(sqlite_engine.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        async with probed(sqlite_engine) as probe:
            await seen(probe, LOST)
            other.execute("ROLLBACK")
            await seen(probe, "")


async def test_a_server_that_is_gone_is_lost_and_in_no_trouble_once_it_is_back(postgres_database):
    parts = urlsplit(postgres_database)
    relay = Relay(parts.port)
    async with relay.running():
        engine = Postgres(parts._replace(netloc=f"gateway@127.0.0.1:{relay.port}").geturl())
        async with engine.opened(), probed(engine) as probe:
            await asyncio.sleep(0.1)
            await relay.cut()
            await seen(probe, LOST)
            await relay.mend()
            await seen(probe, "")
            await relay.cut()


async def test_any_write_that_finds_no_room_makes_the_disk_full_for_a_while(sqlite_engine, monkeypatch):
    """Check a SQLite file with free pages, which still takes a small row."""
    ((pages,),) = await sqlite_engine.do(lambda: ask(Statement("PRAGMA page_count")))
    await sqlite_engine.do(lambda: ask(Statement(f"PRAGMA max_page_count = {pages}")))
    probe = StoreProbe(sqlite_engine, "one")
    await probe.once()
    assert probe.trouble == ""
    with pytest.raises(StoreUnavailable):
        await sqlite_engine.do(lambda: ask(BIG, value="x" * 1_000_000))
    await probe.once()
    assert probe.trouble == FULL
    monkeypatch.setattr(probing, "_STAYS", 0.0)
    assert probe.trouble == ""


async def test_a_server_whose_disk_is_full_is_told_from_one_that_is_gone(postgres_engine):
    """Check the server's own error, raised by a function that a test may call."""
    refuse = Statement("DO $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '53100'; END $$")
    probe = StoreProbe(postgres_engine, "one")
    with pytest.raises(StoreUnavailable):
        await postgres_engine.do(lambda: ask(refuse))
    await probe.once()
    assert probe.trouble == FULL


async def test_a_server_that_can_write_no_file_is_in_trouble_though_a_row_fits(postgres_engine):
    """Check a full disk: there is no room for a file, but the tables' pages still have some."""
    ((folder,),) = await postgres_engine.query("SHOW data_directory", [])
    files = Path(folder) / "pg_snapshots"
    probe = StoreProbe(postgres_engine, "one")
    aside = files.rename(files.with_name("aside"))
    try:
        await probe.once()
        assert (probe.trouble, probe.words) == (LOST, "the database cannot read or write its files")
    finally:
        aside.rename(files)
    await probe.once()
    assert (probe.trouble, probe.words) == ("", "")


async def test_a_disk_with_next_to_no_room_is_full_though_a_small_row_fits(sqlite_engine, monkeypatch):
    probe = StoreProbe(sqlite_engine, "one")
    for blocks, trouble in ((0, FULL), (255, FULL), (256, "")):
        there = SimpleNamespace(f_bavail=blocks, f_frsize=4096)
        monkeypatch.setattr(os, "statvfs", lambda _, there=there: there)
        await probe.once()
        assert probe.trouble == trouble


async def test_a_write_that_hangs_is_lost_and_in_no_trouble_once_it_is_done(sqlite_engine, monkeypatch):
    gate, now = asyncio.Event(), 0.0
    monkeypatch.setattr(clock, "monotonic", lambda: now)

    class Hanging:
        no_room = sqlite_engine.no_room

        def room(self):
            return None

        async def do(self, _):
            await gate.wait()

    probe = StoreProbe(Hanging(), "one")
    task = asyncio.create_task(probe.once())
    await asyncio.sleep(0)
    assert probe.trouble == ""
    now = DEADLINE + 0.1
    assert probe.trouble == LOST
    gate.set()
    await task
    assert probe.trouble == ""


async def test_a_fault_of_ours_is_trouble_too(sqlite_engine, monkeypatch):
    def broken():
        raise ValueError

    monkeypatch.setattr(sqlite_engine, "room", broken)
    probe = StoreProbe(sqlite_engine, "one")
    with pytest.raises(ValueError):
        await probe.once()
    assert probe.trouble == LOST
