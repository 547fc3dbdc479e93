"""CPU placement for benchmarks: the gateway on one core, clients and databases on another.

https://man7.org/linux/man-pages/man2/sched_setaffinity.2.html: a process starts where the one that starts it runs.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

CORES = sorted(os.sched_getaffinity(0))
MEASURED, ASKING = CORES[0], CORES[-1]


@contextmanager
def on_core(core: int) -> Iterator[None]:
    """Run on this core while the block runs."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
