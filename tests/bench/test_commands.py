"""The processor time of the commands that an operator types most, each as a process of its own.

Run by `make bench`: the median of several runs, user and system together, beside the limit of each. `feed status` looks
at a SQLite database of a small ledger.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys

import pytest
from fakes.gateway_process import environment, site_file

RUNS = 7
LIMITS = {"version": 0.3, "--version": 0.3, "--help": 0.3, "feed status": 1.0}  # seconds

pytestmark = pytest.mark.timeout(600)


def seconds(command: str, env: dict[str, str]) -> float:
    """Return the CPU time of a command that succeeds."""
    process = subprocess.Popen([sys.executable, "-m", "gateway", *command.split()], env=env, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return used.ru_utime + used.ru_stime


def test_commands_are_quick(new_database, tmp_path, say):
    with new_database("sqlite") as database:
        env = environment("http://127.0.0.1:9", f"sqlite:///{database}", site_file(tmp_path))
        for command, limit in LIMITS.items():
            took = statistics.median(seconds(command, env) for _ in range(RUNS))
            say(f"{command}: {took:.2f} s of processor time (limit {limit} s)")
            assert took <= limit, command
