"""Signatures that failed since the last valid one are counted, and kept across a restart."""

from __future__ import annotations

import asyncio

from fakes.crawl import Cursors
from fakes.virtual_clock import VirtualClock

from gateway.runtime.errors import StoreUnavailable
from gateway.webhooks.signature_count import EVERY, NAME, SignatureRecord, Signatures, signatures


class Kept(Cursors):
    """Cursors that count writes, and fail while there is trouble."""

    def __init__(self, trouble=None):
        super().__init__()
        self.trouble, self.count = trouble, 0

    async def get(self, name):
        if self.trouble:
            raise self.trouble
        return await super().get(name)

    async def put(self, name, value):
        if self.trouble:
            raise self.trouble
        self.count += 1
        await super().put(name, value)


async def test_nothing_is_written_before_a_webhook_came():
    cursors = Kept()
    await SignatureRecord(cursors).once()
    assert await cursors.get(NAME) is None
    assert await signatures(cursors) == Signatures()


async def test_refusals_are_counted_from_the_last_signature_that_held(monkeypatch):
    clock = VirtualClock().install(monkeypatch)
    cursors = Kept()
    record = SignatureRecord(cursors)
    record.note(holds=False)
    record.note(holds=True)
    record.note(holds=False)
    record.note(holds=False)
    await record.once()
    assert await signatures(cursors) == Signatures(2, clock.now().isoformat(timespec="seconds"))


async def test_what_did_not_change_is_not_written_again():
    cursors = Kept()
    record = SignatureRecord(cursors)
    record.note(holds=False)
    await record.once()
    await record.once()
    assert cursors.count == 1


async def test_a_restart_goes_on_counting(monkeypatch):
    clock = VirtualClock().install(monkeypatch)
    cursors = Kept()
    first = SignatureRecord(cursors)
    first.note(holds=False)
    await first.once()
    second = SignatureRecord(cursors)
    running = asyncio.create_task(second.run())
    await clock.run_for(EVERY)
    second.note(holds=False)
    await clock.run_for(EVERY)
    running.cancel()
    assert await signatures(cursors) == Signatures(2)


async def test_a_store_that_cannot_be_reached_is_asked_again(monkeypatch):
    clock = VirtualClock().install(monkeypatch)
    cursors = Kept(trouble=StoreUnavailable("gone"))
    record = SignatureRecord(cursors)
    record.note(holds=False)
    running = asyncio.create_task(record.run())
    await clock.run_for(EVERY)
    cursors.trouble = None
    await clock.run_for(EVERY)
    running.cancel()
    assert await signatures(cursors) == Signatures(1)
