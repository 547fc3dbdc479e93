"""The gateways of these tests, one on each engine, each a process of its own beside a sandbox AutoScribe."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import pytest
from clients.account import STUDIES, patients
from clients.client import FhirClient
from clients.fhirclient_client import Fhirclient
from clients.fhirpy_client import AsyncFhirpy, Fhirpy
from clients.kit_client import JavaScriptClient, fhir_kit_client, medplum_client, smart_client
from clients.logins import Login
from clients.processes import Running, running
from fakes.databases import Server

CLIENTS = {
    "fhirpy": lambda base: nullcontext(Fhirpy(base)),
    "fhirpy-async": lambda base: nullcontext(AsyncFhirpy(base)),
    "fhirclient": lambda base: nullcontext(Fhirclient(base)),
    "fhir-kit-client": fhir_kit_client,
    "fhirclient-js": smart_client,
    "medplum": medplum_client,
}


@contextmanager
def quiet(gateway: AbstractContextManager[Running]) -> Iterator[Running]:
    """Run a gateway; at its end, check that it logged no error and no patient data (D9)."""
    with gateway as found:
        yield found
    # the sandbox has signed reports that were cancelled, which is an alert
    assert [one for one in found.events("error") if one.get("code") != "cancelled-after-sign"] == []
    said = found.log.read_text()
    assert [one for one in patients() if one in said] == []


@contextmanager
def quiet_login(login: AbstractContextManager[Login]) -> Iterator[Login]:
    """Run a gateway that needs a login, as `quiet` does; no token may stand in its log either."""
    with login as found, quiet(nullcontext(found.gateway)):
        yield found
    assert "eyJ" not in found.gateway.log.read_text()


@pytest.fixture(scope="session")
def gateway_on_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("sqlite")
    with quiet(running(folder, f"sqlite:///{folder / 'gateway.db'}", STUDIES)) as found:
        yield found


@pytest.fixture(scope="session")
def gateway_on_postgresql(tmp_path_factory: pytest.TempPathFactory, postgres_server: Server) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("postgresql")
    with postgres_server.database("template0") as url, quiet(running(folder, url, STUDIES)) as found:
        yield found


@pytest.fixture(params=["sqlite", "postgresql"])
def gateway(request: pytest.FixtureRequest) -> Running:
    """A gateway at work; once on SQLite, once on PostgreSQL."""
    return request.getfixturevalue(f"gateway_on_{request.param}")


@pytest.fixture(params=CLIENTS)
def client(request: pytest.FixtureRequest, gateway: Running) -> Iterator[FhirClient]:
    """Each of the clients in turn."""
    with CLIENTS[request.param](gateway.fhir_base) as found:
        yield found


@pytest.fixture
def fhirpy(gateway: Running) -> Any:
    """fhirpy itself."""
    return Fhirpy(gateway.fhir_base).client


@pytest.fixture
def fhirclient(gateway: Running) -> Fhirclient:
    return Fhirclient(gateway.fhir_base)


@pytest.fixture
def kit(gateway: Running) -> Iterator[JavaScriptClient]:
    with fhir_kit_client(gateway.fhir_base) as found:
        yield found


@pytest.fixture
def smart(gateway: Running) -> Iterator[JavaScriptClient]:
    with smart_client(gateway.fhir_base) as found:
        yield found


@pytest.fixture
def medplum(gateway: Running) -> Iterator[JavaScriptClient]:
    with medplum_client(gateway.fhir_base) as found:
        yield found
