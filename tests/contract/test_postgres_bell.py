"""Rings of a bell between processes of one PostgreSQL database: https://www.postgresql.org/docs/current/sql-notify.html."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from urllib.parse import urlsplit

from fakes.relay import Relay

from gateway.store.database.engine import OUTBOX, WEBHOOK
from gateway.store.database.postgres import Postgres


async def rings_until(listener, wake):
    """Ring until the listener hears it: a connection is opened in the background."""
    began = time.monotonic()
    while True:
        wake()
        before = time.monotonic()
        await listener.wait(1.0)
        if time.monotonic() - before < 0.9:
            return
        assert time.monotonic() - began < 20


async def test_a_ring_is_heard_by_the_other_processes_under_its_topic(postgres_database):
    one, other = Postgres(postgres_database), Postgres(postgres_database)
    async with one.opened(), other.opened():
        with other.bell.listener(WEBHOOK) as webhooks, other.bell.listener(OUTBOX) as rows:
            await rings_until(webhooks, lambda: one.bell.ring(WEBHOOK))
            await rows.wait(0)  # rings for every topic when the connection opens
            one.bell.ring(WEBHOOK)
            began = time.monotonic()
            await rows.wait(0.5)
            assert time.monotonic() - began >= 0.5
            await webhooks.wait(5)
            assert time.monotonic() - began < 5


async def test_a_ring_of_its_own_comes_back_to_no_process(postgres_database):
    engine = Postgres(postgres_database)
    async with engine.opened():
        with engine.bell.listener() as listener:
            await listener.wait(1.0)  # the ring when the connection opens
            engine.bell.ring()
            await listener.wait(5.0)
            began = time.monotonic()
            await listener.wait(0.5)
            assert time.monotonic() - began >= 0.5


async def test_rings_are_heard_again_when_the_server_is_back(postgres_database):
    parts = urlsplit(postgres_database)
    relay = Relay(parts.port)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(relay.running())
        far = Postgres(parts._replace(netloc=f"gateway@127.0.0.1:{relay.port}").geturl())
        near = Postgres(postgres_database)
        await stack.enter_async_context(far.opened())
        await stack.enter_async_context(near.opened())
        with far.bell.listener() as listener:
            await rings_until(listener, near.bell.ring)
            await relay.cut()
            await asyncio.sleep(0.1)
            await relay.mend()
            await rings_until(listener, near.bell.ring)
