"""A lease is renewed while it is held; its end is noticed even if the database does not answer (D33)."""

from __future__ import annotations

import asyncio

import pytest
from fakes.virtual_clock import jump

from gateway.feed.deliver.lease_guard import LeaseGuard
from gateway.runtime import clock
from gateway.runtime.errors import StoreUnavailable
from gateway.store.feed.leases import Lease, LeaseLost

SECONDS = 0.4


class Store:
    """Stand-in for `Leases` that answers, fails, or hangs."""

    seconds = SECONDS

    def __init__(self, *answers):
        self._answers = list(answers)
        self.given_back = []

    async def renew(self, lease):
        answer = self._answers.pop(0) if self._answers else None
        if answer is None:
            await asyncio.Event().wait()
        if isinstance(answer, Exception):
            raise answer
        return taken()

    async def give_back(self, lease):
        self.given_back.append(lease)


@pytest.fixture(autouse=True)
async def jumping(monkeypatch):
    """Let no test wait: time passes at once where nothing else is left to do."""
    jump(monkeypatch)


def taken():
    return Lease("ehr", "one", 1, clock.monotonic() + SECONDS)


async def test_each_renewal_extends_what_may_be_written():
    guard = LeaseGuard(Store(True, True, True, True), taken())
    assert 0 < guard.permit.left <= SECONDS * 0.75
    keeping = asyncio.create_task(guard.keep())
    await asyncio.sleep(SECONDS)
    assert guard.permit.left > 0
    keeping.cancel()
    await asyncio.gather(keeping, return_exceptions=True)


async def test_the_end_is_seen_though_the_database_hangs():
    guard = LeaseGuard(Store(), taken())
    begun = clock.monotonic()
    with pytest.raises(LeaseLost):
        await asyncio.wait_for(guard.keep(), 60)
    assert clock.monotonic() - begun < 2 * SECONDS
    assert guard.permit.left == 0


@pytest.mark.parametrize("error", [LeaseLost(), StoreUnavailable("gone")])
async def test_a_renewal_that_fails_says_why(error):
    with pytest.raises(type(error)):
        await LeaseGuard(Store(error), taken()).keep()


async def test_a_renewal_that_hangs_does_not_come_behind_what_is_given_back():
    store = Store()
    guard = LeaseGuard(store, taken())
    keeping = asyncio.create_task(guard.keep())
    await asyncio.sleep(SECONDS / 4 + 0.05)
    keeping.cancel()
    await guard.give_back()
    assert guard._renewal.cancelled()
    assert len(store.given_back) == 1
    await asyncio.gather(keeping, return_exceptions=True)
