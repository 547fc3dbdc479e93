"""What the proofs of keeping up share: the long ones are marked `soak` and run only where they are asked for."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "soak: as large or as long as the issue says; run with -m soak")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if "soak" in config.option.markexpr:
        return
    left_out = [item for item in items if item.get_closest_marker("soak")]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if not item.get_closest_marker("soak")]


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Callable[[str], None]:
    """Write a line of figures where whoever runs the tests sees it."""

    def written(line: str) -> None:
        with capsys.disabled():
            sys.stdout.write(f"\n{line}\n")

    return written
