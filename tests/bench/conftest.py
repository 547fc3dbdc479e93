"""The ratios that the benchmarks measured, printed as the last lines of the run."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest

LINES = pytest.StashKey[list[str]]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[LINES] = []


@pytest.fixture
def say(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Keep a line for the end of the run."""
    return request.config.stash[LINES].append


def pytest_unconfigure(config: pytest.Config) -> None:
    sys.stdout.write("".join(f"{line}\n" for line in config.stash.get(LINES, [])))
