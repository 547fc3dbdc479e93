"""`/livez`, `/readyz` and `/metrics`: for probes and for Prometheus.

https://kubernetes.io/docs/concepts/configuration/liveness-readiness-startup-probes/ (what each is for),
https://prometheus.io/docs/instrumenting/exposition_formats/ (the text of `/metrics`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, cast

from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gateway.log import get_logger
from gateway.metrics import ROUTE, Metrics
from gateway.ops.health import Health, readiness

PATIENCE: Final = 2.0
_FRESH: Final = {"Cache-Control": "no-store"}


@dataclass(frozen=True, slots=True)
class Ops:
    """What the routes need: who says how things stand, the metrics, the version of the gateway.

    `health` may raise or take long: after `patience` seconds the store counts as out of reach.
    """

    health: Callable[[], Awaitable[Health]]
    metrics: Metrics
    version: str
    patience: float = PATIENCE


def ops_routes() -> list[Route]:
    """The three routes; `app.state.ops` must be an `Ops`."""
    return [Route(path, _handler(path, answer)) for path, answer in _ANSWERS.items()]


def _handler(path: str, answer: Callable[[Ops], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
    async def handle(request: Request) -> Response:
        request.scope[ROUTE] = path
        return await answer(cast(Ops, request.app.state.ops))

    return handle


async def _alive(_: Ops) -> Response:
    return JSONResponse({"status": "alive"}, headers=_FRESH)


async def _ready(ops: Ops) -> Response:
    try:
        async with asyncio.timeout(ops.patience):
            health = await ops.health()
    except Exception as error:
        get_logger().error("readiness-unknown", exc_info=error)
        health = Health(is_store_reachable=False)
    status, said = readiness(health, ops.version)
    return JSONResponse(said, status, headers=_FRESH)


async def _metrics(ops: Ops) -> Response:
    return Response(generate_latest(ops.metrics.registry), headers=_FRESH, media_type=CONTENT_TYPE_PLAIN_0_0_4)


_ANSWERS: Final = {"/livez": _alive, "/readyz": _ready, "/metrics": _metrics}
