"""The ratios that the benchmarks measured, printed as the last lines of the run."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from bench.commits import commits
from bench.machine import ASKING, described, on_core
from fakes.databases import Server, copied, server

from gateway.runtime.log import configure

LINES = pytest.StashKey[list[str]]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[LINES] = [described()]


@pytest.fixture(autouse=True)
def _log(tmp_path: Path) -> Iterator[None]:
    """Configure the log as the service does."""
    with (tmp_path / "log").open("w") as stream:
        configure(stream=stream)
        yield
        configure()


@pytest.fixture(scope="session")
def postgres_server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Start a server that writes through to the disk, on the other core than the gateway's.

    Its processes stay there, whichever benchmark asks for it first.
    """
    with ExitStack() as stack:
        with on_core(ASKING):
            found = stack.enter_context(server("fsync=on"))
        if found is None:
            pytest.skip("needs PostgreSQL's server programs: apt-get install -y postgresql")
        with found.database() as url:
            request.config.stash[LINES].append(commits(tmp_path_factory.mktemp("commits"), url))
        yield found


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
