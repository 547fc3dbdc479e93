"""`/livez`, `/readyz`, `/metrics`: what probes and Prometheus get."""

import asyncio
import threading

import httpx
import pytest
from fastapi import FastAPI
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from gateway.fhir_api.ops.health import Health
from gateway.fhir_api.ops.routes import Ops, RenderedMetrics, ops_routes
from gateway.runtime import clock
from gateway.runtime.metrics import Measured, Metrics


def served(health, metrics=None):
    metrics = metrics or Metrics()
    app = FastAPI(routes=ops_routes())
    app.add_middleware(Measured, metrics=metrics)
    app.state.ops = Ops(health, RenderedMetrics(metrics.registry), "1.0.0")
    return app


async def ask(app, path, method="GET"):
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1") as client:
        return await client.request(method, path)


def well():
    return Health("", False, 37)


def lost():
    return Health("store-lost")


async def test_it_is_alive_whatever_the_store_says():
    answer = await ask(served(lost), "/livez")
    assert (answer.status_code, answer.json()) == (200, {"status": "alive"})


async def test_it_is_ready_while_the_first_sweep_goes_on():
    answer = await ask(served(well), "/readyz")
    assert answer.status_code == 200
    assert answer.json()["index"] == {"complete": False, "percent": 37, "age_seconds": "unknown"}


async def test_a_store_that_takes_no_writes_is_not_ready():
    answer = await ask(served(lost), "/readyz")
    assert (answer.status_code, answer.json()["store"]["reason"]) == (503, "store-lost")


async def test_prometheus_reads_the_metrics_of_this_application_by_route():
    metrics = Metrics()
    app = served(well, metrics)
    await ask(app, "/readyz")
    answer = await ask(app, "/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    families = {one.name: one for one in text_string_to_metric_families(answer.text)}
    [counted] = [one for one in families["autoscribe_gateway_http_requests"].samples if one.name.endswith("_total")]
    assert (counted.labels, counted.value) == ({"route": "/readyz", "method": "GET", "status": "200"}, 1)


class Counted(Collector):
    """Collector that counts how often it is asked, and by which thread."""

    def __init__(self):
        self.threads = []

    def collect(self):
        self.threads.append(threading.get_ident())
        return iter(())


async def test_whoever_scrapes_the_metrics_together_they_are_rendered_once_a_second_and_off_the_loop(monkeypatch):
    now, counted = [100.0], Counted()
    monkeypatch.setattr(clock, "monotonic", lambda: now[0])
    rendered = RenderedMetrics(counted)
    for at in (100.0, 100.9, 101.0, 101.5):
        now[0] = at
        await asyncio.gather(*(rendered.text() for _ in range(30)))
    assert len(counted.threads) == 2
    assert threading.get_ident() not in counted.threads


async def test_a_scraper_that_leaves_takes_the_rendering_from_nobody_else():
    rendered = RenderedMetrics(Metrics().registry)
    leaving, staying = asyncio.ensure_future(rendered.text()), asyncio.ensure_future(rendered.text())
    await asyncio.sleep(0)
    leaving.cancel()
    assert b"autoscribe_gateway_log_lines_dropped_total" in await staying


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/metrics"])
async def test_they_are_read_and_never_written(path):
    assert (await ask(served(well), path, "HEAD")).status_code == 200
    assert (await ask(served(well), path, "POST")).status_code == 405
