"""Start the demo's three servers on one event loop: sandbox (a simulated AutoScribe), gateway, MLLP listener.

Carries out no clause of a standard: it only starts parts of the other packages, on loopback.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, cast
from zoneinfo import ZoneInfo

from pydantic import SecretStr

from gateway.app import ConsolePages, create_app
from gateway.demo.orders import WORKFLOW, hospital_source, with_orders
from gateway.ingest.assembly import opened_store
from gateway.routing import Destination, routes_of
from gateway.runtime import clock
from gateway.runtime.serving import listening_socket, running
from gateway.sandbox.his_sender import HisSender
from gateway.sandbox.inbox import ReceivedMessage
from gateway.sandbox.people import FACILITIES
from gateway.sandbox.receiver import MllpReceiver
from gateway.sandbox.state import SandboxAccount
from gateway.sandbox.upstream import SandboxOptions, open_sandbox
from gateway.sandbox.webhooks import WebhookTarget
from gateway.settings import Configuration, Database, DestinationSettings, Server, Settings, Upstream, Webhook
from gateway.store.database.engine import Engine
from gateway.store.feed.plans import in_force_of
from gateway.upstream.client import UpstreamClient
from mappings.profile import AssigningAuthority, Facility, NameOrder, Site

HOST: Final = "127.0.0.1"
_MOMENT: Final = 0.05  # seconds


@dataclass(frozen=True, slots=True)
class Ports:
    """Ports of the three servers, and of the gateway's listener for orders; 0 takes a free port."""

    gateway: int = 8800
    sandbox: int = 8801
    mllp: int = 2575
    orders: int = 2576


@dataclass(frozen=True, slots=True)
class Stage:
    """Running parts of the demo: the sandbox's account and client, the gateway's settings and store, the listener.

    `his` is the sandbox's hospital. `console_url` signs somebody in to the console once; it is empty without a console.
    """

    account: SandboxAccount
    client: UpstreamClient
    configuration: Configuration
    engine: Engine
    receiver: MllpReceiver
    his: HisSender
    console_url: str = ""

    @property
    def fhir_base(self) -> str:
        """FHIR base of the gateway."""
        return self.configuration.settings.server.fhir_base

    @property
    def destination(self) -> Destination:
        """Destination of the gateway's feed that is the listener."""
        return routes_of(self.configuration).destinations[0]


def demo_site() -> Site:
    """Build site settings for the sandbox's facilities; one is left out on purpose and uses the first's MRN system."""
    known = [
        Facility(
            name=facility.name,
            time_zone=ZoneInfo(facility.time_zone),
            name_order=cast(NameOrder, facility.name_order),
            mrn=AssigningAuthority(facility.mrn_system, facility.mrn_namespace),
        )
        for facility in FACILITIES
        if facility.is_known
    ]
    return Site(
        facilities={facility.name: facility for facility in known},
        default_facility=known[0],
        sending_facility="SANDBOX",
        receiving_application="DEMO_EHR",
        receiving_facility="DEMO",
        processing_id="T",
    )


@asynccontextmanager
async def stage(
    ports: Ports, on_message: Callable[[ReceivedMessage], object], console: ConsolePages | None = None
) -> AsyncIterator[Stage]:
    """Start the three servers in the order of their dependencies; stop them in the opposite order.

    The sandbox also sends the orders of its studies.

    Raises:
        ConfigError: a port is in use.
    """
    async with AsyncExitStack() as stack:
        upstream_socket = stack.enter_context(listening_socket(HOST, ports.sandbox))
        gateway_socket = stack.enter_context(listening_socket(HOST, ports.gateway))
        receiver = await stack.enter_async_context(MllpReceiver(HOST, ports.mllp, on_message=on_message))
        port, key = gateway_socket.getsockname()[1], f"whsec_{secrets.token_hex(32)}"
        webhook = WebhookTarget(f"http://{HOST}:{port}/webhooks/autoscribe", key)
        with listening_socket(HOST, ports.orders) as free:
            orders_port = free.getsockname()[1]
        where = f"{HOST}:{orders_port}"
        options = SandboxOptions(
            host=HOST, port=upstream_socket.getsockname()[1], webhook=webhook, his=where, his_workflow=WORKFLOW
        )
        sandbox, account = open_sandbox(options, follows_clock=True)
        folder = Path(stack.enter_context(TemporaryDirectory()))
        settings = _settings(options, port, key, _listener(receiver.port, account.now()), folder)
        settings = settings.model_copy(update={"source": (hospital_source(orders_port),)})
        configuration = Configuration(settings, with_orders(demo_site()), "demo")
        await stack.enter_async_context(running(sandbox, upstream_socket))
        app = create_app(configuration, console=console)
        await stack.enter_async_context(running(app, gateway_socket))
        client = await stack.enter_async_context(UpstreamClient(settings.upstream, settings.pdf))
        engine = await stack.enter_async_context(opened_store(configuration))
        while await in_force_of(engine, settings.destination[0].name) is None:  # earlier signatures count as history
            await clock.sleep(_MOMENT)
        url = f"http://{HOST}:{port}{app.state.console_gate.one_time_word()}" if console is not None else ""
        yield Stage(account, client, configuration, engine, receiver, cast(HisSender, sandbox.state.his), url)


def _settings(
    options: SandboxOptions, port: int, webhook_key: str, destination: DestinationSettings, folder: Path
) -> Settings:
    """Build the demo's settings: no environment, which may name a real AutoScribe, and a temporary database."""
    return Settings.model_construct(
        upstream=Upstream(api_key=SecretStr(options.api_key), base_url=options.base_url),
        server=Server(host=HOST, port=port),
        webhook=Webhook(key=SecretStr(webhook_key)),
        database=Database(url=SecretStr(f"sqlite:///{folder / 'demo.db'}")),
        destination=(destination,),
    )


def _listener(port: int, start: datetime) -> DestinationSettings:
    """Build the destination of the listener; it gets reports signed from `start` on."""
    return DestinationSettings(
        name="demo", kind="mllp", host=HOST, port=port, receiver="generic", start=start, facilities=("*",)
    )
