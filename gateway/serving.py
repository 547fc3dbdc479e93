"""Serves an ASGI application on a socket, inside a loop that belongs to somebody else.

Carries out no clause of a standard: uvicorn does the work, this only keeps it quiet and stops it in good order.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final

import uvicorn

from gateway.errors import ConfigError
from gateway.log import UVICORN

GRACE: Final = 1
STOP_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


class _Server(uvicorn.Server):
    """Leaves the signals to whoever runs the loop."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            await super().startup(sockets)
        except SystemExit:
            problem, remedy = "the application did not start", "See the lines before this one."
            raise ConfigError("server", "start", problem, remedy) from None


def listening_socket(host: str, port: int) -> socket.socket:
    """A socket that listens there; port 0 takes a free one.

    Raises:
        ConfigError: the address cannot be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host.strip("[]"), port), family=family)
    except OSError as error:
        problem = f"cannot be listened on ({os.strerror(error.errno or 0)})"
        remedy = "Stop what uses it, or choose another port; --help names the option."
        raise ConfigError("port", f"{host}:{port}", problem, remedy) from None


@asynccontextmanager
async def running(app: Any, listener: socket.socket) -> AsyncIterator[None]:
    """Serve the application on that socket while the block runs; requests under way get a few seconds to end.

    Raises:
        ConfigError: the application did not start.
    """
    config = uvicorn.Config(app, server_header=False, timeout_graceful_shutdown=GRACE, **UVICORN)
    server = _Server(config)
    task = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        while not server.started:
            if task.done():
                await task
            await asyncio.sleep(0.005)
        yield
    finally:
        server.should_exit = True
        await asyncio.gather(task, return_exceptions=True)


@asynccontextmanager
async def stop_signal() -> AsyncIterator[asyncio.Event]:
    """An event that SIGINT and SIGTERM set while the block runs."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in STOP_SIGNALS:
        loop.add_signal_handler(number, stop.set)
    try:
        yield stop
    finally:
        for number in STOP_SIGNALS:
            loop.remove_signal_handler(number)
