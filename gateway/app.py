"""The composition root: the only place that puts the parts of the service together.

Carries out no clause of a standard: it wires, and decides nothing.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from fastapi import FastAPI
from starlette.routing import Mount, Route

from gateway import clock, log
from gateway.fhir_api.facade import MOUNT, Facade
from gateway.fhir_api.hosts import KnownHosts
from gateway.fhir_api.routes import fhir_app
from gateway.serving import listening_socket, running, stop_signal
from gateway.settings import Configuration, require_loopback, require_site_key
from gateway.store.seen import Seen
from gateway.sync.read_through import ReadThrough
from gateway.upstream.client import UpstreamClient


def create_app(configuration: Configuration) -> FastAPI:
    """The gateway as an ASGI application; its lifespan opens and closes the connections to AutoScribe.

    FastAPI's telemetry is off: it would record exception texts and query strings.

    Raises:
        ConfigError: there is no API key.
    """
    settings = configuration.settings
    client = UpstreamClient(settings.upstream, settings.pdf)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with client:
            seen = Seen(settings.cache.max_studies)
            reads = ReadThrough(client, seen, configuration.site)
            app.state.facade = Facade(client, seen, reads, clock.now(), settings.server.public_url)
            yield
            await reads.close()

    fhir = fhir_app()
    app = FastAPI(
        title="autoscribe-gateway",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
        telemetry={"logs": False, "tracing": False, "metrics": False, "operation_spans": False},
        lifespan=lifespan,
        routes=[Mount(MOUNT, fhir), Route(MOUNT, fhir)],
    )
    public = urlsplit(settings.server.public_url or "").hostname
    app.add_middleware(KnownHosts, names=[public] if public else [])
    return app


async def serve(configuration: Configuration) -> int:
    """Serve on `server.host` and `server.port` until SIGINT or SIGTERM, then let requests under way end.

    Raises:
        ConfigError: an address beyond this machine, no site key, no API key, or a port that cannot be had.
    """
    settings = configuration.settings
    require_loopback(settings.server.host)
    require_site_key(configuration)
    log.configure(settings.log.level, settings.log.format)
    app = create_app(configuration)
    with listening_socket(settings.server.host, settings.server.port) as listener:
        async with stop_signal() as stop, running(app, listener):
            host, port = listener.getsockname()[:2]
            base = f"http://{f'[{host}]' if ':' in host else host}:{port}{MOUNT}"
            log.get_logger().info("serving", fhir_base=settings.server.public_url or base, stored="nothing-yet")
            await stop.wait()
    log.get_logger().info("stopped")
    return 0
