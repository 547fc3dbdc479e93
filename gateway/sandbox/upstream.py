"""Assemble and run the sandbox, an AutoScribe look-alike: options, routes, middleware for faults, webhooks.

AutoScribe REST API, state of November 2026 (`/reports`, `/studies`, `/users`, webhook `report.delivered`).
Proved by tests/gateway/sandbox/test_vendor_sdk.py and tests/gateway/sandbox/test_api.py.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Final

from starlette.applications import Starlette
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.runtime import clock
from gateway.runtime.command_words import SANDBOX_API_KEY, SANDBOX_PORT
from gateway.runtime.loops import alongside
from gateway.runtime.serving import listening_socket, running
from gateway.runtime.signals import stop_signal
from gateway.sandbox import control_api, reports_api, studies_api
from gateway.sandbox.answers import error_response, on_refusal
from gateway.sandbox.fault_plan import FaultLayer, FaultPlan, parse_faults
from gateway.sandbox.faults import API, STORAGE
from gateway.sandbox.his_sender import HisSender, his_endpoint
from gateway.sandbox.links import ONE_HOUR, Links
from gateway.sandbox.seed import generate
from gateway.sandbox.state import SandboxAccount
from gateway.sandbox.switches import Switches, parse_switches
from gateway.sandbox.webhooks import WebhookSender, WebhookTarget

REQUEST_ID: Final = "x-request-id"


class RequestGate:
    """ASGI middleware: waits for the latency (ms), then answers 401 for a wrong key and 429 over the rate limit."""

    def __init__(self, app: ASGIApp, api_key: str, latency_ms: float, switches: Switches) -> None:
        self.app, self.latency, self.switches = app, latency_ms / 1000, switches
        self._authorization = f"Bearer {api_key}".encode()
        self._rate = 0 if switches.rate_limit == "none" else int(switches.rate_limit)
        self._window, self._in_window, self._count = 0, 0, 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse the request, or pass it on."""
        path = scope.get("path", "")
        if scope["type"] != "http" or not path.startswith((API, STORAGE)):
            await self.app(scope, receive, send)
            return
        self._count += 1
        number = self._count
        if self.latency:
            await clock.sleep(self.latency)

        async def numbered(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)[REQUEST_ID] = f"req_{number:08d}"
            await send(message)

        answer = self._refused(scope) if path.startswith(API) else None
        await (answer or self.app)(scope, receive, numbered)

    def _refused(self, scope: Scope) -> Response | None:
        given = Headers(scope=scope).get("authorization", "").encode()
        if not secrets.compare_digest(given, self._authorization):
            return error_response(401, "no key, or not the right one", self.switches)
        if self._rate and self._is_over():
            answer = error_response(429, "too many requests", self.switches)
            answer.headers["retry-after"] = "1"
            return answer
        return None

    def _is_over(self) -> bool:
        window = int(clock.monotonic())
        if window != self._window:
            self._window, self._in_window = window, 0
        self._in_window += 1
        return self._in_window > self._rate


@dataclass(frozen=True, slots=True)
class SandboxOptions:
    """Options of the command `sandbox`; `faults`, `switches` and `his` as written on the command line.

    `his_workflow` names the workflow of studies that are signed while it runs; it is drawn if empty.
    """

    host: str = "127.0.0.1"
    port: int = SANDBOX_PORT
    studies: int = 40
    seed: int = 1
    latency_ms: float = 0
    faults: tuple[str, ...] = ()
    switches: tuple[str, ...] = ()
    api_key: str = SANDBOX_API_KEY
    link_seconds: float = ONE_HOUR
    webhook: WebhookTarget | None = None
    his: str = ""
    his_workflow: str = ""

    @property
    def base_url(self) -> str:
        """Base URL of the sandbox; presigned URLs in its webhooks begin with it."""
        return f"http://{self.host}:{self.port}"


DEFAULTS: Final = SandboxOptions()


def create_app(state: SandboxAccount, options: SandboxOptions = DEFAULTS, his: HisSender | None = None) -> Starlette:
    """Build the sandbox application for an account; `studies`, `seed` and `switches` of the options are the account's.

    `his` is the look-alike of the hospital's system, which sends while the application runs.

    Raises:
        ConfigError: a fault is unknown or malformed.
    """
    plan = FaultPlan(parse_faults(options.faults), options.seed)
    links = Links(f"sandbox links {state.world.seed}".encode(), options.link_seconds)
    sender: WebhookSender | None = None
    if options.webhook:
        sender = WebhookSender(
            options.webhook, state.switches, state.world.seed, lambda one: options.base_url + links.path(one)
        )
        state.listeners.append(sender)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with alongside([his.run()] if his else []):
            yield
        if sender:
            await sender.close()

    app = Starlette(
        routes=[*reports_api.ROUTES, *studies_api.ROUTES, *control_api.ROUTES],
        middleware=[
            Middleware(FaultLayer, plan=plan),
            Middleware(RequestGate, api_key=options.api_key, latency_ms=options.latency_ms, switches=state.switches),
        ],
        exception_handlers={HTTPException: on_refusal},
        lifespan=lifespan,
    )
    app.state.account, app.state.links, app.state.faults, app.state.sender = state, links, plan, sender
    app.state.cursors, app.state.used_cursors, app.state.his = [], set(), his
    return app


def open_sandbox(
    options: SandboxOptions = DEFAULTS, *, follows_clock: bool = False
) -> tuple[Starlette, SandboxAccount]:
    """Build the application and its account for these options.

    Raises:
        ConfigError: a fault, a switch or the listener of `his` is unknown or malformed.
    """
    world, his = generate(options.seed, options.studies), None
    if options.his:
        his = HisSender(his_endpoint(options.his), options.seed, workflow=options.his_workflow)
        world = his.told_of(world)
    state = SandboxAccount(world, parse_switches(options.switches), follows_clock=follows_clock)
    state.number_new = his.told_of_new if his else None
    return create_app(state, options, his), state


async def run(options: SandboxOptions = DEFAULTS, show: Callable[[str], object] = print) -> None:
    """Run the sandbox until SIGINT or SIGTERM.

    Raises:
        ConfigError: a fault or a switch is unknown or malformed, or the address is in use.
    """
    with listening_socket(options.host, options.port) as listener:
        bound = replace(options, port=listener.getsockname()[1])
        app, _ = open_sandbox(bound, follows_clock=True)
        async with stop_signal() as stop, running(app, listener):
            show(f"sandbox AutoScribe on {bound.base_url}, key {bound.api_key}. Ctrl-C stops.")
            if bound.his:
                show(f"orders, visits and merges to {bound.his}; what is true: {bound.base_url}/sandbox/his")
            await stop.wait()
