"""Assemble and run the sandbox, an AutoScribe look-alike: options, routes, middleware for faults, webhooks.

AutoScribe REST API, state of November 2026 (`/reports`, `/studies`, `/users`, webhook `report.delivered`).
Proved by tests/gateway/sandbox/test_vendor_sdk.py.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware

from gateway.runtime.loops import alongside
from gateway.runtime.serving import listening_socket, running
from gateway.runtime.signals import stop_signal
from gateway.runtime.words import SANDBOX_API_KEY, SANDBOX_PORT
from gateway.sandbox import control_api, reports_api, studies_api
from gateway.sandbox.answers import on_refusal
from gateway.sandbox.fault_plan import FaultLayer, FaultPlan, parse_faults
from gateway.sandbox.front import RequestGate
from gateway.sandbox.his_sender import HisSender, his_endpoint
from gateway.sandbox.links import ONE_HOUR, Links
from gateway.sandbox.seed import generate
from gateway.sandbox.state import SandboxAccount
from gateway.sandbox.switches import parse_switches
from gateway.sandbox.webhooks import WebhookSender, WebhookTarget


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
