"""Serve an ASGI application on a socket, inside an event loop that the caller runs.

Carries out no clause of a standard: uvicorn does the work; this module keeps it quiet and stops it in order.
"""

from __future__ import annotations

import asyncio
import copy
import os
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypeVar

import uvicorn
import uvloop

from gateway.runtime import clock
from gateway.runtime.errors import ConfigError, GatewayError
from gateway.runtime.http_connection import KEEP_ALIVE, Acceptor, Connections, LimitedHttp
from gateway.runtime.log import UVICORN

Result = TypeVar("Result")
Tls = Callable[[], ssl.SSLContext]
GRACE: Final = 1
_MOST_BESIDE: Final = 64  # connections of the second listener
_CLEANING: Final = 5.0  # seconds for cancelled requests to end
_NOT_STARTED: Final = ("server", "start", "the application did not start", "See the lines before this one.")


@dataclass(frozen=True, slots=True)
class Beside:
    """Application on a second listener without TLS; its own connections stay free when the main listener is crowded."""

    app: Any
    listener: socket.socket


class _Served:
    """ASGI layer that keeps the error which stopped the application at its start; uvicorn does not report it.

    At the end it waits for the requests that uvicorn cancelled: they may still have to write to the store.
    """

    def __init__(self, app: Any) -> None:
        self._app = app
        self._under_way = 0
        self.error: GatewayError | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Pass everything on, but the end of the application only when no request is under way."""
        if scope["type"] != "lifespan":
            self._under_way += 1
            try:
                await self._app(scope, receive, send)
            finally:
                self._under_way -= 1
            return

        async def received() -> Any:
            message = await receive()
            if message["type"] == "lifespan.shutdown":
                await self._all_ended()
            return message

        try:
            await self._app(scope, received, send)
        except GatewayError as error:
            self.error = error
            raise

    async def _all_ended(self) -> None:
        until = clock.monotonic() + _CLEANING
        while self._under_way and clock.monotonic() < until:
            await clock.sleep(0.01)


class _Server(uvicorn.Server):
    """Server that leaves signals to the caller's event loop, and accepts connections through an `Acceptor`."""

    def __init__(
        self,
        config: uvicorn.Config,
        listener: socket.socket,
        connections: Connections,
        tls: Tls | None,
        beside: Beside | None,
    ) -> None:
        super().__init__(config)
        self._listener, self._connections, self._tls, self._beside = listener, connections, tls, beside

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            await super().startup([])
        except SystemExit:
            raise ConfigError(*_NOT_STARTED) from None
        self.servers = [self._acceptor(self.config, self._listener, self._connections, self._tls)]
        if self._beside is not None:
            config = copy.copy(self.config)
            config.loaded_app = self._beside.app
            self.servers.append(self._acceptor(config, self._beside.listener, Connections(_MOST_BESIDE), None))

    def _acceptor(
        self, config: uvicorn.Config, listener: socket.socket, connections: Connections, tls: Tls | None
    ) -> Any:
        """Accept connections to one socket; uvicorn closes it as a server of its own."""
        protocol = partial(LimitedHttp, connections, config, self.server_state, self.lifespan.state)
        return Acceptor(listener, protocol, connections, tls)


def listening_socket(host: str, port: int) -> socket.socket:
    """Return a socket that listens there; port 0 takes a free one.

    Raises:
        ConfigError: the address cannot be used.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host.strip("[]"), port), family=family)
    except OSError as error:
        problem = f"cannot be listened on ({os.strerror(error.errno or 0)})"
        remedy = "Stop what uses it, or choose another port; --help names the option."
        raise ConfigError("port", f"{host}:{port}", problem, remedy) from None
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # without delay for the client's ACK
    return listener


def url_of(listener: socket.socket, scheme: str) -> str:
    """Return the URL of a listening socket, without a path."""
    host, port = listener.getsockname()[:2]
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"


@asynccontextmanager
async def running(
    app: Any,
    listener: socket.socket,
    connections: Connections | None = None,
    tls: Tls | None = None,
    beside: Beside | None = None,
) -> AsyncIterator[asyncio.Future[None]]:
    """Serve the application on that socket while the block runs; requests under way get a few seconds to end.

    `connections` sets the limits of connections, and counts what they refuse. `tls` is as for `Acceptor`. `beside` is
    served on the same loop.

    The future is done if the server ends before the block does.

    Raises:
        ConfigError: the application did not start.
        GatewayError: the application's own error at its start.
    """
    served = _Served(app)
    config = uvicorn.Config(
        served,
        server_header=False,
        proxy_headers=False,
        ws="none",
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=GRACE,
        **UVICORN,
    )
    server = _Server(config, listener, connections or Connections(), tls, beside)
    task = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        while not server.started:
            if task.done():
                await _why(task, served)
            await asyncio.sleep(0.005)
        yield task
    finally:
        server.should_exit = True
        await asyncio.gather(task, return_exceptions=True)


def run_answering(work: Coroutine[Any, Any, Result]) -> Result:
    """Run work that answers requests, as `asyncio.run` does, on a loop of uvloop: a request costs less processor time.

    Nothing that sends over MLLP may run here. This loop hands bytes to the network at the end of a turn, and a permit
    must be checked in the same step (D33).
    """
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)


@asynccontextmanager
async def running_apart(
    app: Any,
    listener: socket.socket,
    connections: Connections | None = None,
    tls: Tls | None = None,
    beside: Beside | None = None,
) -> AsyncIterator[asyncio.Future[None]]:
    """Serve as `running` does, but on an event loop in a thread of its own, so that neither loop delays the other.

    Raises:
        ConfigError: the application did not start.
        GatewayError: the application's own error at its start.
    """
    here = asyncio.get_running_loop()
    started: asyncio.Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = here.create_future()

    async def there() -> None:
        stop = asyncio.Event()
        async with running(app, listener, connections, tls, beside) as server:
            here.call_soon_threadsafe(started.set_result, (asyncio.get_running_loop(), stop))
            await until(stop, server)

    with ThreadPoolExecutor(1, thread_name_prefix="answering") as thread:
        serving = here.run_in_executor(thread, run_answering, there())
        await asyncio.wait((started, serving), return_when=asyncio.FIRST_COMPLETED)
        if not started.done():
            await serving
        loop, stop = await started
        try:
            yield serving
        finally:
            with suppress(RuntimeError):  # the loop ended
                loop.call_soon_threadsafe(stop.set)
            await asyncio.gather(serving, return_exceptions=True)


async def until(stop: asyncio.Event, server: asyncio.Future[None]) -> None:
    """Wait until the event is set.

    Raises:
        Exception: the error that ended the server before.
    """
    waiting = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait((waiting, server), return_when=asyncio.FIRST_COMPLETED)
        if not waiting.done():
            await server
    finally:
        waiting.cancel()


async def _why(task: asyncio.Task[None], served: _Served) -> None:
    """Raise the error that stopped the application at its start."""
    try:
        await task
    except ConfigError:
        raise served.error or ConfigError(*_NOT_STARTED) from None
