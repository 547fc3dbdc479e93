"""Blocks of commands that belong together run as they stand, line after line, in a shell of their own on loopback."""

from __future__ import annotations

import shutil
import socket
from contextlib import ExitStack
from pathlib import Path

import pytest
from fakes.walks import PORTS, WALKS, Walk, walked

pytestmark = pytest.mark.full


@pytest.fixture
def ports() -> dict[str, str]:
    """Return a free port for each port that the documents name."""
    with ExitStack() as stack:
        free = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in PORTS]
        return {port: str(one.getsockname()[1]) for port, one in zip(PORTS, free, strict=True)}


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
