"""Hourly deletion of message texts goes on after a failed run (decision D7)."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from fakes.virtual_clock import VirtualClock
from structlog.testing import capture_logs

from gateway.feed.loops import EVERY_HOUR, Retention
from gateway.runtime.errors import StoreUnavailable


class Engine:
    """Engine that returns these counts of deleted texts in turn; None means that it cannot be reached."""

    def __init__(self, *found: int | None) -> None:
        self.found = list(found)

    async def do(self, _):
        found = self.found.pop(0)
        if found is None:
            raise StoreUnavailable("locked")
        return found


async def test_a_round_that_failed_is_said_and_the_next_comes_an_hour_later(monkeypatch):
    clock = VirtualClock().install(monkeypatch)
    engine = Engine(None, 2, 1, 0)
    with capture_logs() as logs:
        task = asyncio.create_task(Retention(engine, 30, batch=2).run())
        await clock.run_for(EVERY_HOUR - 1)
        assert engine.found == [2, 1, 0]
        await clock.run_for(EVERY_HOUR)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    assert [(one["event"], one.get("code"), one.get("count")) for one in logs] == [
        ("messages-not-purged", "store-unavailable", None),
        ("messages-purged", None, 3),
    ]
    assert engine.found == [0]
