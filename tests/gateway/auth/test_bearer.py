"""Without a valid token nothing passes but the few addresses that are open, whatever else a request tries.

RFC 6750 §2 and §3
"""

from __future__ import annotations

import pytest
from fakes.assertions import CLIENT, NOW, claims, signed
from fakes.token_site import form, token_site

from gateway.auth.bearer import OPEN
from gateway.auth.token_endpoint import REVOKE_PATH
from gateway.fhir_api.openapi.routes import openapi_routes
from gateway.fhir_api.ops.routes import ops_routes
from gateway.runtime.errors import StoreUnavailable
from gateway.webhooks.endpoint import PATH as WEBHOOK

CLOSED = (
    *("/", "/docs", "/openapi.json", "/fhir", "/fhir/", "/fhir/Patient", "/fhir/nothing", "/nothing"),
    *("/fhir/metadata/", "/fhir/metadata/../Patient/1", "/fhir//metadata", "/FHIR/metadata", "/fhir/metadata;x"),
    *("/metrics/", "/livez/../fhir/Patient", "/auth", "/auth/tokens", "/auth/token/x", "/fhir/metadata%00"),
    *("/fhir/metadata%2f..%2fPatient%2f1", "/webhooks/autoscribe/../../fhir/Patient"),
)
REALM = 'Bearer realm="autoscribe-gateway"'


@pytest.fixture
async def site(sqlite_engine, monkeypatch):
    made = await token_site(sqlite_engine)
    monkeypatch.setattr("gateway.runtime.clock.now", made.parts.service.now)
    async with made.client:
        yield made


def issue(answer):
    [one] = answer.json()["issue"]
    return one["code"], one["details"]["coding"][0]["code"]


async def test_a_request_with_a_token_passes_with_the_access_of_its_client(site):
    answer = await site.get(token=await site.token())
    assert answer.json() == {"client": CLIENT, "scopes": ["system/DiagnosticReport.rs", "system/Patient.r"]}


async def test_without_a_token_the_answer_is_401_with_a_challenge_and_an_outcome(site):
    answer = await site.get()
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, REALM)
    assert issue(answer) == ("login", "not-authenticated")
    basic = await site.client.get("/fhir/Patient/1", headers={"Authorization": "Basic Y2xpZW50OnNlY3JldA=="})
    assert (basic.status_code, basic.headers["www-authenticate"]) == (401, REALM)


@pytest.mark.parametrize("token", ["unknown", "a" * 43, "a.b.c", "a" * 4_000])
async def test_a_token_that_is_not_valid_is_refused_as_such(site, token):
    answer = await site.get(token=token)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == f'{REALM}, error="invalid_token"'
    assert token not in answer.text


async def test_a_revoked_token_and_one_of_a_disabled_client_pass_no_more(site):
    first, second = await site.token(), await site.token()
    assert (await site.get(token=first)).status_code == 200
    await site.post(REVOKE_PATH, form(signed(claims()), token=first))
    assert (await site.get(token=first)).status_code == 401
    await site.clients.disable(CLIENT, "", NOW * 1_000_000)
    assert (await site.get(token=second)).status_code == 401


@pytest.mark.parametrize(
    "headers",
    [
        [("Authorization", "Bearer {token}"), ("Authorization", "Bearer {token}")],
        [("Authorization", "Bearer {token}"), ("authorization", "Basic x")],
        [("Authorization", "Bearer {token}, Bearer {token}")],
        [("Authorization", "Bearer {token} x")],
        [("Authorization", "Bearer ")],
        [("Authorization", "Bearer \xe9")],
        [("Authorization", "Bearer " + "a" * 17_000)],
    ],
)
async def test_credentials_that_can_be_read_in_two_ways_are_refused(site, headers):
    token = await site.token()
    given = [(name.encode(), value.format(token=token).encode("latin-1")) for name, value in headers]
    answer = await site.client.get("/fhir/Patient/1", headers=given)
    assert answer.status_code == 400
    assert answer.headers["www-authenticate"] == f'{REALM}, error="invalid_request"'
    assert issue(answer) == ("security", "credentials-malformed")


@pytest.mark.parametrize("query", ["access_token={}", "_id=1&access_token={}", "access%5Ftoken={}", "access_token"])
async def test_a_token_in_the_url_is_refused_even_beside_a_good_one(site, query):
    token = await site.token()
    for given in (None, token):
        answer = await site.get(f"/fhir/Patient?{query.format(token)}", given)
        assert (answer.status_code, issue(answer)[1]) == (400, "credentials-malformed")
        assert token not in answer.text
    assert (await site.get("/fhir/Patient?_id=access_token&code=%41", token)).status_code == 200


@pytest.mark.parametrize("path", sorted(OPEN - {"/auth/token", "/auth/introspect", "/auth/revoke"}))
async def test_an_open_address_needs_no_token(site, path):
    assert (await site.get(path)).status_code == 200


async def test_every_other_address_is_closed_for_every_method(site):
    passed = [
        f"{method} {path}"
        for path in CLOSED
        for method in ("GET", "POST", "HEAD", "OPTIONS", "PURGE")
        if (await site.client.request(method, f"http://gateway.example{path}")).status_code != 401
    ]
    assert passed == []


def test_the_pages_of_the_api_are_closed_and_probes_and_webhooks_open():
    assert {one.path for one in ops_routes()} <= OPEN
    assert WEBHOOK in OPEN
    assert not {one.path for one in openapi_routes()} & OPEN


async def test_while_nobody_can_say_if_a_token_is_valid_the_answer_is_503(site, monkeypatch):
    async def down(*_):
        raise StoreUnavailable("gone")

    token = await site.token()
    monkeypatch.setattr(site.parts.tokens, "_look_up", down)
    monkeypatch.setattr("gateway.auth.token_cache.PATIENCE", 0.01)
    answer = await site.get(token=token)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")


async def test_a_scheme_is_read_in_any_case_as_http_has_it(site):
    token = await site.token()
    for scheme in ("bearer", "BEARER", "BeArEr"):
        answer = await site.client.get("/fhir/Patient/1", headers={"Authorization": f"{scheme}  {token}"})
        assert answer.status_code == 200
