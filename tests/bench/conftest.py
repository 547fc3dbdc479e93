"""The ratios that the benchmarks measured, printed as the last lines of the run."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from fakes.databases import copied

from gateway.runtime.log import configure

LINES = pytest.StashKey[list[str]]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[LINES] = []


@pytest.fixture(autouse=True)
def _log(tmp_path: Path) -> Iterator[None]:
    """Configure the log as the service does."""
    with (tmp_path / "log").open("w") as stream:
        configure(stream=stream)
        yield
        configure()


@pytest.fixture
def say(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Record a line for the end of the run."""
    return request.config.stash[LINES].append


@pytest.fixture
def new_database(
    request: pytest.FixtureRequest, migrated_sqlite: Path, tmp_path: Path
) -> Callable[[str], AbstractContextManager[Any]]:
    """Return a context manager of a migrated database: the path for SQLite, the URL for PostgreSQL."""
    numbers = count()

    @contextmanager
    def made(kind: str) -> Iterator[Path | str]:
        if kind == "postgresql":
            with request.getfixturevalue("postgres_server").database() as url:
                yield url
        else:
            folder = tmp_path / f"database{next(numbers)}"
            folder.mkdir()
            yield copied(migrated_sqlite, folder)

    return made


def pytest_unconfigure(config: pytest.Config) -> None:
    sys.stdout.write("".join(f"{line}\n" for line in config.stash.get(LINES, [])))
