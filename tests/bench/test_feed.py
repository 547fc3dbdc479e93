"""How many messages a second one ordered lane of the feed delivers, against a bare loop with two commits a message.

Run by `make bench`: the feed and the bare loop by turns on one core, the receiver on the other, which acknowledges at
once; SQLite as FULL and NORMAL, PostgreSQL. The nearest engine in Python publishes 60 to 70 messages a second.
"""

from __future__ import annotations

import asyncio
import sqlite3
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from bench import queued
from bench.machine import ASKING, MEASURED, on_core
from fakes.databases import at_once, copied

from gateway.store.postgres import Postgres
from gateway.store.sqlite import Sqlite

COUNT, ROUNDS = 3_000, 5
TO_REACH = {"FULL": 0.70, "NORMAL": 0.50}

pytestmark = pytest.mark.timeout(900)


@contextmanager
def receiver(milliseconds: float = 0) -> Iterator[int]:
    """The port of a receiver that acknowledges after so many milliseconds, in a process on the other core."""
    script = Path(__file__).with_name("ack_server.py")
    with on_core(ASKING):
        process = subprocess.Popen([sys.executable, str(script), str(milliseconds)], stdout=subprocess.PIPE, text=True)
    with process:
        try:
            yield int(process.stdout.readline())
        finally:
            process.terminate()


async def bare(port: int, path: Path, synchronous: str, count: int) -> float:
    """Messages a second of a bare loop: commit, write, read the acknowledgement, commit."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute(f"PRAGMA synchronous = {synchronous}")
    connection.execute("CREATE TABLE IF NOT EXISTS m (n INTEGER PRIMARY KEY, state TEXT, body BLOB)")
    connection.execute("DELETE FROM m")
    connection.execute("BEGIN")
    for number in range(count):
        connection.execute("INSERT INTO m VALUES (?, 'queued', ?)", (number, queued.body(f"M{number:019d}")))
    connection.execute("COMMIT")
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    begun = time.perf_counter()
    for number in range(count):
        connection.execute("UPDATE m SET state = 'sending' WHERE n = ?", (number,))
        ((body,),) = connection.execute("SELECT body FROM m WHERE n = ?", (number,)).fetchall()
        writer.write(b"\x0b" + body + b"\x1c\r")
        await reader.readuntil(b"\x1c\r")
        connection.execute("UPDATE m SET state = 'delivered' WHERE n = ?", (number,))
    spent = time.perf_counter() - begun
    writer.close()
    connection.close()
    return count / spent


async def ours(engine: Sqlite | Postgres, port: int, count: int, window: int = 1) -> float:
    """Messages a second of the feed."""
    async with engine.opened():
        await queued.fill(engine, count)
        return await queued.drained(engine, queued.destination(port, window), count)


@pytest.mark.parametrize("synchronous", ["FULL", "NORMAL"])
def test_one_lane_against_a_bare_loop(synchronous, migrated_sqlite, tmp_path, say) -> None:
    rounds = []
    with receiver() as port, on_core(MEASURED):
        for number in range(ROUNDS):
            folder = tmp_path / str(number)
            folder.mkdir()
            mine = at_once(ours(Sqlite(copied(migrated_sqlite, folder), synchronous), port, COUNT))
            rounds.append((mine, at_once(bare(port, folder / "bare.db", synchronous, COUNT))))
    share = statistics.median(mine / other for mine, other in rounds)
    mine, other = (statistics.median(column) for column in zip(*rounds, strict=True))
    say(
        f"feed, one lane, sqlite {synchronous}: {share:.0%} of a bare loop, {mine:.0f} to {other:.0f} messages/s of"
        f" {queued.SIZE} bytes, acknowledged at once (to reach: {TO_REACH[synchronous]:.0%}; published: 60-70/s)"
    )


def test_one_lane_on_postgresql(postgres_database, say) -> None:
    with receiver() as port, on_core(MEASURED):
        rate = at_once(ours(Postgres(postgres_database), port, COUNT))
    say(f"feed, one lane, postgresql: {rate:.0f} messages/s of {queued.SIZE} bytes, acknowledged at once")


@pytest.mark.parametrize("window", [1, 8, 64])
def test_a_window_against_the_latency_of_its_receiver(window, migrated_sqlite, tmp_path, say) -> None:
    with receiver(50) as port:
        rate = at_once(ours(Sqlite(copied(migrated_sqlite, tmp_path)), port, 60 * window, window))
    say(
        f"feed, window {window}, acknowledged after 50 ms: {rate * 0.05 / window:.0%} of window / latency"
        " (to reach: 95%)"
    )
