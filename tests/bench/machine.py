"""Machine of the benchmarks: what it is, and who runs where: the gateway on one core, clients and databases on another.

https://man7.org/linux/man-pages/man2/sched_setaffinity.2.html: a process starts where the one that starts it runs.
"""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CORES = sorted(os.sched_getaffinity(0))
MEASURED, ASKING = CORES[0], CORES[-1]


def described() -> str:
    """Describe the machine in a line: its processor, the cores that may be used, its memory, kernel and Python."""
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"machine: {model[1] if model else platform.machine()}, {len(CORES)} cores, {memory:.0f} GB,"
        f" {platform.system()} {platform.release()}, Python {platform.python_version()}"
    )


def idle() -> float:
    """Return seconds so far for which cores had nothing to do, all cores together."""
    words = Path("/proc/stat").read_text().split(maxsplit=6)
    return (int(words[4]) + int(words[5])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def on_core(core: int) -> Iterator[None]:
    """Run on this core while the block runs."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
