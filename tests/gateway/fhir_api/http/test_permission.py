"""Scopes of a client over the whole facade, with tokens from its token endpoint; decision D41.

https://hl7.org/fhir/smart-app-launch/STU2.2/scopes-and-launch-context.html#scopes-for-requesting-fhir-resources
"""

from __future__ import annotations

import time
from contextlib import asynccontextmanager

import pytest
import pytest_asyncio
from fakes.assertions import CLIENT, claims, jwks, signed
from fakes.facade import BASE, facade, resource_id
from fakes.outcomes import refusal
from fakes.token_site import form

from gateway.fhir_api.served import BY_TYPE, DEFINITIONS, IN_COMPARTMENT, OPERATIONS, RESOURCES
from gateway.settings.auth import Auth
from gateway.store.clients import ClientKeySet, RegisteredClient, StoredClients

pytestmark = pytest.mark.asyncio(loop_scope="module")
NO_FORM = {"content": b"", "headers": {"Content-Type": "application/x-www-form-urlencoded"}}


class Gated:
    """A facade with built-in authentication, a report that it has read, and tokens by scope."""

    def __init__(self, stage, report):
        self.stage, self.report = stage, report
        self._tokens = {}

    async def token(self, scope, client=CLIENT):
        """Log a client in, and return its token for these scopes."""
        key = (scope, client)
        if key not in self._tokens:
            named = claims(time.time(), iss=client, sub=client, aud="http://127.0.0.1:8800/auth/token")
            fields = form(signed(named), scope=scope)
            answer = await self.stage.client.post("http://127.0.0.1:8800/auth/token", data=fields)
            assert answer.status_code == 200, answer.text
            self._tokens[key] = answer.json()["access_token"]
        return self._tokens[key]

    async def ask(self, scope, path, method="GET", client=CLIENT, **more):
        """Send a request with a token of these scopes."""
        headers = {"Authorization": f"Bearer {await self.token(scope, client)}", **more.pop("headers", {})}
        url = path if path.startswith("http") else f"{BASE}/{path}".removesuffix("/")
        return await self.stage.client.request(method, url, headers=headers, **more)


def registered(client_id):
    everything = " ".join(["system/*.cruds", "system/DiagnosticReport.$addendum"])
    keys = (ClientKeySet(jwks("RS384 a").decode()),)
    return RegisteredClient(client_id, client_id, everything, None, int(time.time() * 1e6), key_sets=keys)


@asynccontextmanager
async def gated():
    async with facade(groups={"auth": Auth(mode="builtin")}) as stage:
        clients = StoredClients(stage.app.state.facade.engine)
        for client_id in (CLIENT, "client-other"):
            await clients.add(registered(client_id), "")
        made = Gated(stage, stage.signed())
        read = await made.ask("system/*.r", f"DiagnosticReport/{resource_id(made.report)}")
        assert read.status_code == 200
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gate():
    async with gated() as made:
        yield made


def addresses(report):
    """Yield each interaction: method, path, and what it needs."""
    report_id = resource_id(report)
    for row in RESOURCES:
        at = f"{row.resource_type}/{report_id}"
        yield "GET", at, (row.resource_type, "r")
        if row.is_binary:
            continue
        yield "GET", f"{at}/_history", (row.resource_type, "r")
        yield "GET", f"{at}/_history/1", (row.resource_type, "r")
        yield "GET", f"{row.resource_type}?_id=x", (row.resource_type, "s")
        yield "POST", f"{row.resource_type}/_search", (row.resource_type, "s")
        yield "GET", f"{row.resource_type}/_history", (row.resource_type, "s")
        if row.resource_type in IN_COMPARTMENT:
            yield "GET", f"Patient/{report_id}/{row.resource_type}", (row.resource_type, "s")
    for operation in OPERATIONS:
        for resource_type, address in operation.addresses():
            if resource_type not in BY_TYPE:  # of a definition, which needs no scope
                continue
            need = (operation.needs or [(resource_type, "r")])[-1]
            yield operation.methods[0], address.lstrip("/").replace("{id}", report_id), need


def scope_without(need):
    """Return all scopes but the one that is needed."""
    resource_type, permission = need
    others = [kind for kind in BY_TYPE if kind != resource_type]
    scopes = [f"system/{kind}.cruds" for kind in others]
    if resource_type != "*":
        scopes.append(f"system/{resource_type}.{'cruds'.replace(permission, '')}")
    if not permission.startswith("$"):
        scopes.append("system/DiagnosticReport.$addendum")
    return " ".join(scopes)


async def test_every_interaction_is_refused_without_its_scope_whether_or_not_there_is_such_a_resource(gate):
    tried = 0
    for method, path, need in addresses(gate.report):
        for form_of in (path, path.replace(resource_id(gate.report), "rep-" + "0" * 32)):
            more = dict(NO_FORM) if path.endswith("_search") else {}
            answer = await gate.ask(scope_without(need), form_of, method, **more)
            assert refusal(answer) == (403, "error", "forbidden"), (method, form_of)
            assert f"system/{need[0]}.{need[1]}" in answer.json()["issue"][0]["diagnostics"]
            assert 'error="insufficient_scope"' in answer.headers["www-authenticate"]
            tried += 1
    assert tried > 100


@pytest.mark.full
async def test_every_interaction_passes_with_its_scope_alone_and_an_addendum_with_that_to_read_the_report(gate):
    for method, path, (resource_type, permission) in addresses(gate.report):
        more = dict(NO_FORM) if path.endswith("_search") else {}
        scope = f"system/{resource_type}.{permission}"
        if permission.startswith("$"):
            assert (await gate.ask(scope, path, method, **more)).status_code == 403
            scope += f" system/{resource_type}.r"
        answer = await gate.ask(scope, path, method, **more)
        assert answer.status_code not in {401, 403}, (method, path)


@pytest.mark.parametrize("name", ["based-on.identifier", "based-on:identifier", "basedOn:identifier"])
async def test_a_search_that_reads_another_type_is_refused_without_its_scope(gate, name):
    path = f"DiagnosticReport?{name}=1"
    answer = await gate.ask("system/DiagnosticReport.rs", path)
    assert refusal(answer) == (403, "error", "forbidden")
    assert "system/ServiceRequest.s" in answer.json()["issue"][0]["diagnostics"]
    assert (await gate.ask("system/DiagnosticReport.rs system/ServiceRequest.s", path)).status_code == 200


async def test_definitions_and_the_capability_statement_need_no_scope_of_their_own(gate):
    for path in ("metadata", "ValueSet/mapping-issue/$expand", *(row.resource_type for row in DEFINITIONS)):
        assert (await gate.ask("system/Binary.r", path)).status_code == 200


async def test_without_a_token_nothing_is_answered(gate):
    for method, path, _ in addresses(gate.report):
        answer = await gate.stage.client.request(method, f"{BASE}/{path}")
        assert refusal(answer) == (401, "error", "login")


def types_in(answer):
    """Return the types of the resources in a Bundle; no warning may be about resources that are left out."""
    assert answer.status_code == 200, answer.text
    assert '"suppressed"' not in answer.text
    found = {one["resource"]["resourceType"] for one in answer.json().get("entry", ())}
    return found - {"OperationOutcome"}


async def test_what_is_beside_the_matches_is_left_out_without_its_scope_and_nothing_is_said_of_it(gate):
    path = (
        f"DiagnosticReport?_id={resource_id(gate.report)}&_include=DiagnosticReport:subject"
        "&_include=DiagnosticReport:performer&_include=DiagnosticReport:result&_revinclude=Provenance:target"
    )
    assert types_in(await gate.ask("system/DiagnosticReport.s", path)) == {"DiagnosticReport"}
    some = await gate.ask("system/DiagnosticReport.s system/Patient.r system/Provenance.r", path)
    assert types_in(some) == {"DiagnosticReport", "Patient", "Provenance"}
    every = types_in(await gate.ask("system/*.rs", path))
    assert {"Patient", "Organization", "Practitioner", "Observation", "Provenance"} <= every


async def test_a_chain_needs_search_of_the_type_that_it_leads_to(gate):
    name = "patient.family=Test"
    refused = await gate.ask("system/DiagnosticReport.rs system/Patient.r", f"DiagnosticReport?{name}")
    assert refusal(refused) == (403, "error", "forbidden")
    assert (await gate.ask("system/DiagnosticReport.s system/Patient.s", f"DiagnosticReport?{name}")).status_code == 200
    backwards = "DiagnosticReport?_has:Provenance:target:recorded=ge2020"
    assert (await gate.ask("system/DiagnosticReport.s", backwards)).status_code == 403
    assert (await gate.ask("system/DiagnosticReport.s system/Provenance.s", backwards)).status_code == 200


async def test_the_history_of_the_system_is_of_the_types_that_the_client_may_search(gate):
    assert refusal(await gate.ask("system/*.r", "_history")) == (403, "error", "forbidden")
    assert types_in(await gate.ask("system/Patient.s system/Observation.r", "_history")) == {"Patient"}
    every = types_in(await gate.ask("system/*.s", "_history"))
    assert {"DiagnosticReport", "Patient", "Observation", "Organization"} <= every


async def test_everything_of_a_patient_is_what_the_client_may_read(gate):
    report = await gate.ask("system/*.r", f"DiagnosticReport/{resource_id(gate.report)}")
    path = f"{report.json()['subject']['reference']}/$everything"
    assert types_in(await gate.ask("system/Patient.r", path)) == {"Patient"}
    some = await gate.ask("system/Patient.r system/ImagingStudy.r", path)
    assert types_in(some) == {"Patient", "ImagingStudy"}
    assert len(types_in(await gate.ask("system/*.r", path))) > 5


async def test_an_entry_of_a_batch_needs_what_its_request_needs(gate):
    report_id = resource_id(gate.report)
    urls = [f"DiagnosticReport/{report_id}", f"DiagnosticReport?_id={report_id}", f"Patient/{report_id}"]
    batch = {
        "resourceType": "Bundle",
        "type": "batch",
        "entry": [{"request": {"method": "GET", "url": url}} for url in urls],
    }
    answer = await gate.ask(
        "system/DiagnosticReport.r", "", "POST", json=batch, headers={"Content-Type": "application/fhir+json"}
    )
    assert [one["response"]["status"][:3] for one in answer.json()["entry"]] == ["200", "403", "403"]


async def test_a_page_link_works_for_the_client_alone_that_it_was_given_to(gate):
    first = (await gate.ask("system/*.rs", "Observation?_lastUpdated=ge2000&_count=1")).json()
    [following] = [one["url"] for one in first["link"] if one["relation"] == "next"]
    assert (await gate.ask("system/*.rs", following)).status_code == 200
    assert refusal(await gate.ask("system/*.rs", following, client="client-other")) == (400, "error", "invalid")
    assert (await gate.ask("system/Patient.rs", following)).status_code == 403
