"""A ring wakes every listener of the store, and nothing else ends the wait early."""

from __future__ import annotations

import asyncio
import threading
import time

from gateway.store.database.engine import Bell


async def test_a_ring_ends_the_wait_of_everybody_who_listens() -> None:
    bell = Bell()
    with bell.listener() as one, bell.listener() as other:
        waits = [asyncio.create_task(listener.wait(30)) for listener in (one, other)]
        await asyncio.sleep(0)
        bell.ring()
        await asyncio.wait_for(asyncio.gather(*waits), 60)


async def test_a_ring_from_another_thread_and_before_the_wait_is_heard() -> None:
    bell = Bell()
    with bell.listener() as one:
        thread = threading.Thread(target=bell.ring)
        thread.start()
        thread.join()
        await asyncio.wait_for(one.wait(30), 60)


async def test_a_ring_is_heard_once_and_without_one_the_wait_ends_by_itself() -> None:
    bell = Bell()
    with bell.listener() as listener:
        bell.ring()
        await listener.wait(30)
        begun = time.monotonic()
        await listener.wait(0.05)
        assert time.monotonic() - begun >= 0.04


def test_a_bell_without_listeners_may_be_rung() -> None:
    Bell().ring()
