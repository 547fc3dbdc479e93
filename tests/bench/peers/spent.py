"""CPU seconds that processes have used, from /proc, and the requests that make a server use them.

https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html (utime and stime, fields 14 and 15, in ticks). What a server
spends does not depend on how busy the machine is, as the seconds of a clock do.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

from fakes.server_processes import children

CONNECTIONS = 4
_TICKS = os.sysconf("SC_CLK_TCK")


def family(first: int) -> list[int]:
    """Return a process and all that it started, directly or not."""
    found = [first]
    for one in found:
        found += children(one)
    return found


def spent(processes: Iterable[int]) -> float:
    """Return the CPU seconds that these processes have used so far, all threads; one that has ended counts none."""
    ticks = 0
    for one in processes:
        with suppress(OSError):
            fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
    return ticks / _TICKS


def ask(base: str, targets: Sequence[str], headers: Mapping[str, str]) -> list[int]:
    """Ask for each target below the base over some connections at once; return the sizes of the bodies.

    Raises:
        AssertionError: an answer is not a 200.
    """
    url, sizes, faults = urlsplit(base), [0] * len(targets), list[str]()

    def work(first: int) -> None:
        connection = HTTPConnection(url.hostname or "", url.port, timeout=60)
        for place in range(first, len(targets), CONNECTIONS):
            connection.request("GET", f"{url.path}/{targets[place]}", headers=dict(headers))
            answer = connection.getresponse()
            sizes[place] = len(answer.read())
            if answer.status != 200:
                faults.append(f"{answer.status} {targets[place]}")
        connection.close()

    threads = [threading.Thread(target=work, args=(one,)) for one in range(CONNECTIONS)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert not faults, faults[:3]
    return sizes
