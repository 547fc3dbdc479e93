"""Connections to PostgreSQL that are kept between two uses."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest

from gateway.runtime import clock
from gateway.store.database.postgres import KeptConnections

PROCESS = "SELECT pg_backend_pid()"


@pytest.fixture
async def pool(postgres_database: str) -> AsyncIterator[asyncpg.Pool]:
    made = await asyncpg.create_pool(postgres_database, min_size=0, max_size=2)
    try:
        yield made
    finally:
        made.terminate()


async def test_the_connection_that_was_used_last_is_used_again(pool: asyncpg.Pool) -> None:
    kept = KeptConnections(pool, asyncpg.InterfaceError)
    async with kept.lent() as first, kept.lent() as second:
        numbers = [await one.fetchval(PROCESS) for one in (first, second)]
    assert [await kept.fetch(PROCESS) for _ in range(3)] == [[(numbers[0],)]] * 3
    await kept.close()


async def test_who_waits_gets_the_connection_that_comes_free(pool: asyncpg.Pool) -> None:
    kept = KeptConnections(pool, asyncpg.InterfaceError)
    answers = await asyncio.gather(*[kept.fetch("SELECT pg_sleep(0.05), pg_backend_pid()") for _ in range(9)])
    assert len({number for [(_, number)] in answers}) == 2
    await kept.close()


async def test_a_connection_whose_query_was_cancelled_is_whole_for_the_next(pool: asyncpg.Pool) -> None:
    kept = KeptConnections(pool, asyncpg.InterfaceError)
    for _ in range(4):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await kept.fetch("SELECT pg_sleep(10)")
        assert await kept.fetch("SELECT $1::int", 5) == [(5,)]
    await kept.close()


async def test_a_connection_that_the_server_ended_is_not_lent_again(pool: asyncpg.Pool) -> None:
    kept = KeptConnections(pool, asyncpg.InterfaceError)
    async with kept.lent() as first, kept.lent() as second:
        ended = await first.fetchval(PROCESS)
        await second.execute("SELECT pg_terminate_backend($1, 5000)", ended)
    async with kept.lent() as first, kept.lent() as second:
        assert ended not in [await one.fetchval(PROCESS) for one in (first, second)]
    await kept.close()


async def test_a_connection_that_nobody_uses_goes_back_to_the_pool(
    pool: asyncpg.Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = KeptConnections(pool, asyncpg.InterfaceError)
    async with kept.lent(), kept.lent():
        assert pool.get_idle_size() == 0
    now = clock.monotonic()
    monkeypatch.setattr(clock, "monotonic", lambda: now + 61)
    await kept.fetch(PROCESS)
    assert (pool.get_size(), pool.get_idle_size()) == (2, 1)
    await kept.close()


async def test_a_connection_in_use_at_the_end_goes_back_afterwards(pool: asyncpg.Pool) -> None:
    kept = KeptConnections(pool, asyncpg.InterfaceError)
    await kept.fetch(PROCESS)
    task = asyncio.create_task(kept.fetch("SELECT pg_sleep(0.2)"))
    await asyncio.sleep(0)
    await kept.close()
    async with asyncio.timeout(60):
        await pool.close()
    assert len(await task) == 1


async def test_an_end_that_is_interrupted_gives_every_connection_back(pool: asyncpg.Pool) -> None:
    kept = KeptConnections(pool, asyncpg.InterfaceError)
    async with kept.lent(), kept.lent():
        pass
    task = asyncio.create_task(kept.close())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    async with asyncio.timeout(60):
        await pool.close()


async def test_a_connection_that_is_left_in_a_transaction_goes_back_to_the_pool(pool: asyncpg.Pool) -> None:
    kept = KeptConnections(pool, asyncpg.InterfaceError)
    async with kept.lent() as connection:
        await connection.execute("BEGIN")
    async with kept.lent() as connection:
        assert not connection.is_in_transaction()
    await kept.close()
