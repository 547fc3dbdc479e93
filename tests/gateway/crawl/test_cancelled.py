"""Decisions D21, D26: a cancelled study is noticed, whatever its report's state."""

import asyncio

import pytest
from fakes.crawl import Account, crawl_of, study, study_id
from fakes.virtual_clock import VirtualClock

from gateway.crawl.crawler import Cancelled


@pytest.fixture
def time(monkeypatch):
    return VirtualClock().install(monkeypatch)


async def test_a_cancelled_study_is_taken_in_once(time):
    account = Account(study(1), study(2))
    crawl = crawl_of(account)
    looks = Cancelled(crawl)
    assert await time.run(looks.once()) == 0
    account.change(2, isCancelled=True)
    assert await time.run(looks.once()) == 1
    await time.run(looks.once())
    assert crawl.known.taken_in == [study_id(2)]
    assert crawl.known.stored[study_id(2)]["isCancelled"] is True


async def test_it_looks_every_ten_minutes_and_pages_are_paced(time):
    account = Account(*(study(number, isCancelled=True) for number in range(301)))
    crawl = crawl_of(account)
    loop = asyncio.create_task(Cancelled(crawl).run())
    await time.run_for(1199)
    loop.cancel()
    assert [at for at, call in account.calls if call.startswith("cancelled")] == [
        *(0.0, 0.5, 1.0, 1.5),
        *(600.0, 600.5, 601.0, 601.5),
    ]
    assert crawl.observer.rounds == [("cancelled", 301)] * 2
