"""Time of one commit on this disk: what no store can go below that answers only for what is written.

https://sqlite.org/pragma.html#pragma_synchronous (FULL), https://www.postgresql.org/docs/current/wal-reliability.html.
"""

from __future__ import annotations

import sqlite3
import statistics
import time
from pathlib import Path

import asyncpg
from bench.queued import SIZE
from fakes.databases import at_once

COMMITS = 300


def commits(folder: Path, url: str) -> str:
    """Return a line with the times of a commit in SQLite and in a PostgreSQL server."""
    times = {"SQLite": commit_of_sqlite(folder), "PostgreSQL": at_once(commit_of_postgresql(url))}
    return "one commit on this disk: " + ", ".join(f"{name} {each * 1e3:.2f} ms p50" for name, each in times.items())


def commit_of_sqlite(folder: Path) -> float:
    """Return the median seconds of a commit of a message-sized row in SQLite with synchronous = FULL."""
    connection = sqlite3.connect(folder / "commits.db", isolation_level=None)
    for pragma in ("PRAGMA journal_mode = WAL", "PRAGMA synchronous = FULL", "CREATE TABLE m (body BLOB)"):
        connection.execute(pragma)
    seconds = []
    for _ in range(COMMITS):
        begun = time.perf_counter()
        connection.execute("INSERT INTO m VALUES (?)", (bytes(SIZE),))
        seconds.append(time.perf_counter() - begun)
    connection.close()
    return statistics.median(seconds)


async def commit_of_postgresql(url: str) -> float:
    """Return the same for a PostgreSQL server."""
    connection, seconds = await asyncpg.connect(url), []
    await connection.execute("CREATE TABLE commits (body BYTEA)")
    for _ in range(COMMITS):
        begun = time.perf_counter()
        await connection.execute("INSERT INTO commits VALUES ($1)", bytes(SIZE))
        seconds.append(time.perf_counter() - begun)
    await connection.execute("DROP TABLE commits")
    await connection.close()
    return statistics.median(seconds)
