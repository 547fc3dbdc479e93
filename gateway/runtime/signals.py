"""Signals that stop a process: wait for them, and hold them back while a new process starts.

https://man7.org/linux/man-pages/man7/signal.7.html: a new process inherits which signals are blocked.
Proved by tests/gateway/runtime/test_serving.py and tests/keeping_up/test_killed_start.py.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from multiprocessing.resource_tracker import ensure_running
from typing import Final

STOP_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


@asynccontextmanager
async def stop_signal() -> AsyncIterator[asyncio.Event]:
    """Yield an event that SIGINT and SIGTERM set while the block runs."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in STOP_SIGNALS:
        loop.add_signal_handler(number, stop.set)
    try:
        yield stop
    finally:
        for number in STOP_SIGNALS:
            loop.remove_signal_handler(number)


@contextmanager
def signals_held() -> Iterator[None]:
    """Block the stop signals while the block starts processes; a new process unblocks them by `take_signals`.

    Ctrl-C reaches all processes of a terminal, and Python answers it with a traceback while it still starts.
    """
    ensure_running()  # else the first process starts one more, which unblocks the signals
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def take_signals(action: signal.Handlers) -> None:
    """Call this at a stop signal from now on, in a process started under `signals_held`."""
    for number in STOP_SIGNALS:
        signal.signal(number, action)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
