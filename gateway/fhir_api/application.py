"""ASGI application of the gateway: the FHIR API below `/fhir`, and FastAPI for all other paths.

https://asgi.readthedocs.io/en/latest/specs/main.html.
Proved by tests/gateway/test_app.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any
from urllib.parse import urlsplit

from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.datastructures import State
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.auth.bearer import BearerGate
from gateway.auth.smart_configuration import SmartConfiguration
from gateway.auth.token_endpoint import auth_routes
from gateway.fhir_api.audit.audited import refusal
from gateway.fhir_api.facade import is_fhir
from gateway.fhir_api.http.compression import Compressed
from gateway.fhir_api.http.perimeter import KnownHosts, ListedOrigins, SafeHeaders, TrustedProxies
from gateway.fhir_api.openapi.routes import openapi_routes
from gateway.fhir_api.ops.routes import ops_routes
from gateway.fhir_api.routes import fhir_app
from gateway.runtime.metrics import Measured, Metrics
from gateway.settings import Configuration, Settings

Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]


def application(
    configuration: Configuration,
    metrics: Metrics,
    lifespan: Lifespan,
    *,
    serves_fhir: bool,
    more: Sequence[BaseRoute] = (),
) -> Application:
    """Build the application, with `more` routes; without `serves_fhir`, it answers probes and metrics only.

    With authentication only a valid token opens it, and `app.state.auth` must be an `Authentication`. Its part
    `management` answers probes and metrics on a listener of its own (`server.management_listen`).

    FastAPI's telemetry is off, since it would record exception texts and query strings.
    """
    server = configuration.settings.server
    app = Application(
        title="autoscribe-gateway",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
        telemetry={"logs": False, "tracing": False, "metrics": False, "operation_spans": False},
        lifespan=lifespan,
        routes=[
            *(() if server.management_listen else ops_routes()),
            *more,
            *(_api_routes(configuration.settings) if serves_fhir else ()),
        ],
    )
    app.state = _PlainState()
    app.serves_fhir = serves_fhir
    probed = Starlette(routes=ops_routes())
    probed.state = app.state
    app.management = Measured(SafeHeaders(probed, revalidates=False), metrics)
    proxies = server.trusted_proxies

    def around(inner: ASGIApp) -> ASGIApp:
        made = Measured(_guarded(inner, configuration.settings), metrics)
        return TrustedProxies(made, proxies) if proxies else made

    app.around = around
    return app


def _api_routes(settings: Settings) -> list[Route]:
    return [*openapi_routes(), *(auth_routes() if settings.auth.is_builtin else ())]


def _guarded(app: ASGIApp, settings: Settings) -> ASGIApp:
    """Wrap the application in its middleware: bearer gate, CORS, compression, host check, proxies."""
    server = settings.server
    public = urlsplit(server.public_url or "").hostname
    if settings.auth.needs_token:
        app = BearerGate(app, SmartConfiguration(app), refusal)
    if server.cors_origins:
        app = ListedOrigins(app, server.cors_origins)
    app = Compressed(KnownHosts(app, [public] if public else []))
    return SafeHeaders(app, revalidates=server.revalidation)


class _PlainState(State):
    """State with plain attributes, for speed: Starlette's own looks each one up in Python, several times a request."""

    def __setattr__(self, key: str, value: Any) -> None:
        """Set an attribute of this object."""
        object.__setattr__(self, key, value)


class Application(FastAPI):
    """FastAPI application that routes FHIR requests past FastAPI's own layers, which take a fifth of a read's time."""

    around: Callable[[ASGIApp], ASGIApp]
    serves_fhir: bool
    management: ASGIApp

    def build_middleware_stack(self) -> ASGIApp:
        """Build the stack: `around` wraps the facade (for paths below its base) and FastAPI (for all others)."""
        rest = super().build_middleware_stack()
        fhir = fhir_app() if self.serves_fhir else rest

        async def parted(scope: Scope, receive: Receive, send: Send) -> None:
            await (fhir if "path" in scope and is_fhir(scope) else rest)(scope, receive, send)

        return self.around(parted)
