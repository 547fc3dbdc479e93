"""Processes of the tests' PostgreSQL server, to freeze or kill.

https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html (the fourth field is the parent process)
"""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path

import asyncpg


async def processes(url: str) -> list[int]:
    """Return the server's first process, the parent of all others, followed by these."""
    connection = await asyncpg.connect(url)
    try:
        first = _parent(int(await connection.fetchval("SELECT pg_backend_pid()")))
    finally:
        await connection.close()
    return [first, *children(first)]


def children(first: int) -> list[int]:
    """Find the running children of a process."""
    running = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with suppress(OSError):  # it has just ended
                if _parent(int(folder.name)) == first:
                    running.append(int(folder.name))
    return running


def freeze(first: int) -> list[int]:
    """Stop a server with all its processes; return them."""
    os.kill(first, signal.SIGSTOP)  # from now on it starts no others
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
