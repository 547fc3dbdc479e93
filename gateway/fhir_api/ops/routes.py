"""Routes of `/livez`, `/readyz` and `/metrics`, for probes and Prometheus.

https://kubernetes.io/docs/concepts/configuration/liveness-readiness-startup-probes/ (purpose of each probe),
https://prometheus.io/docs/instrumenting/exposition_formats/ (format of `/metrics`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, cast

from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gateway.fhir_api.ops.health import Health, readiness
from gateway.runtime.metrics import ROUTE


@dataclass(frozen=True, slots=True)
class Ops:
    """Data for the routes: `health` (must read memory only), the metrics, and the gateway's version."""

    health: Callable[[], Health]
    metrics: Collector
    version: str


def ops_routes() -> list[Route]:
    """Build the three routes; `app.state.ops` must be an `Ops`."""
    return [Route(path, _handler(path, answer)) for path, answer in _ANSWERS.items()]


def _handler(path: str, answer: Callable[[Ops], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
    async def handle(request: Request) -> Response:
        request.scope[ROUTE] = path
        return await answer(cast(Ops, request.app.state.ops))

    return handle


async def _alive(_: Ops) -> Response:
    return JSONResponse({"status": "alive"})


async def _ready(ops: Ops) -> Response:
    status, body = readiness(ops.health(), ops.version)
    return JSONResponse(body, status)


async def _metrics(ops: Ops) -> Response:
    return Response(generate_latest(ops.metrics), media_type=CONTENT_TYPE_PLAIN_0_0_4)


_ANSWERS: Final = {"/livez": _alive, "/readyz": _ready, "/metrics": _metrics}
