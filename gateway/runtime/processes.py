"""Run the parts of the service as child processes of one parent; when one part ends, the parent ends all parts.

https://docs.python.org/3/library/multiprocessing.html#multiprocessing.Process; decision D46.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import wait
from multiprocessing.context import SpawnProcess
from typing import Any, Final, Protocol

from gateway.runtime.errors import ConfigError
from gateway.runtime.log import code_of, get_logger
from gateway.runtime.signals import signals_held, stop_signal, take_signals

_WRONG_SETTING: Final = 2  # exit code, as of every command
_GRACE: Final = 30.0  # seconds for a process to end, before it is killed


class Closable(Protocol):
    """Socket or pipe that a child process inherits."""

    def close(self) -> None:
        """Close it in this process."""


@dataclass(frozen=True, slots=True)
class ServicePart:
    """Part of the service: its name in the log, and the function that runs it with its arguments, as plain data.

    The function returns the exit code.
    """

    name: str
    run: Callable[..., int]
    given: tuple[Any, ...]


async def run_parts(parts: Sequence[ServicePart], handed_over: Sequence[Closable] = ()) -> int:
    """Run each part in a process of its own until SIGINT or SIGTERM, or until one of them ends.

    `handed_over` are sockets and pipes of the parts; this process closes its own ends. Return 0 after a signal, 2 if a
    part ended for a wrong setting, else 1.
    """
    spawn = multiprocessing.get_context("spawn")
    processes = [spawn.Process(target=_run, args=(one,), name=one.name) for one in parts]
    async with stop_signal() as stop:
        try:
            with signals_held():
                for process in processes:
                    process.start()
            for opened in handed_over:
                opened.close()
            ended = await _first_to_end(processes, stop)
        finally:
            await asyncio.to_thread(_end, processes)
    if ended is None:
        return 0
    get_logger().error("process-ended", action=ended.name, status=ended.exitcode)
    return _WRONG_SETTING if ended.exitcode == _WRONG_SETTING else 1


async def _first_to_end(processes: Sequence[SpawnProcess], stop: asyncio.Event) -> SpawnProcess | None:
    """Wait for the stop signal, or for a process that ends by itself; return that process."""
    loop, ended = asyncio.get_running_loop(), asyncio.Queue[SpawnProcess]()
    for process in processes:
        loop.add_reader(process.sentinel, ended.put_nowait, process)
    waits = [asyncio.create_task(stop.wait()), first := asyncio.create_task(ended.get())]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for process in processes:
            loop.remove_reader(process.sentinel)
        for task in waits:
            task.cancel()
    return None if stop.is_set() else first.result()


def _end(processes: Sequence[SpawnProcess]) -> None:
    started = [process for process in processes if process.pid is not None]
    for process in started:
        process.terminate()
    for process in started:
        process.join(_GRACE)
        if process.exitcode is None:
            process.kill()
            process.join()


def _run(part: ServicePart) -> None:
    """Run a part in its process. If the parent is gone, the part ends as by SIGTERM."""
    take_signals(signal.SIG_DFL)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        code = part.run(*part.given)
    except ConfigError as error:
        sys.stderr.write(f"{error}\n")
        code = _WRONG_SETTING
    except Exception as error:
        get_logger().error("process-failed", action=part.name, code=code_of(error), exc_info=error)
        code = 1
    sys.exit(code)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os.kill(os.getpid(), signal.SIGTERM)
