"""PostgreSQL: a server that stops and returns, transactions that it rolls back, and many clients at once.

https://www.postgresql.org/docs/current/mvcc-serialization-failure-handling.html
"""

from __future__ import annotations

import asyncio
import sys
from urllib.parse import urlsplit

import asyncpg
import pytest
from fakes.relay import Relay

from gateway.runtime.errors import ConfigError, StoreUnavailable
from gateway.store.database.engine import (
    Bulk,
    PerDialect,
    Raced,
    Statement,
    ask,
    at_commit,
    rows_at_commit,
    unless_raced,
)
from gateway.store.database.postgres import Postgres

PUT = Statement("INSERT INTO cursor (name, value) VALUES (:name, :value)")
SET = Statement("UPDATE cursor SET value = value || :value WHERE name = :name")
GET = Statement("SELECT value FROM cursor WHERE name = :name")
QUICKLY = Statement("SET LOCAL deadlock_timeout = '20ms'")
WAIT = Statement("SELECT pg_sleep(0.1)")
LONG = PerDialect({"postgresql": Statement("SELECT pg_sleep(30)")})
SET_ROWS = Bulk(
    "name TEXT, value TEXT", "UPDATE cursor SET value = row.value FROM {rows} WHERE cursor.name = row.name", ()
)
ALL = Statement("SELECT name, value FROM cursor ORDER BY name")
# Writes a row if there was one
ANOTHER = PerDialect(
    {
        "postgresql": Statement(
            "WITH put AS (INSERT INTO cursor (name, value) VALUES (:name, '1') RETURNING 1)"
            f" SELECT {unless_raced('count(*)', 'count(*) = 1')} FROM cursor"
        )
    }
)
ELSEWHERE = PerDialect({"sqlite": Statement("SELECT nothing FROM nowhere")})
# Error of the server for a transaction that it cannot serialize with the others
REFUSED = Statement("DO $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '40001'; END $$")


async def value(engine, name):
    return [one for (one,) in await engine.fetch(GET, name=name)]


async def test_a_server_that_goes_away_is_unavailable_and_it_goes_on_when_it_is_back(postgres_database):
    parts = urlsplit(postgres_database)
    relay = Relay(parts.port)
    async with relay.running():
        engine = Postgres(parts._replace(netloc=f"gateway@127.0.0.1:{relay.port}").geturl())
        async with engine.opened():
            await engine.do(lambda: ask(PUT, name="a", value="1"))
            await relay.cut()
            for _ in range(2):
                with pytest.raises(StoreUnavailable):
                    await engine.fetch(GET, name="a")
                with pytest.raises(StoreUnavailable):
                    await engine.scan("SELECT last FROM tick", [], 5.0)
                with pytest.raises(StoreUnavailable):
                    await engine.do(lambda: ask(PUT, name="b", value="2"))
            await relay.mend()
            assert await value(engine, "a") == ["1"]
            assert await value(engine, "b") == []
            await engine.do(lambda: ask(PUT, name="b", value="2"))
            assert await value(engine, "b") == ["2"]
            await relay.cut()


@pytest.mark.parametrize("run", [ask, at_commit])
async def test_work_under_way_when_the_server_goes_away_is_unavailable_and_not_done(postgres_database, run):
    parts = urlsplit(postgres_database)
    relay = Relay(parts.port)

    def work():
        yield from ask(PUT, name="a", value="1")
        yield from run(LONG)

    async with relay.running():
        engine = Postgres(parts._replace(netloc=f"gateway@127.0.0.1:{relay.port}").geturl())
        async with engine.opened():
            task = asyncio.create_task(engine.do(work))
            await asyncio.sleep(0.1)
            await relay.cut()
            with pytest.raises(StoreUnavailable):
                await task
            await relay.mend()
            assert await value(engine, "a") == []


@pytest.mark.parametrize("turns", range(1, 9))
async def test_a_waiter_that_goes_away_while_the_server_does_is_told_that_it_went_away(postgres_database, turns):
    """A loop that takes the end of its task for trouble of the store would begin anew, and never stop."""
    parts = urlsplit(postgres_database)
    relay = Relay(parts.port)
    async with relay.running():
        engine = Postgres(parts._replace(netloc=f"gateway@127.0.0.1:{relay.port}").geturl())
        async with engine.opened():
            await engine.do(lambda: ask(PUT, name="a", value="1"))
            relay.freeze()
            task = asyncio.create_task(engine.do(lambda: ask(PUT, name="b", value="1")))
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            await relay.cut()
            with pytest.raises(asyncio.CancelledError):
                await task


async def test_a_server_that_is_not_there_is_unavailable():
    relay = Relay(1)
    async with relay.running():
        port = relay.port
    with pytest.raises(StoreUnavailable):
        async with Postgres(f"postgresql://gateway@127.0.0.1:{port}/gateway").opened():
            pass


async def test_a_database_that_is_not_there_is_unavailable(postgres_database):
    with pytest.raises(StoreUnavailable, match="there is no such database"):
        async with Postgres(f"{postgres_database}_not").opened():
            pass


async def test_of_two_that_wait_for_each_other_one_begins_anew_and_both_are_done(postgres_engine):
    begun = []
    for name in "ab":
        await postgres_engine.do(lambda name=name: ask(PUT, name=name, value=""))

    def work(first, then):
        begun.append(first)
        yield from ask(QUICKLY)
        yield from ask(SET, name=first, value=first)
        yield from ask(WAIT)
        yield from ask(SET, name=then, value=first)

    await asyncio.gather(
        postgres_engine.do(lambda: work("a", "b")),
        postgres_engine.do(lambda: work("b", "a")),
    )
    assert len(begun) >= 3
    for name in "ab":
        (letters,) = await value(postgres_engine, name)
        assert sorted(letters) == ["a", "b"]


async def test_what_the_server_refuses_again_and_again_is_unavailable(postgres_engine):
    begun = []

    def work():
        begun.append(1)
        yield from ask(PUT, name="a", value="1")
        yield from ask(REFUSED)

    with pytest.raises(StoreUnavailable, match="again and again"):
        await postgres_engine.do(work)
    assert len(begun) == 5
    assert await value(postgres_engine, "a") == []


@pytest.mark.parametrize("run", [ask, at_commit])
async def test_nothing_is_done_of_work_whose_waiter_goes_away_and_the_next_is(postgres_database, run):
    engine = Postgres(postgres_database, connections=1)

    def work():
        yield from ask(PUT, name="a", value="1")
        yield from run(LONG)

    async with engine.opened():
        task = asyncio.create_task(engine.do(work))
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await value(engine, "a") == []
        await engine.do(lambda: ask(PUT, name="b", value="2"))
        assert await value(engine, "b") == ["2"]


async def test_a_waiter_that_goes_away_at_any_moment_leaves_no_open_transaction_for_the_driver_to_complain_of(
    postgres_engine, caplog
):
    def steps():
        yield ask(PUT, name="a", value="")

    for turns in range(12):
        waiter = asyncio.create_task(postgres_engine.do(steps))
        for _ in range(turns):
            await asyncio.sleep(0)
        waiter.cancel()
        await asyncio.gather(waiter, return_exceptions=True)
    assert await value(postgres_engine, "a") == []
    assert caplog.messages == []


async def test_what_is_left_to_the_commit_is_done_after_all_other_steps_in_its_order(postgres_engine):
    def work():
        assert not (yield from at_commit(ELSEWHERE))
        assert (yield from at_commit(ANOTHER, name="b"))
        yield from rows_at_commit(SET_ROWS, [{"name": "b", "value": "2"}])
        yield from rows_at_commit(SET_ROWS, [])
        yield from ask(PUT, name="a", value="1")
        return (yield from ask(ALL))

    assert [tuple(row) for row in await postgres_engine.do(work)] == [("a", "1")]
    assert [tuple(row) for row in await postgres_engine.fetch(ALL)] == [("a", "1"), ("b", "2")]


async def test_a_statement_at_the_commit_that_finds_a_race_rolls_all_back_and_the_next_work_is_done(postgres_database):
    engine = Postgres(postgres_database, connections=1)

    def work(*names):
        for name in names:
            yield from ask(PUT, name=name, value="1")
        yield from at_commit(ANOTHER, name="c")

    async with engine.opened():
        with pytest.raises(Raced):
            await engine.do(lambda: work("a", "b"))
        assert await engine.fetch(ALL) == []
        await engine.do(lambda: work("a"))
        assert [tuple(row) for row in await engine.fetch(ALL)] == [("a", "1"), ("c", "1")]


async def test_more_at_once_than_there_are_connections_wait_for_their_turn(postgres_database):
    engine = Postgres(postgres_database, connections=2)
    async with engine.opened():
        await asyncio.gather(*(engine.do(lambda n=n: ask(PUT, name=str(n), value="")) for n in range(20)))
        assert [tuple(row) for row in await engine.query("SELECT count(*) FROM cursor", [])] == [(20,)]


async def test_what_the_driver_says_of_a_connection_that_was_dropped_a_moment_ago_is_unavailable(postgres_engine):
    class Dropped:
        async def fetch(self, *_):
            raise asyncpg.InternalClientError("cannot switch to state 11; another operation (2) is in progress")

    postgres_engine._open = postgres_engine._open._replace(quick=Dropped())
    with pytest.raises(StoreUnavailable, match="the connection to the database broke"):
        await postgres_engine.query("SELECT 1", [])


def test_without_its_driver_the_cure_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "asyncpg", None)
    with pytest.raises(ConfigError, match=r"pip install 'autoscribe-gateway\[postgres\]'"):
        Postgres("postgresql://127.0.0.1/gateway")
