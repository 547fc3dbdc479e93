"""Stores of whole studies, made once for all benchmarks; BENCH_WHOLE_AT names a folder that keeps them.

A store that is in the folder is used as it is. One that is not is filled under another name, so that a run which was
cut off leaves nothing that looks filled.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import asyncpg
import pytest
from bench import multiplied, whole
from bench.machine import ASKING, on_core
from fakes.cluster import binaries, cluster
from fakes.databases import at_once, migrated_database

AT = os.environ.get("BENCH_WHOLE_AT", "")
# So many studies are written as the gateway writes them; a store of more has them several times
WRITTEN = 100_000
# With the last two, what is written into a table that the same transaction emptied is not logged
_SETTINGS = ("shared_buffers=512MB", "max_wal_size=16GB", "autovacuum=off", "wal_level=minimal", "max_wal_senders=0")


def times(count: int) -> int:
    """Return how many times a store of so many studies has those that were written."""
    return max(1, count // WRITTEN)


def file_of(folder: Path, migrated: Path, count: int) -> Path:
    """Return a SQLite file with so many studies, in a folder of its own."""
    path = folder / str(count) / "gateway.db"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        source = file_of(folder, migrated, WRITTEN) if times(count) > 1 else migrated
        part = Path(shutil.copyfile(source, path.with_suffix(".part")))
        if times(count) > 1:
            multiplied.multiply_sqlite(part, source, times(count))
        else:
            whole.fill_sqlite(part, count)
        part.rename(path)
    return path


@contextmanager
def server() -> Iterator[str]:
    """Run PostgreSQL, with the cluster that is kept if one is, on the other core than the gateway's; yield its URL."""
    programs = binaries()
    if programs is None:
        pytest.skip("needs PostgreSQL's server programs: apt-get install -y postgresql")
    kept = Path(AT) / "postgres" if AT else None
    if kept:
        kept.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        with on_core(ASKING):
            url = stack.enter_context(cluster(programs, *_SETTINGS, kept=kept))
        yield url


def database_of(url: str, folder: Path, count: int) -> str:
    """Return the URL of a database with the rows of the SQLite file of so many studies in that folder."""
    at_once(_fill(url, folder / str(count // times(count)) / "gateway.db", f"whole{count}", times(count)))
    return f"{url}/whole{count}"


async def _fill(url: str, source: Path, name: str, times: int) -> None:
    there = await asyncpg.connect(f"{url}/postgres")
    if not await there.fetch("SELECT 1 FROM pg_database WHERE datname = $1", name):
        await there.execute("DROP DATABASE IF EXISTS part")
        await there.execute("CREATE DATABASE part")
        await migrated_database(f"{url}/part")
        await whole.fill_postgres(f"{url}/part", source, times)
        await there.execute(f"ALTER DATABASE part RENAME TO {name}")
    await there.close()
