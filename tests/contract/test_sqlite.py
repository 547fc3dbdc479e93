"""SQLite: waiting work is committed together, each piece for itself; the loop never waits; one service a file.

https://sqlite.org/wal.html, https://sqlite.org/lang_savepoint.html
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import stat
import threading
from pathlib import Path

import pytest

from gateway.runtime.errors import ConfigError, StoreUnavailable
from gateway.store.database import sqlite
from gateway.store.database.engine import Statement, ask
from gateway.store.database.migrate import migrate
from gateway.store.database.sqlite import Sqlite

PUT = Statement("INSERT INTO cursor (name, value) VALUES (:name, :value)")
GET = Statement("SELECT value FROM cursor WHERE name = :name")
DROP = Statement("DELETE FROM cursor WHERE name = :name")
ALL = Statement("SELECT name FROM cursor WHERE name > :after ORDER BY name")
MISSING = Statement("SELECT nothing FROM nowhere")
# Statements that end the transaction, or the savepoint, without the engine's knowledge
ENDS = (Statement("COMMIT"), Statement("RELEASE one"))
PAGES = Statement("PRAGMA page_count")
MOST_PAGES = Statement("PRAGMA max_page_count = 200")


def putting(name, value="1"):
    return lambda: ask(PUT, name=name, value=value)


class Gate:
    """Work that holds the writer until it is released, so that later work waits together."""

    def __init__(self):
        self.reached, self.go = threading.Event(), threading.Event()

    def work(self):
        self.reached.set()
        assert self.go.wait(30)
        return (yield from ask(PUT, name="gate", value=""))


async def held(engine):
    """Return the closed gate, and the task that waits for it."""
    gate = Gate()
    task = asyncio.create_task(engine.do(gate.work))
    await asyncio.to_thread(gate.reached.wait, 30)
    return gate, task


async def names(engine):
    return [name for (name,) in await engine.fetch(ALL, after="")]


async def all_of(gate, *tasks):
    gate.go.set()
    return await asyncio.gather(*tasks, return_exceptions=True)


async def test_one_that_fails_takes_nothing_from_the_others_of_its_batch(sqlite_engine):
    def fails():
        yield from ask(PUT, name="undone", value="")
        raise LookupError

    def breaks_a_constraint():
        yield from ask(PUT, name="undone too", value="")
        yield from ask(PUT, name="a", value="again")

    def asks_for_what_is_not_there():
        yield from ask(PUT, name="undone as well", value="")
        yield from ask(MISSING)

    gate, first = await held(sqlite_engine)
    works = [putting("a"), fails, putting("b"), breaks_a_constraint, asks_for_what_is_not_there, putting("c")]
    tasks = [asyncio.create_task(sqlite_engine.do(work)) for work in works]
    await asyncio.sleep(0)
    results = await all_of(gate, first, *tasks)
    assert [type(one) for one in results] == [
        *(list, list, LookupError, list, StoreUnavailable, StoreUnavailable, list),
    ]
    assert await names(sqlite_engine) == ["a", "b", "c", "gate"]


async def test_work_whose_waiter_went_away_in_the_queue_is_not_done_and_the_others_are(sqlite_engine):
    gate, first = await held(sqlite_engine)
    tasks = [asyncio.create_task(sqlite_engine.do(putting(name))) for name in "abc"]
    await asyncio.sleep(0)
    tasks[1].cancel()
    await asyncio.sleep(0)
    results = await all_of(gate, first, *tasks)
    assert isinstance(results[2], asyncio.CancelledError)
    assert await names(sqlite_engine) == ["a", "c", "gate"]


async def test_work_that_has_begun_is_done_though_its_waiter_goes_away(sqlite_engine):
    gate, first = await held(sqlite_engine)
    first.cancel()
    await asyncio.sleep(0)
    gate.go.set()
    await sqlite_engine.do(putting("a"))
    assert await names(sqlite_engine) == ["a", "gate"]


async def test_a_reader_sees_committed_work_only(sqlite_engine):
    inside, go = threading.Event(), threading.Event()

    def work():
        yield from ask(PUT, name="a", value="")
        inside.set()
        go.wait(30)

    task = asyncio.create_task(sqlite_engine.do(work))
    await asyncio.to_thread(inside.wait, 30)
    assert await names(sqlite_engine) == []
    assert [tuple(row) for row in await sqlite_engine.scan("SELECT count(*) FROM cursor", [], 5.0)] == [(0,)]
    go.set()
    await task
    assert await names(sqlite_engine) == ["a"]


async def test_the_loop_reads_and_runs_while_a_commit_takes_its_time(sqlite_engine):
    order = []
    gate, first = await held(sqlite_engine)
    first.add_done_callback(lambda _: order.append("committed"))
    for _ in range(3):
        await asyncio.sleep(0)
        await names(sqlite_engine)
        order.append("read")
    await all_of(gate, first)
    assert order == ["read", "read", "read", "committed"]


async def test_more_than_fits_a_batch_is_done_in_the_order_it_was_asked_for(sqlite_engine):
    gate, first = await held(sqlite_engine)
    done = []
    tasks = [asyncio.create_task(sqlite_engine.do(putting(f"{n:03}"))) for n in range(200)]
    for n, task in enumerate(tasks):
        task.add_done_callback(lambda _, n=n: done.append(n))
    await asyncio.sleep(0)
    await all_of(gate, first, *tasks)
    assert done == list(range(200))
    assert len(await names(sqlite_engine)) == 201


async def test_what_waits_when_it_is_closed_is_done(sqlite_database):
    engine = Sqlite(sqlite_database)
    async with engine.opened():
        gate, first = await held(engine)
        tasks = [asyncio.create_task(engine.do(putting(name))) for name in "ab"]
        await asyncio.sleep(0)
        gate.go.set()
    await asyncio.gather(first, *tasks)
    async with engine.opened():
        assert await names(engine) == ["a", "b", "gate"]


async def test_a_full_disk_fails_what_was_to_grow_and_is_survived(sqlite_engine):
    await sqlite_engine.do(lambda: ask(MOST_PAGES))
    gate, first = await held(sqlite_engine)
    big = "x" * 4_000_000
    tasks = [asyncio.create_task(sqlite_engine.do(putting(name, value))) for name, value in [("a", "1"), ("b", big)]]
    await asyncio.sleep(0)
    results = await all_of(gate, first, *tasks)
    assert isinstance(results[2], StoreUnavailable)
    assert results[2].cause == "SQLITE_FULL"
    kept = {name for name, result in zip(["gate", "a"], results[:2], strict=True) if isinstance(result, list)}
    assert set(await names(sqlite_engine)) == kept
    await sqlite_engine.do(putting("c"))
    assert "c" in await names(sqlite_engine)


@pytest.mark.parametrize("end", ENDS, ids=["transaction", "savepoint"])
async def test_where_the_transaction_itself_is_lost_all_of_the_batch_fail_and_the_next_is_done(sqlite_engine, end):
    gate, first = await held(sqlite_engine)
    tasks = [asyncio.create_task(sqlite_engine.do(work)) for work in (lambda: ask(end), putting("a"))]
    await asyncio.sleep(0)
    results = await all_of(gate, first, *tasks)
    assert {type(one) for one in results[1:]} == {StoreUnavailable}
    await sqlite_engine.do(putting("b"))
    assert "b" in await names(sqlite_engine)


async def test_a_database_that_another_process_holds_is_unavailable_and_is_back_when_it_lets_go(sqlite_engine):
    await sqlite_engine.do(lambda: ask(Statement("PRAGMA busy_timeout = 20")))
    other = sqlite3.connect(sqlite_engine.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailable, match="locked by another process"):
        await sqlite_engine.do(putting("a"))
    assert await names(sqlite_engine) == []
    other.execute("COMMIT")
    other.close()
    await sqlite_engine.do(putting("a"))
    assert await names(sqlite_engine) == ["a"]


async def test_a_database_that_may_only_be_read_is_unavailable_to_who_writes(sqlite_engine):
    await sqlite_engine.do(lambda: ask(Statement("PRAGMA query_only = ON")))
    with pytest.raises(StoreUnavailable, match="may only be read"):
        await sqlite_engine.do(putting("a"))
    assert await names(sqlite_engine) == []


@pytest.mark.parametrize("path", ["/proc/gateway.db", "missing/gateway.db", "."])
async def test_a_database_that_cannot_be_made_is_unavailable(tmp_path, path):
    engine = Sqlite(tmp_path / path)
    with pytest.raises(StoreUnavailable):
        async with engine.opened():
            pass
    with pytest.raises(StoreUnavailable):
        await migrate(engine)


async def test_a_file_that_is_no_database_is_unavailable(tmp_path):
    path = tmp_path / "gateway.db"
    path.write_bytes(b"no database at all, but long enough to be looked at" * 100)
    with pytest.raises(StoreUnavailable, match="no SQLite database"):
        async with Sqlite(path).opened():
            pass
    with pytest.raises(StoreUnavailable, match="no SQLite database"):
        await migrate(Sqlite(path))


async def test_a_database_without_tables_is_unavailable(tmp_path):
    engine = Sqlite(tmp_path / "gateway.db")
    async with engine.opened():
        with pytest.raises(StoreUnavailable, match="lacks what it was asked for"):
            await names(engine)


def test_one_service_owns_a_file_at_a_time(sqlite_database):
    one, other = Sqlite(sqlite_database), Sqlite(sqlite_database)
    with one.owned(), pytest.raises(ConfigError, match="another gateway serves from this file"), other.owned():
        pass
    with other.owned():
        pass


def test_whatever_the_umask_is_others_read_no_file_of_the_database(tmp_path):
    was = os.umask(0)
    try:
        engine = Sqlite(tmp_path / "gateway.db")
        with engine.owned():
            engine.make_file()
    finally:
        os.umask(was)
    modes = {one.name: stat.S_IMODE(one.stat().st_mode) for one in tmp_path.iterdir()}
    assert modes == {"gateway.db": 0o600, "gateway.db.lock": 0o600}


def test_a_file_that_cannot_be_owned_is_unavailable():
    with pytest.raises(StoreUnavailable), Sqlite(Path("/proc/gateway.db")).owned():
        pass


async def test_what_is_committed_survives_a_power_loss(sqlite_database):
    engine = Sqlite(sqlite_database)
    async with engine.opened():
        ((found,),) = await engine.do(lambda: ask(Statement("PRAGMA synchronous")))
        ((mode,),) = await engine.do(lambda: ask(Statement("PRAGMA journal_mode")))
    assert (found, mode) == (2, "wal")  # 2 is FULL


async def test_what_reads_on_the_loop_cannot_write(sqlite_engine):
    with pytest.raises(StoreUnavailable, match="may only be read"):
        await sqlite_engine.query("DELETE FROM cursor", [])
    with pytest.raises(StoreUnavailable, match="may only be read"):
        await sqlite_engine.scan("DELETE FROM cursor", [], 1.0)


async def test_a_scan_that_may_be_short_leaves_the_loop_only_if_it_is_long(sqlite_engine, monkeypatch):
    counting = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?) SELECT count(*) FROM n"
    apart, scan = [], sqlite._scan

    def noted(connection, sql, values, seconds):
        apart.append(values)
        return scan(connection, sql, values, seconds)

    monkeypatch.setattr(sqlite, "_scan", noted)
    for _ in range(50):  # SQLite counts the steps of a statement on from its last run
        assert [tuple(row) for row in await sqlite_engine.scan(counting, [100], 5.0, tries_here=True)] == [(100,)]
    assert apart == []
    assert [tuple(row) for row in await sqlite_engine.scan(counting, [100_000], 5.0, tries_here=True)] == [(100_000,)]
    assert [tuple(row) for row in await sqlite_engine.query(counting, [200_000])] == [(200_000,)]
    await sqlite_engine.scan(counting, [100], 5.0)
    assert apart == [[100_000], [100]]
    with pytest.raises(StoreUnavailable, match="may only be read"):
        await sqlite_engine.scan("DELETE FROM cursor", [], 1.0, tries_here=True)


async def test_closing_does_not_wait_for_a_scan(sqlite_database):
    engine = Sqlite(sqlite_database)
    endless = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
    async with engine.opened():
        scan = asyncio.create_task(engine.scan(endless, [], 3600.0))
        await asyncio.sleep(0.05)
    with pytest.raises(StoreUnavailable, match="closed while it was asked"):
        await scan


async def test_the_file_is_readable_for_nobody_else(tmp_path):
    engine = Sqlite(tmp_path / "new.db")
    await migrate(engine)
    async with engine.opened():
        modes = {one.name: one.stat().st_mode & 0o777 for one in tmp_path.iterdir()}
    assert modes["new.db"] == 0o600
    assert set(modes.values()) == {0o600}


async def test_another_loop_reads_beside_and_has_its_work_written_by_the_one_writer(sqlite_engine):
    def on_another_loop():
        async def work():
            twin = sqlite_engine.beside()
            async with twin.opened():
                await twin.do(putting("there"))
                with pytest.raises(StoreUnavailable):
                    await twin.do(putting("there", "2"))
                return [value for (value,) in await twin.fetch(GET, name="there")]

        return asyncio.run(work())

    for _ in range(2):  # the database stays open when the other loop ends
        await sqlite_engine.do(lambda: ask(DROP, name="there"))
        assert await asyncio.to_thread(on_another_loop) == ["1"]
        assert [value for (value,) in await sqlite_engine.fetch(GET, name="there")] == ["1"]
