"""Decision D27: a gateway that is killed while it requests an addendum from AutoScribe requests no second one.

https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/
"""

from __future__ import annotations

import asyncio
from functools import partial

import httpx
import pytest
from fakes.facade import resource_id, sandboxed
from fakes.gateway_process import environment, site_file, started

from gateway.store.database.engine import Statement, ask
from gateway.store.database.postgres import Postgres
from gateway.store.database.sqlite import Sqlite

SERVE = ["serve", "--roles", "api", "--port", "0"]
LATE = Statement("UPDATE idempotency SET held = 1 WHERE held > 0")


async def asked(gateway, report):
    """Request an addendum, always with the same key; return the answer."""
    async with httpx.AsyncClient(base_url=await gateway.address(), timeout=30, trust_env=False) as client:
        path = f"/fhir/DiagnosticReport/{resource_id(report)}/$addendum"
        return await client.post(path, headers={"Idempotency-Key": "k1"})


async def interrupted(gateway, report, sandbox, *, is_killed):
    """Request an addendum, and kill the gateway before AutoScribe has answered."""
    asking = asyncio.create_task(asked(gateway, report))
    async with asyncio.timeout(60):
        while not any(one.startswith("POST") for one in sandbox.requests):
            await asyncio.sleep(0.02)
    if is_killed:
        gateway.kill()
    else:
        await gateway.stop()
    await asyncio.gather(asking, return_exceptions=True)


@pytest.fixture
def store(request):
    """Yield a fresh migrated database, as an engine and a URL; once for SQLite, once for PostgreSQL."""
    if request.param == "sqlite":
        file = request.getfixturevalue("sqlite_database")
        return Sqlite(file), f"sqlite:///{file}"
    url = request.getfixturevalue("postgres_database")
    return Postgres(url), url


@pytest.mark.parametrize(
    ("store", "fault", "is_killed", "status"),
    [
        pytest.param("sqlite", "lost", True, 201, id="sqlite-killed, carried out"),
        pytest.param("postgresql", "timeout", True, 504, id="postgresql-killed, not carried out"),
        pytest.param("sqlite", "lost", False, 201, id="sqlite-told to stop, carried out", marks=pytest.mark.soak),
        pytest.param("postgresql", "lost", True, 201, id="postgresql-killed, carried out", marks=pytest.mark.soak),
        pytest.param("sqlite", "timeout", True, 504, id="sqlite-killed, not carried out", marks=pytest.mark.soak),
        pytest.param(
            "postgresql", "lost", False, 201, id="postgresql-told to stop, carried out", marks=pytest.mark.soak
        ),
    ],
    indirect=["store"],
)
async def test_an_addendum_is_asked_for_once_whenever_the_gateway_ends(store, fault, is_killed, status, tmp_path):
    engine, url = store
    async with sandboxed(faults=(f"{fault}:method=POST",)) as sandbox, engine.opened():
        stage = partial(started, SERVE, environment(sandbox.options.base_url, url, site_file(tmp_path)))
        report = next(one for [one] in sandbox.account.reports.values() if one["status"] == "completed")
        with stage(tmp_path / "first.log") as gateway:
            await interrupted(gateway, report, sandbox, is_killed=is_killed)
        if is_killed:
            await engine.do(partial(ask, LATE))
        with stage(tmp_path / "second.log") as gateway:
            assert (await asked(gateway, report)).status_code == status, gateway.printed()
            assert await gateway.stop() == 0
    assert [one for one in sandbox.requests if one.startswith("POST")] == [
        f"POST /reports/{report['reportId']}/addendum"
    ]
