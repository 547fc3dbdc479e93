"""Worker of one destination: composes, sends, pauses, and repairs old copies while it holds the lease (D32, D33)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from fakes.er7_reader import field
from fakes.fed import bodies, fed
from fakes.store import rows

from gateway.feed.deliver import destination_worker
from gateway.store.database.engine import Statement, ask

STALE = Statement("UPDATE message SET stale_until = 1 WHERE number = (SELECT min(number) FROM message)")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(destination_worker, "_OLD_COPIES", 0.02)
    monkeypatch.setattr(destination_worker, "_LOOK", 0.02)


async def test_an_old_copy_that_may_have_come_later_is_followed_by_the_newest_content(sqlite_engine: Any) -> None:
    async with fed(sqlite_engine) as (feed, receiver), feed.serving():
        signed = await feed.sign(critical=False)
        await feed.until("delivered")
        feed.account.change_text(signed.report_id, "IMPRESSION: Other.")
        await feed.tell(signed.study_id)
        await feed.until("delivered", "delivered")
        await sqlite_engine.do(lambda: ask(STALE))
        await feed.until("delivered", "delivered", "delivered")
        assert [field(body, "OBR-25") for body in bodies(receiver)] == ["F", "C", "C"]
        assert await rows(sqlite_engine, "SELECT 1 FROM message WHERE stale_until IS NOT NULL") == []
        assert [one["code"] for one in feed.logs if one["event"] == "old-copy-possible"] == ["restated"]


async def test_a_paused_destination_composes_and_sends_nothing_until_it_is_resumed(sqlite_engine: Any) -> None:
    async with fed(sqlite_engine) as (feed, receiver):
        await feed.queue(2)
        async with feed.serving():
            await feed.sign(critical=False)
            await feed.until("queued", "queued", "queued")
            assert bodies(receiver) == []
            await feed.resume()
            await feed.until("delivered", "delivered", "delivered")
        assert len(bodies(receiver)) == 3


async def test_a_pause_in_the_middle_holds_what_comes_after_it(sqlite_engine: Any) -> None:
    async with fed(sqlite_engine) as (feed, receiver), feed.serving():
        await feed.sign(critical=False)
        await feed.until("delivered")
        await feed.pause()
        await asyncio.sleep(0.3)  # the worker looks every 20 ms
        await feed.sign(critical=False)
        await feed.until("delivered", "queued")
        await feed.resume()
        await feed.until("delivered", "delivered")
        assert len(bodies(receiver)) == 2
