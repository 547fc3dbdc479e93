"""Composing alone: outbox rows become messages, nothing is sent, and a test says what was delivered."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from fakes.fed import Fed, fed, site
from fakes.in_force import always_in_force
from fakes.store import rows

from gateway.feed.compose.render_due import DueRenderer
from gateway.runtime import clock
from gateway.store.database.engine import Engine, Statement, ask, micros
from gateway.store.feed import messages
from gateway.store.feed.leases import Lease, Leases
from gateway.store.feed.messages import Head, Messages, SendResult


@dataclass
class Composing:
    """A feed whose destination `ehr` is leased for the test."""

    feed: Fed
    lease: Lease

    @property
    def engine(self) -> Engine:
        """Engine of the store."""
        return self.feed.engine

    def renderer(self) -> DueRenderer:
        """Return a new composer of the messages to the destination."""
        return DueRenderer(self.engine, self.feed.settings or site(), self.feed.destinations[0], self.feed.metrics)

    async def once(self) -> int:
        """Compose what is due, as a worker does that has just started; return the number of studies."""
        renderer = self.renderer()
        await renderer.see_settings(self.lease)
        return await renderer.once(self.lease)

    async def write(self, sql: str, **values: Any) -> None:
        """Change the database."""
        await self.engine.do(lambda: ask(Statement(sql), **values))

    async def claimed(self) -> list[Head]:
        """Take every queued message in hand."""
        heads = await Messages(self.engine).candidates("ehr", clock.now(), 100)
        return await self.engine.do(partial(messages.step, self.lease, [], heads, micros(clock.now())))

    async def settled(self, heads: list[Head]) -> None:
        """Have messages in hand accepted."""
        now = micros(clock.now())
        results = [SendResult(one, "delivered", ack="AA", accepted=now) for one in heads]
        await self.engine.do(partial(messages.step, self.lease, results, [], now))

    async def delivered(self) -> None:
        """Have every queued message delivered."""
        await self.settled(await self.claimed())

    async def messages(self, *columns: str) -> list[tuple[Any, ...]]:
        """Return columns of all messages, in order."""
        return await rows(self.engine, f"SELECT {', '.join(columns)} FROM message ORDER BY number")

    async def bodies(self) -> list[bytes]:
        """Return the bytes of all messages, in order."""
        return [bytes(one) for (one,) in await rows(self.engine, "SELECT body FROM message_body ORDER BY number")]

    async def outbox(self) -> list[tuple[Any, ...]]:
        """Return state and reason of all rows of the outbox, in order."""
        return await rows(self.engine, "SELECT state, reason FROM outbox ORDER BY number")


@asynccontextmanager
async def composing(engine: Engine, **settings: Any) -> AsyncIterator[Composing]:
    """Open a feed with these settings of its destination, and take the lease."""
    async with fed(engine, **settings) as (feed, _):
        await always_in_force(engine, feed.destinations)
        lease = await Leases(engine, "test", 600.0).take("ehr")
        assert lease is not None
        yield Composing(feed, lease)
