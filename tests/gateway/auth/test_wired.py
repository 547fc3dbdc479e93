"""Authentication around the real application, built in or external: the gate stands before the facade and FastAPI."""

from __future__ import annotations

from contextlib import asynccontextmanager

import httpx
import pytest
from fakes.assertions import NOW, TOKEN_URL
from fakes.console_site import OPENED, rendered
from fakes.issuer import AUDIENCE, ISSUER, external_settings, external_site, minted
from fakes.token_site import form, token_site

from gateway.auth.authentication import authentication
from gateway.auth.builtin import Builtin, unnoted
from gateway.auth.console_gate import console_gate
from gateway.auth.external import External
from gateway.auth.smart_configuration import WELL_KNOWN
from gateway.fhir_api.application import application
from gateway.runtime import clock
from gateway.runtime.metrics import Metrics
from gateway.settings import Configuration, Settings, load
from mappings.profile import Site


@pytest.mark.parametrize(
    ("settings", "kind"),
    [
        (Settings(auth={"mode": "builtin"}), Builtin),
        (external_settings(), External),
        (Settings(auth={"mode": "none"}), type(None)),
        (Settings(), type(None)),
    ],
)
async def test_the_mode_says_which_authentication_is_put_together(sqlite_engine, settings, kind):
    assert type(authentication(sqlite_engine, Configuration(settings, Site(), "test"), unnoted)) is kind


async def test_with_an_external_issuer_the_gate_stands_and_the_gateway_gives_out_no_tokens(sqlite_engine, monkeypatch):
    @asynccontextmanager
    async def lifespan(app):
        yield

    for name, value in {"MODE": "external", "ISSUER": ISSUER, "AUDIENCE": AUDIENCE}.items():
        monkeypatch.setenv(f"GATEWAY_AUTH__{name}", value)
    monkeypatch.setattr(clock, "now", lambda: clock.datetime.fromtimestamp(NOW, clock.UTC))
    app = application(load(), Metrics(), lifespan, serves_fhir=True)
    app.state.auth = (await external_site(sqlite_engine)).parts
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1:8800") as client:
        assert (await client.get(WELL_KNOWN)).json()["token_endpoint"] == f"{ISSUER}/token"
        assert (await client.post("/auth/token", data=form())).status_code == 404
        assert (await client.post("/auth/introspect", data=form())).status_code == 404
        for path in ("/fhir/Patient/pat-1", "/docs"):
            assert (await client.get(path)).status_code == 401, path
        headers = {"Authorization": f"Bearer {minted()}"}
        assert (await client.get("/fhir/nothing", headers=headers)).status_code == 404


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


async def test_the_console_has_a_gate_of_its_own_and_each_header_stands_there_once(sqlite_engine, monkeypatch):
    @asynccontextmanager
    async def lifespan(app):
        yield

    monkeypatch.setenv("GATEWAY_AUTH__MODE", "builtin")
    monkeypatch.setenv("GATEWAY_SERVER__PUBLIC_URL", "https://gateway.example/fhir")
    gate = console_gate(sqlite_engine, load().settings, lambda _: None, rendered)
    app = application(load(), Metrics(), lifespan, serves_fhir=True, more=gate.routes())
    app.state.auth = (await token_site(sqlite_engine)).parts
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="https://gateway.example") as client:
        answer = await client.get("/console/sign-in/provider", headers=OPENED)
        assert answer.status_code == 404 and answer.headers.get_list("cache-control") == ["no-store"]
        assert answer.headers.get_list("x-content-type-options") == ["nosniff"]
        assert (await client.put("/console/sign-out")).status_code == 405
        assert (await client.get("/console/nothing")).status_code == 404
        for path in ("/consoles/", "/CONSOLE/", "/fhir/console/"):
            assert (await client.get(path)).status_code == 401, path
