"""Decision D9: a process that ends by a bug says where, and never what it stumbled over."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from fakes.planted import WORD

ROOT = Path(__file__).parents[2]
PROGRAM = """
import asyncio, os, sys
from gateway.cli import main
from gateway.runtime import log
from gateway.runtime.computing import computed, workers

def stumble(text):
    raise ValueError(text + " Jane Doe")

def abort(text):
    os.abort()

async def in_worker(function):
    async with workers(1, (), ()):
        await computed(function, "CANARY")

STARTS = {
    "command": lambda args: stumble("CANARY"),
    "worker": lambda args: asyncio.run(in_worker(stumble)),
    "aborted": lambda args: asyncio.run(in_worker(abort)),
    "parent": lambda args: abort("CANARY"),
}
if __name__ == "__main__":
    log.configure("debug", "json")
    main.app = STARTS[sys.argv[1]]
    main.main([])
"""


@pytest.mark.parametrize(
    ("crash", "code", "said"),
    [
        ("command", 1, "internal: ValueError at "),
        ("worker", 1, "internal: ValueError at "),
        ("aborted", 1, ""),
        ("parent", -6, ""),
    ],
)
def test_no_crash_shows_what_it_stumbled_over(crash, code, said, tmp_path):
    file = tmp_path / "service.py"
    file.write_text(PROGRAM)
    ended = subprocess.run(
        [sys.executable, file, crash],
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == code, ended.stderr
    assert said in ended.stderr
    assert WORD not in ended.stderr + ended.stdout
    assert "Jane" not in ended.stderr + ended.stdout
