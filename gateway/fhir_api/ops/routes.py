"""Routes of `/livez`, `/readyz` and `/metrics`, for probes and Prometheus.

https://kubernetes.io/docs/concepts/configuration/liveness-readiness-startup-probes/ (purpose of each probe),
https://prometheus.io/docs/instrumenting/exposition_formats/ (format of `/metrics`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, cast

from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gateway.fhir_api.ops.health import Health, readiness
from gateway.runtime import clock
from gateway.runtime.metrics import PREFIX, ROUTE

EVERY: Final = 1.0  # seconds


class RenderedMetrics:
    """Text of the metrics, rendered in a thread at most once a second, since anybody may ask as often as they like."""

    def __init__(self, metrics: Collector) -> None:
        self._metrics = metrics
        self._rendering: asyncio.Task[bytes] | None = None
        self._begun = 0.0

    async def text(self) -> bytes:
        """Return the metrics of at most a second ago; requests at the same time share one rendering."""
        if self._rendering is None or (self._rendering.done() and clock.monotonic() - self._begun >= EVERY):
            self._begun = clock.monotonic()
            self._rendering = asyncio.create_task(asyncio.to_thread(generate_latest, self._metrics))
        return await asyncio.shield(self._rendering)

    def alerts(self) -> set[tuple[str, str]]:
        """Return code and destination of each alert that holds by the metrics, those among them that no store keeps."""
        families = (one for one in self._metrics.collect() if one.name == f"{PREFIX}feed_alert")
        samples = (sample for family in families for sample in family.samples if sample.value > 0)
        return {(sample.labels["code"], sample.labels["destination"]) for sample in samples}


@dataclass(frozen=True, slots=True)
class Ops:
    """Data for the routes: `health` (must read memory only), the metrics, and the gateway's version."""

    health: Callable[[], Health]
    metrics: RenderedMetrics
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
    return Response(await ops.metrics.text(), media_type=CONTENT_TYPE_PLAIN_0_0_4)


_ANSWERS: Final = {"/livez": _alive, "/readyz": _ready, "/metrics": _metrics}
