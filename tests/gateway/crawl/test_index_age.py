"""Decision D26: every process knows the sweep's progress, whichever process sweeps."""

import asyncio
import json
from datetime import UTC, datetime

import pytest
import structlog
from fakes.crawl import Cursors

from gateway.crawl.account_pace import EVERY, SweepWatch
from gateway.runtime import clock
from gateway.runtime.errors import StoreUnavailable
from gateway.settings import Sync
from gateway.store.studies.crawling import NAME, Finished, SweepRecord

AT = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
DONE = SweepRecord(sweeps=1, finished=Finished(AT, AT, 40))


async def test_before_anything_is_kept_nothing_was_swept():
    watch = SweepWatch(Cursors(), Sync())
    await watch.once()
    assert watch.record == SweepRecord()


async def test_a_larger_account_may_have_an_older_index():
    cursors = Cursors()
    watch = SweepWatch(cursors, Sync())
    before = watch.max_index_age
    cursors.kept[NAME] = json.dumps(SweepRecord(sweeps=1, finished=Finished(AT, AT, 3_000_000)).as_json())
    await watch.once()
    assert watch.max_index_age > before


async def test_what_another_process_kept_is_read_every_second(monkeypatch):
    cursors = Cursors()
    watch = SweepWatch(cursors, Sync())
    seen = []

    async def sleep(seconds):
        assert seconds == EVERY
        seen.append(watch.record)
        cursors.kept[NAME] = json.dumps(DONE.as_json())
        if len(seen) == 2:
            raise asyncio.CancelledError

    monkeypatch.setattr(clock, "sleep", sleep)
    with pytest.raises(asyncio.CancelledError):
        await watch.run()
    assert seen == [SweepRecord(), DONE]


@pytest.mark.parametrize("failure", [StoreUnavailable("gone"), ZeroDivisionError()])
async def test_what_was_read_last_stands_while_the_store_cannot_be_reached(monkeypatch, failure):
    class Away(Cursors):
        async def get(self, name):
            raise failure

    watch = SweepWatch(Away(), Sync())
    watch.record = DONE
    rounds = []

    async def sleep(_):
        rounds.append(watch.record)
        if len(rounds) == 2:
            raise asyncio.CancelledError

    monkeypatch.setattr(clock, "sleep", sleep)
    with structlog.testing.capture_logs() as lines, pytest.raises(asyncio.CancelledError):
        await watch.run()
    assert rounds == [DONE, DONE]
    assert [line["event"] for line in lines] == ["sweep-record-not-read"] * 2
