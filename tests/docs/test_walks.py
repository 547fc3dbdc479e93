"""Blocks of commands that belong together run as they stand, line after line, in a shell of their own on loopback."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from fakes.ports import free_port
from fakes.walks import PORTS, WALKS, Walk, walked

pytestmark = pytest.mark.full


@pytest.fixture
def ports() -> dict[str, str]:
    """Return a free port for each port that the documents name."""
    return {port: str(free_port()) for port in PORTS}


@pytest.mark.timeout(600)  # a loaded machine starts a dozen processes slowly
@pytest.mark.parametrize("walk", WALKS, ids=lambda walk: walk.name)
def test_the_blocks_of_a_document_run_one_after_the_other(walk: Walk, tmp_path: Path, ports: dict[str, str]) -> None:
    if shutil.which("curl") is None:
        pytest.skip("needs curl: apt-get install -y curl")
    done = walked(walk, tmp_path, ports)
    last = [line for line in done.stdout.splitlines() if line.startswith("== ")][-1:]
    logs = "\n".join(f"{path.name}: {path.read_text()[-600:]}" for path in tmp_path.glob("*.log"))
    said = f"{last} exits with {done.returncode}.\n{done.stdout[-1500:]}\n{done.stderr[-1500:]}\n{logs}"
    assert done.returncode == 0, f"{said}\nCorrect the document, or its walk in tests/fakes/walks.py."
