"""Messages a second on one ordered lane of the feed, compared with a bare loop with two commits a message.

Run by `make bench`: the feed and the bare loop by turns on one core, the receiver on the other, which acknowledges at
once; SQLite, PostgreSQL with `fsync`, without and with `synchronous_commit`. The messages are made
already: how long a stored study takes to be told, rendering and all, is measured by tests/bench/test_stored.py.
"""

from __future__ import annotations

import asyncio
import sqlite3
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from bench import queued
from bench.machine import ASKING, MEASURED, on_core
from bench.margins import at_least
from fakes.databases import Server, at_once, copied, server

from gateway.store.database.postgres import Postgres
from gateway.store.database.sqlite import Sqlite

COUNT, ROUNDS = 3_000, 5
EACH = 60  # messages by each connection of a window
TO_REACH = 0.70

pytestmark = pytest.mark.timeout(900)


@contextmanager
def receiver(milliseconds: float = 0) -> Iterator[int]:
    """Run a receiver that acknowledges after a delay (ms), in a process on the other core; yield its port."""
    script = Path(__file__).with_name("ack_server.py")
    with on_core(ASKING):
        process = subprocess.Popen([sys.executable, str(script), str(milliseconds)], stdout=subprocess.PIPE, text=True)
    with process:
        try:
            yield int(process.stdout.readline())
        finally:
            process.terminate()


async def bare(port: int, path: Path, count: int) -> float:
    """Return messages a second of a bare loop: commit, write, read the acknowledgement, commit."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
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


async def round_trip(port: int) -> float:
    """Return the median seconds from a message to its acknowledgement, without a database."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    seconds = []
    for number in range(500):
        begun = time.perf_counter()
        writer.write(b"\x0b" + queued.body(f"M{number:019d}") + b"\x1c\r")
        await reader.readuntil(b"\x1c\r")
        seconds.append(time.perf_counter() - begun)
    writer.close()
    return statistics.median(seconds)


def beside(say: Callable[[str], None], level: str, rate: float, port: int) -> None:
    """Describe the conditions under which a rate was measured."""
    ack = at_once(round_trip(port))
    say(f"  {rate:.0f} messages/s of {queued.SIZE} bytes, acknowledged after {ack * 1e6:.0f} us, {level}")


async def ours(engine: Sqlite | Postgres, port: int, count: int, window: int = 1) -> float:
    """Return messages a second of the feed."""
    async with engine.opened():
        await queued.fill(engine, count)
        return await queued.drained(engine, queued.destination(port, window), count)


def test_one_lane_against_a_bare_loop(migrated_sqlite, tmp_path, say) -> None:
    rounds = []
    with receiver() as port, on_core(MEASURED):
        for number in range(ROUNDS):
            folder = tmp_path / str(number)
            folder.mkdir()
            mine = at_once(ours(Sqlite(copied(migrated_sqlite, folder)), port, COUNT))
            rounds.append((mine, at_once(bare(port, folder / "bare.db", COUNT))))
        share = statistics.median(mine / other for mine, other in rounds)
        mine, other = (statistics.median(column) for column in zip(*rounds, strict=True))
        say(
            f"feed, one lane, sqlite: {share:.0%} of a bare loop, {mine:.0f} to {other:.0f} messages/s"
            f" {at_least(share, TO_REACH)}"
        )
        beside(say, "a commit a message", mine, port)


@pytest.fixture(scope="module", params=["on", "off"])
def durable_server(request: pytest.FixtureRequest) -> Iterator[tuple[str, Server]]:
    """Start a PostgreSQL server with `fsync`; yield it with its `synchronous_commit`."""
    with server("fsync=on", f"synchronous_commit={request.param}") as found:
        if found is None:
            pytest.skip("needs PostgreSQL's server programs: apt-get install -y postgresql")
        yield request.param, found


def test_one_lane_on_postgresql(durable_server, say) -> None:
    level, found = durable_server
    with found.database() as url, receiver() as port, on_core(MEASURED):
        rate = at_once(ours(Postgres(url), port, COUNT))
        say(f"feed, one lane, postgresql, synchronous_commit={level}: {rate:.0f} messages/s")
        beside(say, f"fsync=on, synchronous_commit={level}, a commit a message", rate, port)


async def unwritten(port: int, window: int) -> float:
    """Return messages a second of bare loops without a database, as many as the window."""

    async def one() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for number in range(EACH):
            writer.write(b"\x0b" + queued.body(f"M{number:019d}") + b"\x1c\r")
            await reader.readuntil(b"\x1c\r")
        writer.close()

    begun = time.perf_counter()
    await asyncio.gather(*(one() for _ in range(window)))
    return EACH * window / (time.perf_counter() - begun)


@pytest.mark.parametrize("window", [1, 8, 64])
def test_a_window_against_the_latency_of_its_receiver(window, new_database, say) -> None:
    rounds = []
    with receiver(50) as port:
        for _ in range(3):
            with new_database("sqlite") as path:
                mine = at_once(ours(Sqlite(path), port, EACH * window, window))
            rounds.append((mine, at_once(unwritten(port, window))))
    mine, other = (statistics.median(column) * 0.05 / window for column in zip(*rounds, strict=True))
    say(
        f"feed, window {window}, acknowledged after 50 ms: {mine:.0%} of window / latency {at_least(mine, 0.95)};"
        f" loops that write nothing down: {other:.0%}"
    )
