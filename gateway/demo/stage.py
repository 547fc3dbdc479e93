"""Everything the demo needs, on one machine and one event loop: sandbox upstream, gateway, MLLP listener.

Carries out no clause of a standard: it only starts what the other packages hold, on loopback.
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

from gateway.app import create_app
from gateway.ingest.assembly import opened_store
from gateway.routing import Destination, routes_of
from gateway.runtime import clock
from gateway.runtime.serving import listening_socket, running
from gateway.sandbox.inbox import ReceivedMessage
from gateway.sandbox.people import FACILITIES
from gateway.sandbox.receiver import MllpReceiver
from gateway.sandbox.state import SandboxAccount
from gateway.sandbox.upstream import Options, open_sandbox
from gateway.sandbox.webhooks import Target
from gateway.settings import Configuration, Database, DestinationSettings, Server, Settings, Upstream, Webhook
from gateway.store.database.engine import Engine
from gateway.store.feed.in_force import in_force_of
from gateway.upstream.client import UpstreamClient
from mappings.profile import AssigningAuthority, Facility, NameOrder, Site

HOST: Final = "127.0.0.1"
_MOMENT: Final = 0.05  # seconds


@dataclass(frozen=True, slots=True)
class Ports:
    """Where the three listen; 0 takes a free port."""

    gateway: int = 8800
    sandbox: int = 8801
    mllp: int = 2575


@dataclass(frozen=True, slots=True)
class Stage:
    """What runs: the sandbox's account and a client of it, the gateway's settings and store, the listener."""

    account: SandboxAccount
    client: UpstreamClient
    configuration: Configuration
    engine: Engine
    receiver: MllpReceiver

    @property
    def fhir_base(self) -> str:
        """The gateway's FHIR base."""
        return self.configuration.settings.server.fhir_base

    @property
    def destination(self) -> Destination:
        """The listener, as the gateway's feed knows it."""
        return routes_of(self.configuration).destinations[0]


def demo_site() -> Site:
    """The sandbox's facilities as a site would describe them; one is left out, as happens, and has the first's MRNs."""
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
async def stage(ports: Ports, on_message: Callable[[ReceivedMessage], object]) -> AsyncIterator[Stage]:
    """Start all three, in the order in which they need each other; stop them in the opposite order.

    Raises:
        ConfigError: a port cannot be had.
    """
    async with AsyncExitStack() as stack:
        upstream_socket = stack.enter_context(listening_socket(HOST, ports.sandbox))
        gateway_socket = stack.enter_context(listening_socket(HOST, ports.gateway))
        receiver = await stack.enter_async_context(MllpReceiver(HOST, ports.mllp, on_message=on_message))
        port, key = gateway_socket.getsockname()[1], f"whsec_{secrets.token_hex(32)}"
        webhook = Target(f"http://{HOST}:{port}/webhooks/autoscribe", key)
        options = Options(host=HOST, port=upstream_socket.getsockname()[1], webhook=webhook)
        sandbox, account = open_sandbox(options, follows_clock=True)
        folder = Path(stack.enter_context(TemporaryDirectory()))
        settings = _settings(options, port, key, _listener(receiver.port, account.now()), folder)
        configuration = Configuration(settings, demo_site(), "demo")
        await stack.enter_async_context(running(sandbox, upstream_socket))
        await stack.enter_async_context(running(create_app(configuration), gateway_socket))
        client = await stack.enter_async_context(UpstreamClient(settings.upstream, settings.pdf))
        engine = await stack.enter_async_context(opened_store(configuration))
        while await in_force_of(engine, settings.destination[0].name) is None:  # before that all is history
            await clock.sleep(_MOMENT)
        yield Stage(account, client, configuration, engine, receiver)


def _settings(
    options: Options, port: int, webhook_key: str, destination: DestinationSettings, folder: Path
) -> Settings:
    """The demo's own settings: nothing of the environment may send it to a real AutoScribe, nothing is left behind."""
    return Settings.model_construct(
        upstream=Upstream(api_key=SecretStr(options.api_key), base_url=options.base_url),
        server=Server(host=HOST, port=port),
        webhook=Webhook(key=SecretStr(webhook_key)),
        database=Database(url=SecretStr(f"sqlite:///{folder / 'demo.db'}")),
        destination=(destination,),
    )


def _listener(port: int, start: datetime) -> DestinationSettings:
    """The destination, which is sent what is signed from then on."""
    return DestinationSettings(
        name="demo", kind="mllp", host=HOST, port=port, receiver="generic", start=start, facilities=("*",)
    )
