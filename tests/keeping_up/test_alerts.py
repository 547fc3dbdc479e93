"""Decision D38: alerts are posted once, also over restarts; those about the database within 60 s, without using it.

https://www.postgresql.org/docs/current/server-shutdown.html, https://man7.org/linux/man-pages/man2/getrlimit.2.html
"""

from __future__ import annotations

import asyncio
import resource
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from fakes.cluster import binaries, cluster
from fakes.feed_process import place_of
from fakes.feed_site import destination
from fakes.gateway_process import Running, environment, site_file, started
from fakes.server_processes import freeze, processes, signal_all
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.runtime import clock
from gateway.runtime.serving import listening_socket, running
from gateway.store.feed.leases import paused, resumed

NOWHERE = "http://127.0.0.1:1"
SERVE = ["serve", "--port", "0", "--roles", "api,feed"]


@dataclass
class Watched:
    """A gateway in its own process, and the alerts that it posted."""

    gateway: Running
    client: httpx.AsyncClient
    alerts: list[dict[str, Any]]

    async def ready(self) -> tuple[int, dict[str, Any]]:
        """Return the answer of `/readyz`, which must come at once."""
        answer = await self.client.get("/readyz", timeout=3.0)
        return answer.status_code, answer.json()["store"]

    async def until_ready(self, status: int, seconds: float) -> dict[str, Any]:
        """Wait until `/readyz` answers with that status, within so many seconds; return its entry about the store."""
        begun = clock.monotonic()
        while True:
            answer, store = await self.ready()
            if answer == status:
                return store
            assert clock.monotonic() - begun < seconds, store
            await asyncio.sleep(0.1)

    async def until_told(self, *wanted: tuple[str, str], seconds: float = 60) -> None:
        """Wait until these alerts, and no others, have come."""
        async with asyncio.timeout(seconds):
            while len(self.alerts) < len(wanted):
                await asyncio.sleep(0.1)
        assert [(one["alert"], one["state"]) for one in self.alerts] == list(wanted)


Alerts = list[dict[str, Any]]


@asynccontextmanager
async def hooked() -> AsyncIterator[tuple[str, Alerts]]:
    """Yield the address of a webhook, and the alerts posted to it."""
    alerts: Alerts = []

    async def take(request: Request) -> Response:
        alerts.append((await request.json())["data"])
        return Response()

    with listening_socket("127.0.0.1", 0) as listener:
        async with running(Starlette(routes=[Route("/", take, methods=["POST"])]), listener):
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/", alerts


@asynccontextmanager
async def serving(database_url: str, folder: Path, hook: tuple[str, Alerts], *tables: str) -> AsyncIterator[Watched]:
    """Run a gateway with that webhook and these tables in its settings."""
    url, alerts = hook
    config = site_file(folder)
    config.write_text(config.read_text() + "\n".join(tables))
    env = environment(NOWHERE, database_url, config, GATEWAY_FEED__ALERT_URL=url)
    with started(SERVE, env, folder / "gateway.runtime.log") as gateway:
        async with httpx.AsyncClient(base_url=await gateway.address(), trust_env=False) as client:
            yield Watched(gateway, client, alerts)


@asynccontextmanager
async def watched(database_url: str, folder: Path) -> AsyncIterator[Watched]:
    async with hooked() as hook, serving(database_url, folder, hook) as found:
        yield found


@pytest.fixture
def own_server():
    """Yield the URL of a database on a PostgreSQL server that no other test uses."""
    programs = binaries()
    if programs is None:
        pytest.skip("needs PostgreSQL's server programs: apt-get install -y postgresql")
    with cluster(programs) as url:
        yield f"{url}/postgres"


@pytest.mark.soak
@pytest.mark.timeout(180)
async def test_a_server_that_freezes_is_told_of_and_then_that_it_goes_on(own_server, tmp_path):
    async with watched(own_server, tmp_path) as here:
        first, *_ = await processes(own_server)
        await here.until_ready(200, 10)
        frozen = freeze(first)
        try:
            store = await here.until_ready(503, 5)
            assert store == {"reachable": False, "writable": False, "reason": "store-lost"}
            await here.until_told(("store-lost", "raised"))
            assert (await here.ready())[0] == 503
        finally:
            signal_all(frozen, signal.SIGCONT)
        await here.until_ready(200, 20)
        await here.until_told(("store-lost", "raised"), ("store-lost", "cleared"))


@pytest.mark.timeout(180)
async def test_a_server_that_is_killed_is_told_of(own_server, tmp_path):
    async with watched(own_server, tmp_path) as here:
        first, *_ = await processes(own_server)
        await here.until_ready(200, 10)
        signal_all(freeze(first), signal.SIGKILL)
        assert (await here.until_ready(503, 5))["reason"] == "store-lost"
        await here.until_told(("store-lost", "raised"))
        assert here.gateway.is_alive


@pytest.mark.timeout(180)
async def test_a_file_that_cannot_grow_is_told_of_and_then_that_it_can(sqlite_database, tmp_path):
    async with watched(f"sqlite:///{sqlite_database}", tmp_path) as here:
        await here.until_ready(200, 10)
        resource.prlimit(here.gateway.process_id, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
        assert (await here.until_ready(503, 5))["writable"] is False
        await here.until_told(("store-lost", "raised"))
        resource.prlimit(here.gateway.process_id, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
        await here.until_ready(200, 10)
        await here.until_told(("store-lost", "raised"), ("store-lost", "cleared"))


@pytest.mark.soak
@pytest.mark.parametrize("engines", ["sqlite", "postgresql"], indirect=True)
@pytest.mark.timeout(180)
async def test_a_restart_in_good_order_repeats_no_alert_and_tells_at_once_what_ended_meanwhile(engines, tmp_path):
    engine = engines()
    place = place_of(engine)
    url, table = place if "://" in place else f"sqlite:///{place}", destination(1)
    async with hooked() as hook:
        async with engine.opened():
            await engine.do(partial(paused, "ehr", "by hand", 1))
        async with serving(url, tmp_path, hook, table) as here:
            await here.until_told(("destination-paused", "raised"), seconds=20)
            await here.gateway.stop()
        async with serving(url, tmp_path, hook, table) as here:
            await asyncio.sleep(2)
            await here.until_told(("destination-paused", "raised"), seconds=1)
            await here.gateway.stop()
        async with engine.opened():
            await engine.do(lambda: resumed("ehr"))
        async with serving(url, tmp_path, hook, table) as here:
            await here.until_told(("destination-paused", "raised"), ("destination-paused", "cleared"), seconds=10)
