"""One process at a time sends to a destination, by the database's clock (D33)."""

from __future__ import annotations

import asyncio
import time
from functools import partial

import pytest

from gateway.feed.deliver.lease_guard import LeaseGuard
from gateway.runtime import clock
from gateway.runtime.loops import alongside
from gateway.store.database.engine import Statement, ask
from gateway.store.database.postgres import Postgres
from gateway.store.feed import leases as store
from gateway.store.feed.leases import LeaseLost, Leases

WRITERS = 20
_READ = Statement("SELECT fence FROM destination WHERE name = 'ehr'")
_BUSY = Statement("SELECT pg_sleep(0.7)")
_WRITE = Statement("UPDATE destination SET fence = :fence WHERE name = 'ehr'")


async def test_a_lease_is_one_process_s_until_it_runs_out(engine):
    first, second = Leases(engine, "one", 30.0), Leases(engine, "two", 30.0)
    lease = await first.take("ehr")
    assert lease is not None
    assert await second.take("ehr") is None
    await first.give_back(lease)
    taken = await second.take("ehr")
    assert taken is not None and taken.fence > lease.fence


async def test_who_was_overtaken_can_neither_renew_nor_write(engine):
    first, second = Leases(engine, "one", 0.0), Leases(engine, "two", 30.0)
    lease = await first.take("ehr")
    assert await second.take("ehr") is not None
    with pytest.raises(LeaseLost):
        await first.renew(lease)
    with pytest.raises(LeaseLost):
        await engine.do(partial(store.check_lease, lease))


async def test_what_the_overtaken_gives_back_is_not_the_other_s(engine):
    first, second = Leases(engine, "one", 0.0), Leases(engine, "two", 30.0)
    lease = await first.take("ehr")
    taken = await second.take("ehr")
    await first.give_back(lease)
    assert await engine.do(partial(store.check_lease, taken))
    assert await Leases(engine, "three", 30.0).take("ehr") is None


async def test_taken_again_by_the_same_process_it_has_a_new_fence(engine):
    one = Leases(engine, "one", 30.0)
    assert (await one.take("ehr")).fence < (await one.take("ehr")).fence


async def test_a_renewed_lease_lasts_longer_and_keeps_its_fence(engine):
    one = Leases(engine, "one", 30.0)
    lease = await one.take("ehr")
    renewed = await one.renew(lease)
    assert renewed.fence == lease.fence
    assert renewed.until >= lease.until


async def test_a_pause_keeps_its_first_reason_until_it_is_resumed(engine):
    leases = Leases(engine, "one", 30.0)
    lease = await leases.take("ehr")
    assert await engine.do(partial(store.check_lease, lease))
    await engine.do(partial(store.paused, "ehr", "first", 1))
    await engine.do(partial(store.paused, "ehr", "second", 1))
    assert await leases.paused("ehr") == "first"
    assert not await engine.do(partial(store.check_lease, lease))
    await engine.do(lambda: store.resumed("ehr"))
    assert await leases.paused("ehr") == ""
    assert await engine.do(partial(store.check_lease, lease))


async def test_a_renewal_waits_behind_no_other_work_of_the_database(postgres_database):
    """Check while all connections for other work are busy for longer than the lease lasts, as on a starved machine."""
    engine = Postgres(postgres_database, 2)
    async with engine.opened():
        leases = Leases(engine, "one", 1.0)
        guard = LeaseGuard(leases, await leases.take("ehr"))
        async with alongside([guard.keep()]):
            busy = [asyncio.create_task(engine.do(lambda: ask(_BUSY))) for _ in range(6)]
            assert await Leases(engine, "two", 1.0).take("ehr") is None
            await asyncio.gather(*busy)
            assert await engine.do(partial(store.check_lease, guard.lease))
            assert clock.monotonic() < guard.lease.until - 0.25


async def test_a_renewal_is_in_time_though_each_turn_of_the_loop_is_late(postgres_database):
    """Check a process that rarely gets the processor: a renewal must need few turns of its loop."""
    engine = Postgres(postgres_database)
    async with engine.opened():
        leases, loop, turns = Leases(engine, "one", 60.0), asyncio.get_running_loop(), 0
        lease = await leases.renew(await leases.take("ehr"))

        def turn():
            nonlocal turns, late
            turns += 1
            time.sleep(0.1)  # the server answers meanwhile
            late = loop.call_soon(turn)

        late = loop.call_soon(turn)
        renewed = await leases.renew(lease)
        late.cancel()
        assert renewed.until > lease.until
        assert turns <= 7


async def test_who_writes_without_a_lease_is_alone_until_the_commit(engine):
    def counting():
        yield from store.lock_destination("ehr")
        ((fence,),) = yield from ask(_READ)
        yield from ask(_WRITE, fence=fence + 1)

    await asyncio.gather(*[engine.do(counting) for _ in range(WRITERS)])
    ((fence,),) = await engine.fetch(_READ)
    assert fence == WRITERS
