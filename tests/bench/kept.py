"""Stores of whole studies, made once for all benchmarks; BENCH_WHOLE_AT names a folder that keeps them for further runs.

A store that is in the folder is used as it is. One that is not is filled under another name, so that a run which was
cut off leaves nothing that looks filled.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncpg
import pytest
from bench import whole
from bench.machine import ASKING, on_core
from fakes.cluster import binaries, cluster
from fakes.databases import at_once, migrated_database

AT = os.environ.get("BENCH_WHOLE_AT", "")
_SETTINGS = ("shared_buffers=512MB", "max_wal_size=16GB")


def file_of(folder: Path, migrated: Path, count: int) -> Path:
    """Return a SQLite file with so many studies, in a folder of its own."""
    path = folder / str(count) / "gateway.db"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        part = Path(shutil.copyfile(migrated, path.with_suffix(".part")))
        whole.fill_sqlite(part, count)
        part.rename(path)
    return path


@contextmanager
def server(folder: Path) -> Iterator[str]:
    """Run PostgreSQL with the cluster of that folder, on the other core than the gateway's; yield its URL."""
    programs = binaries()
    if programs is None:
        pytest.skip("needs PostgreSQL's server programs: apt-get install -y postgresql")
    kept = folder / "postgres"
    kept.mkdir(parents=True, exist_ok=True)
    with on_core(ASKING):
        running = cluster(programs, *_SETTINGS, kept=kept)
        url = running.__enter__()
    try:
        yield url
    finally:
        running.__exit__(None, None, None)


def database_of(url: str, file: Path, count: int) -> str:
    """Return the URL of a database with the rows of a SQLite file of so many studies."""
    at_once(_fill(url, file, f"whole{count}"))
    return f"{url}/whole{count}"


async def _fill(url: str, file: Path, name: str) -> None:
    there = await asyncpg.connect(f"{url}/postgres")
    if not await there.fetch("SELECT 1 FROM pg_database WHERE datname = $1", name):
        await there.execute("DROP DATABASE IF EXISTS part")
        await there.execute("CREATE DATABASE part")
        await migrated_database(f"{url}/part")
        await whole.fill_postgres(f"{url}/part", file)
        await there.execute(f"ALTER DATABASE part RENAME TO {name}")
    await there.close()
