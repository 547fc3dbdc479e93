"""Decision D46 with real processes: FHIR answers beside the work, workers that end, and two processes on PostgreSQL."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from fakes.gateway_process import FAST, Running, environment, site_file, started
from fakes.scale import EITHER_STORE

from gateway.runtime.serving import listening_socket, running
from gateway.sandbox.upstream import SandboxOptions, open_sandbox

_PATIENCE = 90.0


@dataclass
class Scene:
    """A gateway in processes of its own, the sandbox's account, and a client."""

    gateway: Running
    account: object
    client: httpx.AsyncClient

    async def metric(self, pattern: str) -> float:
        """Return the value of the first metric that matches; 0 if there is none."""
        found = re.search(
            rf"^autoscribe_gateway_{pattern} (\S+)$", (await self.client.get("/metrics")).text, re.MULTILINE
        )
        return float(found[1]) if found else 0.0

    async def until(self, holds) -> None:
        async with asyncio.timeout(_PATIENCE):
            while not await holds():
                assert self.gateway.is_alive, self.gateway.printed()
                await asyncio.sleep(0.05)

    async def indexed(self) -> None:
        """Wait for the end of the first sweep."""

        async def is_complete() -> bool:
            return bool((await self.client.get("/readyz")).json()["index"]["complete"])

        await self.until(is_complete)

    def children(self) -> list[int]:
        """Return the processes below the gateway."""
        return below(self.gateway.process_id)


def below(process_id: int) -> list[int]:
    """Return the processes below a process, without the helper that frees shared resources."""
    children = []
    for task in Path(f"/proc/{process_id}/task").glob("*/children"):
        children += [int(one) for one in task.read_text().split()]
    children = [one for one in children if b"resource_tracker" not in Path(f"/proc/{one}/cmdline").read_bytes()]
    return [*children, *(far for one in children for far in below(one))]


def is_running(process_id: int) -> bool:
    """True if the process is there and no zombie."""
    try:
        return Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


async def ended(process_ids: list[int]) -> None:
    async with asyncio.timeout(_PATIENCE):
        while any(map(is_running, process_ids)):
            await asyncio.sleep(0.05)


@asynccontextmanager
async def scene(url: str, folder: Path, **more: str):
    """Start the sandbox and a gateway with all roles."""
    async with AsyncExitStack() as stack:
        listener = stack.enter_context(listening_socket("127.0.0.1", 0))
        options = SandboxOptions(port=listener.getsockname()[1])
        app, account = open_sandbox(options, follows_clock=True)
        await stack.enter_async_context(running(app, listener))
        env = environment(options.base_url, url, site_file(folder), **FAST, GATEWAY_SERVER__WORKERS="1", **more)
        gateway = stack.enter_context(started(["serve", "--port", "0"], env, folder / "gateway.log"))
        client = await stack.enter_async_context(httpx.AsyncClient(base_url=await gateway.address(), timeout=60))
        yield Scene(gateway, account, client)


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request, tmp_path):
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'gateway.db'}"
    return request.getfixturevalue("postgres_database")


@pytest.mark.parametrize("database_url", EITHER_STORE, indirect=True)
async def test_all_that_a_worker_computes_is_answered_and_all_end_with_the_gateway(database_url, tmp_path):
    async with scene(database_url, tmp_path) as here:
        await here.indexed()
        reports = (
            await here.client.get("/fhir/DiagnosticReport?_lastUpdated=gt2000-01-01&status=final&_count=1")
        ).json()
        report_id = reports["entry"][0]["resource"]["id"]
        at = f"/fhir/DiagnosticReport/{report_id}"
        assert (await here.client.get(at, headers={"Accept": "application/fhir+xml"})).text.startswith("<")
        assert (await here.client.get(f"{at}/$hl7v2?receiver=generic")).json()["parameter"]
        assert (await here.client.get(f"{at}/$trace")).json()["parameter"]
        outcome = (await here.client.post(f"{at}/$validate")).json()
        assert outcome["issue"][0]["details"]["coding"][0]["code"] == "no-faults"
        children = here.children()
        assert children
        assert await here.gateway.stop() == 0
        await ended(children)
        assert "Traceback" not in here.gateway.printed()


@pytest.mark.parametrize("database_url", EITHER_STORE, indirect=True)
async def test_a_worker_that_the_system_ends_costs_no_study(database_url, tmp_path):
    async with scene(database_url, tmp_path) as here:
        await here.indexed()
        killed = [one for one in here.children() if not below(one)]  # the workers: the others have processes below
        assert killed
        for worker in killed:
            os.kill(worker, signal.SIGKILL)
        signed = here.account.sign_new()

        async def is_there() -> bool:
            found = await here.client.get(f"/fhir/DiagnosticReport?identifier={signed.report_id}&_summary=count")
            return found.json().get("total") == 1

        await here.until(is_there)
        assert (await here.client.get("/readyz")).status_code == 200


async def test_on_postgresql_one_process_answers_for_both(postgres_database, tmp_path):
    async with scene(postgres_database, tmp_path) as here:
        await here.indexed()
        parts = [one for one in here.children() if below(one)]
        assert len(parts) == 2
        ready = (await here.client.get("/readyz")).json()
        assert ready["upstream"]["reachable"] is True  # the other process asked
        await here.until(lambda: positive(here, "resource_versions_total{.*?Patient.*?}"))
        await here.until(lambda: positive(here, "http_requests_total{.*?readyz.*?}"))


async def positive(here: Scene, pattern: str) -> bool:
    return await here.metric(pattern) > 0


@pytest.mark.parametrize("role", [pytest.param("answers", marks=pytest.mark.soak), "works"])
async def test_on_postgresql_the_gateway_ends_with_an_error_when_one_of_its_processes_does(
    role, postgres_database, tmp_path
):
    async with scene(postgres_database, tmp_path) as here:
        await here.indexed()
        parts = [one for one in here.children() if below(one)]
        os.kill(parts[role == "answers"], signal.SIGKILL)
        async with asyncio.timeout(_PATIENCE):
            while here.gateway.is_alive:
                await asyncio.sleep(0.05)
        await ended(parts)
        assert [line["event"] for line in here.gateway.said("process-ended")] == ["process-ended"]
        assert await here.gateway.stop() != 0


@pytest.mark.parametrize("database_url", [pytest.param("sqlite", marks=pytest.mark.soak), "postgresql"], indirect=True)
async def test_no_process_outlives_a_gateway_that_is_killed(database_url, tmp_path):
    async with scene(database_url, tmp_path) as here:
        await here.indexed()
        children = here.children()
        here.gateway.kill()
        await ended(children)
