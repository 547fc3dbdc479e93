"""A share of a core for some processes, by a control group of Linux, version 1 or 2.

https://docs.kernel.org/scheduler/sched-bwc.html and https://docs.kernel.org/admin-guide/cgroup-v2.html (cpu.max). A
process in a group takes its children along.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bench.processor_time import spent

# Of version 1, and of version 2 where the controller is on for all groups, as systemd has it
_PLACES = (
    (Path("/sys/fs/cgroup/cpu"), "cpu.cfs_quota_us"),
    (Path("/sys/fs/cgroup/cpu,cpuacct"), "cpu.cfs_quota_us"),
    (Path("/sys/fs/cgroup"), "cpu.max"),
)
_PERIOD = 20_000  # microseconds: short, as a slower core would never stand still for long


class CoreShare:
    """Processes that may together use a share of a core."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @property
    def processes(self) -> list[int]:
        """Ids of the processes in the group."""
        return [int(one) for one in (self._folder / "cgroup.procs").read_text().split()]

    @property
    def spent(self) -> float:
        """CPU seconds so far of the processes in the group."""
        return spent(self.processes)

    def take(self, process: int) -> None:
        """Put a process into the group, and with it the children that it will have."""
        (self._folder / "cgroup.procs").write_text(f"{process}")

    def limit(self, cores: float) -> None:
        """Let the processes of the group use so many cores, such as 0.25, from now on."""
        quota = int(cores * _PERIOD)
        if (self._folder / "cpu.max").exists():
            (self._folder / "cpu.max").write_text(f"{quota} {_PERIOD}")
        else:
            (self._folder / "cpu.cfs_period_us").write_text(f"{_PERIOD}")
            (self._folder / "cpu.cfs_quota_us").write_text(f"{quota}")

    def end(self) -> None:
        """Kill what still runs in the group, and remove it."""
        until = time.monotonic() + 10
        while (running := self.processes) and time.monotonic() < until:
            for one in running:
                with suppress(ProcessLookupError):
                    os.kill(one, signal.SIGKILL)
            time.sleep(0.05)
        self._folder.rmdir()


@contextmanager
def core_share(name: str) -> Iterator[CoreShare | None]:
    """Make a group that is not limited yet, and end it with the block; None where no group can be made."""
    folder = _made(f"autoscribe-bench-{os.getpid()}-{name}")
    if folder is None:
        yield None
        return
    share = CoreShare(folder)
    try:
        yield share
    finally:
        share.end()


def _made(name: str) -> Path | None:
    for parent, file in _PLACES:
        folder = parent / name
        try:
            folder.mkdir()
        except OSError:
            continue
        if os.access(folder / file, os.W_OK):
            return folder
        folder.rmdir()
    return None
