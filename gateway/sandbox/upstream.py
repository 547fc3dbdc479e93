"""The sandbox upstream: an AutoScribe look-alike that the vendor's own SDK works against.

AutoScribe REST API, state of November 2026 (`/reports`, `/studies`, `/users`, webhook `report.delivered`).
"""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Final

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware

from gateway.errors import ConfigError
from gateway.sandbox import control_api, reports_api, studies_api
from gateway.sandbox.answers import on_refusal
from gateway.sandbox.fault_plan import FaultLayer, FaultPlan, parse_faults
from gateway.sandbox.front import Front
from gateway.sandbox.links import ONE_HOUR, Links
from gateway.sandbox.seed import generate
from gateway.sandbox.state import State
from gateway.sandbox.switches import parse_switches
from gateway.sandbox.webhooks import Sender, Target

DEFAULT_PORT: Final = 8801
DEFAULT_API_KEY: Final = "sandbox-key"


@dataclass(frozen=True, slots=True)
class Options:
    """What the command `sandbox` can be told; `faults` and `switches` as they are written on the command line."""

    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    studies: int = 40
    seed: int = 1
    latency_ms: float = 0
    faults: tuple[str, ...] = ()
    switches: tuple[str, ...] = ()
    api_key: str = DEFAULT_API_KEY
    link_seconds: float = ONE_HOUR
    webhook: Target | None = None

    @property
    def base_url(self) -> str:
        """Where the sandbox can be reached; presigned URLs begin with it."""
        return f"http://{self.host}:{self.port}"


DEFAULTS: Final = Options()


def create_app(state: State, options: Options = DEFAULTS) -> Starlette:
    """The sandbox over an account; of the options, `studies`, `seed` and `switches` are the account's.

    Raises:
        ConfigError: a fault is not one there is.
    """
    plan = FaultPlan(parse_faults(options.faults), options.seed)
    links = Links(f"sandbox links {state.world.seed}".encode(), options.link_seconds)
    sender: Sender | None = None
    if options.webhook:
        sender = Sender(
            options.webhook, state.switches, state.world.seed, lambda one: options.base_url + links.path(one)
        )
        state.listeners.append(sender)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        if sender:
            await sender.close()

    app = Starlette(
        routes=[*reports_api.ROUTES, *studies_api.ROUTES, *control_api.ROUTES],
        middleware=[
            Middleware(FaultLayer, plan=plan),
            Middleware(Front, api_key=options.api_key, latency_ms=options.latency_ms, switches=state.switches),
        ],
        exception_handlers={HTTPException: on_refusal},
        lifespan=lifespan,
    )
    app.state.account, app.state.links, app.state.base_url, app.state.faults = state, links, options.base_url, plan
    app.state.cursors, app.state.used_cursors, app.state.sender = [], set(), sender
    return app


def open_sandbox(options: Options = DEFAULTS) -> tuple[Starlette, State]:
    """The application and its account for these options.

    Raises:
        ConfigError: a fault or a switch is not one there is.
    """
    state = State(generate(options.seed, options.studies), parse_switches(options.switches))
    return create_app(state, options), state


def listening_socket(host: str, port: int) -> socket.socket:
    """A socket that listens there; port 0 takes a free one.

    Raises:
        ConfigError: the address cannot be had.
    """
    try:
        return socket.create_server((host, port))
    except OSError as error:
        problem = f"cannot be listened on ({error.strerror})"
        raise ConfigError("--port", f"{host}:{port}", problem, "Stop what uses it or choose another --port.") from None


def server(app: Starlette) -> uvicorn.Server:
    """A quiet server for the application: `await serve(sockets=[…])` runs it until `should_exit` is set."""
    return uvicorn.Server(uvicorn.Config(app, log_level="critical", access_log=False, timeout_graceful_shutdown=1))


def run(options: Options = DEFAULTS) -> None:
    """Run the sandbox until it is interrupted.

    Raises:
        ConfigError: a fault or a switch is not one there is, or the address cannot be had.
    """
    listener = listening_socket(options.host, options.port)
    app, _ = open_sandbox(replace(options, port=listener.getsockname()[1]))
    server(app).run(sockets=[listener])
