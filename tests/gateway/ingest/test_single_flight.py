"""Simultaneous callers share one fetch; a caller that is cancelled does not stop the others."""

import asyncio

import pytest

from gateway.ingest.read_through import SingleFlight


class Work:
    def __init__(self):
        self.begun = 0
        self.gate = asyncio.Event()

    async def __call__(self):
        self.begun += 1
        number = self.begun
        await self.gate.wait()
        return number


async def test_all_who_ask_meanwhile_get_the_one_result():
    flights, work = SingleFlight(), Work()
    waiting = [asyncio.create_task(flights.run("k", work)) for _ in range(50)]
    await asyncio.sleep(0)
    work.gate.set()
    assert await asyncio.gather(*waiting) == [1] * 50


async def test_who_asks_later_gets_a_new_one():
    flights, work = SingleFlight(), Work()
    work.gate.set()
    assert [await flights.run("k", work), await flights.run("k", work)] == [1, 2]


async def test_other_keys_do_not_wait():
    flights, slow, quick = SingleFlight(), Work(), Work()
    quick.gate.set()
    waiting = asyncio.create_task(flights.run("slow", slow))
    assert await flights.run("quick", quick) == 1
    assert not waiting.done()
    slow.gate.set()
    assert await waiting == 1


async def test_a_caller_who_goes_away_leaves_the_work_to_the_others():
    flights, work = SingleFlight(), Work()
    first, second = (asyncio.create_task(flights.run("k", work)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    work.gate.set()
    assert await second == 1
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_a_failure_is_everybodys_and_is_not_kept():
    flights = SingleFlight()

    async def fail():
        await asyncio.sleep(0)
        raise LookupError("no")

    both = await asyncio.gather(flights.run("k", fail), flights.run("k", fail), return_exceptions=True)
    assert [type(one) for one in both] == [LookupError, LookupError]
    work = Work()
    work.gate.set()
    assert await flights.run("k", work) == 1


async def test_a_fresh_run_takes_nothing_that_began_before_it():
    flights, work = SingleFlight(), Work()
    before = asyncio.create_task(flights.run("k", work))
    await asyncio.sleep(0)
    fresh = asyncio.create_task(flights.run_fresh("k", work))
    await asyncio.sleep(0)
    work.gate.set()
    assert (await before, await fresh) == (1, 2)


async def test_closing_stops_what_is_under_way():
    flights, work = SingleFlight(), Work()
    waiting = asyncio.create_task(flights.run("k", work))
    await asyncio.sleep(0)
    await flights.close()
    with pytest.raises(asyncio.CancelledError):
        await waiting
