"""Cost of a long queue: memory of the gateway, and the effect of a dead destination on others.

Run by `make bench`: a gateway of its own sends 100,000 messages (BENCH_MESSAGES says how many) and its memory is looked
at; a destination is fed alone, and by turns beside one that refuses connections and has 10,000 messages waiting.
"""

from __future__ import annotations

import asyncio
import os
import socket
import statistics
import time
from contextlib import AsyncExitStack

import pytest
from bench import queued
from bench.machine import ASKING, MEASURED, on_core
from bench.margins import at_least
from bench.test_feed import receiver
from fakes.databases import at_once
from fakes.feed_process import FeedProcess

from gateway.store.database.postgres import Postgres
from gateway.store.database.sqlite import Sqlite

MESSAGES = int(os.environ.get("BENCH_MESSAGES", "100000"))
COUNT, WAITING, ROUNDS = 2_000, 10_000, 3
MB = 1 << 20

pytestmark = pytest.mark.timeout(900 + MESSAGES // 50)


async def emptied(engine: Sqlite, process: FeedProcess) -> tuple[int, int, float]:
    """Send the whole queue; return the memory at the start, the highest memory, and the seconds."""
    async with engine.opened():
        while "feed-serves" not in process.logged():
            await asyncio.sleep(0.01)
        begun, first = time.perf_counter(), process.memory
        most = first
        while await queued.left(engine):
            for _ in range(50):
                most = max(most, process.memory)
                await asyncio.sleep(0.02)
        return first, most, time.perf_counter() - begun


def test_the_memory_of_a_gateway_that_sends_a_long_queue(new_database, tmp_path, say) -> None:
    async def fill(engine: Sqlite) -> None:
        async with engine.opened():
            await queued.fill(engine, MESSAGES)

    with new_database("sqlite") as path, receiver() as port, on_core(ASKING):
        engine = Sqlite(path)
        at_once(fill(engine))
        with on_core(MEASURED):
            process = FeedProcess(engine, port, tmp_path / "log")
        try:
            first, most, seconds = at_once(emptied(engine, process))
        finally:
            process.kill()
    say(
        f"feed, {MESSAGES} messages of {queued.SIZE} bytes that wait, sqlite FULL: memory {first / MB:.0f} MB at the"
        f" start, {most / first:.2f} x that at most ({(most - first) / MB:+.1f} MB; to reach: flat)"
    )
    say(f"  {MESSAGES / seconds:.0f} messages/s, {seconds:.0f} s")


async def rate(engine: Sqlite | Postgres, port: int, dead: int | None) -> float:
    """Return messages a second to a destination; with a dead port, a second destination there is down."""
    async with engine.opened(), AsyncExitStack() as stack:
        await queued.fill(engine, COUNT)
        if dead is not None:
            await queued.fill(engine, WAITING, "down")
            await stack.enter_async_context(queued.served(engine, queued.destination(dead, name="down")))
        return await queued.drained(engine, queued.destination(port), COUNT)


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_destination_beside_one_that_is_down(kind, new_database, say) -> None:
    made = {"sqlite": Sqlite, "postgresql": Postgres}[kind]
    rounds = []
    with socket.socket() as unheard, receiver() as port, on_core(MEASURED):
        unheard.bind(("127.0.0.1", 0))  # bound, and nobody listens
        for _ in range(ROUNDS):
            rates = []
            for dead in (None, unheard.getsockname()[1]):
                with new_database(kind) as database:
                    rates.append(at_once(rate(made(database), port, dead)))
            rounds.append(rates)
    alone, beside = (statistics.median(column) for column in zip(*rounds, strict=True))
    share = statistics.median(with_it / without for without, with_it in rounds)
    say(
        f"feed, {kind}, beside a destination that is down with {WAITING} messages: {share:.0%} of alone,"
        f" {beside:.0f} to {alone:.0f} messages/s {at_least(share, 1)}"
    )
