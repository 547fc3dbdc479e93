"""Built-in authentication around the real application: the gate stands before the facade and before FastAPI."""

from __future__ import annotations

from contextlib import asynccontextmanager

import httpx
from fakes.assertions import TOKEN_URL
from fakes.token_site import form, token_site

from gateway.auth.smart_configuration import WELL_KNOWN
from gateway.fhir_api.application import application
from gateway.runtime.metrics import Metrics
from gateway.settings import load


async def test_a_client_logs_in_at_the_application_and_nothing_of_it_answers_without_a_token(
    sqlite_engine, monkeypatch
):
    @asynccontextmanager
    async def lifespan(app):
        yield

    monkeypatch.setenv("GATEWAY_AUTH__MODE", "builtin")
    monkeypatch.setenv("GATEWAY_SERVER__PUBLIC_URL", "https://gateway.example/fhir")
    site = await token_site(sqlite_engine)
    monkeypatch.setattr("gateway.runtime.clock.now", site.parts.service.now)
    app = application(load(), Metrics(), lifespan, serves_fhir=True)
    app.state.auth = site.parts
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1:8800") as client:
        assert (await client.get(WELL_KNOWN)).json()["token_endpoint"] == TOKEN_URL
        for path in ("/fhir/Patient/pat-1", "/fhir/nothing", "/docs", "/openapi.json", "/elsewhere"):
            answer = await client.get(path)
            assert (answer.status_code, answer.json()["resourceType"]) == (401, "OperationOutcome"), path
        token = (await client.post("/auth/token", data=form())).json()["access_token"]
        headers = {"Authorization": f"Bearer {token}"}
        assert (await client.get("/fhir/nothing", headers=headers)).status_code == 404
        assert (await client.get("/elsewhere", headers=headers)).status_code == 404
        xml = await client.get("/fhir/Patient/pat-1", headers={"Accept": "application/fhir+xml"})
        assert xml.headers["content-type"].startswith("application/fhir+xml")
