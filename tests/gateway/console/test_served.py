"""`serve` has the console by default: in its one process on SQLite, in the one that answers on PostgreSQL (D33)."""

from __future__ import annotations

import httpx
import pytest
from fakes.facade import sandboxed
from fakes.gateway_process import environment, site_file, started

from gateway.auth.operators import hashed
from gateway.runtime import clock
from gateway.store.clients import StoredOperator, StoredOperators
from gateway.store.database.engine import micros

PASSWORD = "three words and a number"
OWN = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Site": "same-origin"}


async def test_somebody_signs_in_to_a_gateway_and_sees_the_overview(engine, request, tmp_path):
    now = micros(clock.now())
    await StoredOperators(engine).add(StoredOperator("kim", "watcher", hashed(PASSWORD), now, now), "")
    is_sqlite = engine.dialect == "sqlite"
    url = f"sqlite:///{engine.path}" if is_sqlite else request.getfixturevalue("postgres_database")
    async with sandboxed() as sandbox:
        env = environment(sandbox.options.base_url, url, site_file(tmp_path))
        with started(["serve", "--port", "0"], env, tmp_path / "log") as gateway:
            root = await gateway.address()
            async with httpx.AsyncClient(base_url=root, follow_redirects=True, headers=OWN) as client:
                assert "<h1>Sign in</h1>" in (await client.get("/console/")).text
                answer = await client.post(
                    "/console/sign-in", data={"name": "kim", "password": PASSWORD, "to": "/console/"}
                )
                assert (answer.status_code, "<h1>Overview</h1>" in answer.text) == (200, True)
                assert (await client.get("/console/find")).status_code == 403
            assert await gateway.stop() == 0


@pytest.mark.parametrize("roles", [pytest.param("sync,feed", marks=pytest.mark.soak), "api"])
async def test_a_gateway_without_the_role_has_no_console(roles, sqlite_database, tmp_path):
    async with sandboxed() as sandbox:
        env = environment(sandbox.options.base_url, f"sqlite:///{sqlite_database}", site_file(tmp_path))
        with started(["serve", "--port", "0", "--roles", roles], env, tmp_path / "log") as gateway:
            async with httpx.AsyncClient() as client:
                assert (await client.get(f"{await gateway.address()}/console/")).status_code == 404
