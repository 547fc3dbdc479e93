"""CPU seconds that processes have used, from /proc.

https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html (utime, stime, cutime and cstime, fields 14 to 17, in ticks).
What a server spends does not depend on how busy the machine is, as the seconds of a clock do.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from fakes.server_processes import children

_TICKS = os.sysconf("SC_CLK_TCK")


def family(first: int) -> list[int]:
    """Return a process and all that it started, directly or not."""
    found = [first]
    for one in found:
        found += children(one)
    return found


def spent(processes: Iterable[int]) -> float:
    """Return the CPU seconds that these processes have used so far, all threads.

    A process that has ended counts as part of the one that started it.
    """
    ticks = 0
    for one in processes:
        with suppress(OSError):
            fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
            ticks += sum(map(int, fields[11:15]))
    return ticks / _TICKS
