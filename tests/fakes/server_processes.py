"""The processes of a PostgreSQL server of the tests' own, to be frozen or killed as a machine would.

https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html (the process of a parent is the fourth field)
"""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path

import asyncpg


async def processes(url: str) -> list[int]:
    """The server's first process, which is the parent of all others, and those."""
    connection = await asyncpg.connect(url)
    try:
        first = _parent(int(await connection.fetchval("SELECT pg_backend_pid()")))
    finally:
        await connection.close()
    return [first, *children(first)]


def children(first: int) -> list[int]:
    """The processes that a process has started and that still run."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with suppress(OSError):  # it has just ended
                if _parent(int(folder.name)) == first:
                    found.append(int(folder.name))
    return found


def freeze(first: int) -> list[int]:
    """Stop a server with all its processes where they are; which."""
    os.kill(first, signal.SIGSTOP)  # it starts no others from now on
    stopped = children(first)
    for one in stopped:
        os.kill(one, signal.SIGSTOP)
    return [first, *stopped]


def signal_all(those: list[int], number: int) -> None:
    """Send a signal to each that still runs."""
    for one in those:
        with suppress(ProcessLookupError):
            os.kill(one, number)


def _parent(process: int) -> int:
    return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])
