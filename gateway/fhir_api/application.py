"""ASGI application of the gateway: the FHIR API below `/fhir`, and FastAPI for all other paths.

https://asgi.readthedocs.io/en/latest/specs/main.html.
Proved by tests/gateway/test_app.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from urllib.parse import urlsplit

from fastapi import FastAPI
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.fhir_api.facade import MOUNT
from gateway.fhir_api.http.compression import Compressed
from gateway.fhir_api.http.forwarded import TrustedProxies
from gateway.fhir_api.http.hosts import KnownHosts
from gateway.fhir_api.openapi.routes import openapi_routes
from gateway.fhir_api.ops.routes import ops_routes
from gateway.fhir_api.routes import fhir_app
from gateway.runtime.metrics import Measured, Metrics
from gateway.settings import Configuration


def application(
    configuration: Configuration,
    metrics: Metrics,
    lifespan: Callable[[FastAPI], AbstractAsyncContextManager[None]],
    *,
    serves_fhir: bool,
    more: Sequence[BaseRoute] = (),
) -> FastAPI:
    """Build the application, with `more` routes; without `serves_fhir`, it answers probes and metrics only.

    FastAPI's telemetry is off, since it would record exception texts and query strings.
    """
    public = urlsplit(configuration.settings.server.public_url or "").hostname
    names = [public] if public else []
    app = _Application(
        title="autoscribe-gateway",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
        telemetry={"logs": False, "tracing": False, "metrics": False, "operation_spans": False},
        lifespan=lifespan,
        routes=[*ops_routes(), *more, *(openapi_routes() if serves_fhir else ())],
    )
    app.serves_fhir = serves_fhir
    proxies = configuration.settings.server.trusted_proxies

    def around(inner: ASGIApp) -> ASGIApp:
        made = Measured(Compressed(KnownHosts(inner, names)), metrics)
        return TrustedProxies(made, proxies) if proxies else made

    app.around = around
    return app


class _Application(FastAPI):
    """FastAPI application that routes FHIR requests past FastAPI's own layers, which take a fifth of a read's time."""

    around: Callable[[ASGIApp], ASGIApp]
    serves_fhir: bool

    def build_middleware_stack(self) -> ASGIApp:
        """Build the stack: `around` wraps the facade (for paths below its base) and FastAPI (for all others)."""
        rest, below = super().build_middleware_stack(), f"{MOUNT}/"
        fhir = fhir_app() if self.serves_fhir else rest

        async def parted(scope: Scope, receive: Receive, send: Send) -> None:
            path = scope.get("path", "")
            is_fhir = path.startswith(below) or path == MOUNT
            await (fhir if is_fhir else rest)(scope, receive, send)

        return self.around(parted)
