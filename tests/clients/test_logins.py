"""Third-party clients log in unchanged and read what they may, with the gateway's own tokens and with an issuer's.

https://hl7.org/fhir/smart-app-launch/STU2.2/backend-services.html, RFC 6750, RFC 9068.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import jwt
import pytest
from clients.account import REPORTS
from clients.bulk_client import BulkClient
from clients.client import matches
from clients.conftest import quiet_login
from clients.issuer_process import APP, log_in_as_user
from clients.kit_client import fhir_kit_client, smart_client
from clients.logins import Login, builtin_login, external_login
from fakes.databases import Server, at_once
from fhirclient.client import FHIRClient
from fhirclient.models.diagnosticreport import DiagnosticReport
from fhirclient.server import FHIRUnauthorizedException
from fhirpy import AsyncFHIRClient, SyncFHIRClient
from fhirpy.base.exceptions import BaseFHIRError

pytestmark = pytest.mark.timeout(400)
ONE = min(REPORTS)
PATH = f"DiagnosticReport/{ONE}"
ALL = [("_lastUpdated", "ge2000-01-01"), ("_count", "20")]


@pytest.fixture(scope="module")
def builtin_gateway(tmp_path_factory: pytest.TempPathFactory, postgres_server: Server) -> Iterator[Login]:
    folder = tmp_path_factory.mktemp("builtin")
    with postgres_server.database("template0") as url, quiet_login(builtin_login(folder, url)) as found:
        yield found


@pytest.fixture(scope="module")
def external_gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Login]:
    folder = tmp_path_factory.mktemp("external")
    with quiet_login(external_login(folder, f"sqlite:///{folder / 'gateway.db'}")) as found:
        yield found


@pytest.fixture(params=["builtin", "external"])
def login(request: pytest.FixtureRequest) -> Login:
    """A gateway that needs a login: once its own, once at oidc-provider."""
    return request.getfixturevalue(f"{request.param}_gateway")


@pytest.fixture
def bulk(login: Login) -> Iterator[BulkClient]:
    with login.client() as client:
        yield client


@pytest.fixture
def external(external_gateway: Login) -> Iterator[BulkClient]:
    """The client of the external issuer, whose key the gateway knows."""
    issuer = external_gateway.issuer
    assert issuer
    issuer.tell(isSilent=False, skew=0, lifetime=600)
    issuer.has_keys("RS256 issuer-1")
    with external_gateway.client() as client:
        client.log_in()
        eventually(client, f"{client.base}/{PATH}", 200)
        yield client
    issuer.tell(isSilent=False, skew=0, lifetime=600)


def ids(page: Any) -> list[str]:
    return [one["id"] for one in matches(page)]


def test_without_a_token_every_client_is_refused_as_it_reports_it(login: Login) -> None:
    base = login.gateway.fhir_base
    with pytest.raises(BaseFHIRError, match="login"):
        SyncFHIRClient(base).get("DiagnosticReport", ONE)
    with pytest.raises(FHIRUnauthorizedException):
        FHIRClient({"app_id": "x", "api_base": base}).server.request_json(PATH)
    with fhir_kit_client(base) as client:
        assert client.refusal("get", PATH).outcome["issue"][0]["code"] == "login"


def test_fhirclient_finds_the_token_endpoint_in_the_capability_statement_and_logs_in(
    login: Login, bulk: BulkClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    if login.authority:
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", login.authority)
    settings = {"app_id": login.client_id, "api_base": login.gateway.fhir_base, "scope": "system/*.rs"}
    token_url = bulk.configuration()["token_endpoint"]
    client = FHIRClient({**settings, "jwt_token": bulk.assertion(token_url)})
    assert not client.prepare(), "it has no token yet"
    client.server.authorize()
    assert client.ready
    assert DiagnosticReport.read(ONE, client.server).id == ONE
    found = DiagnosticReport.where({"_lastUpdated": "ge2000-01-01"}).perform_resources_iter(client.server)
    assert Counter(one.id for one in found) == Counter(REPORTS.keys())


def test_fhirpy_reads_with_the_token_in_both_its_forms(bulk: BulkClient) -> None:
    given = f"Bearer {bulk.log_in()}"
    client = SyncFHIRClient(bulk.base, authorization=given)
    assert client.get("DiagnosticReport", ONE)["id"] == ONE
    found = client.resources("DiagnosticReport").search(_lastUpdated="ge2000-01-01").limit(20).fetch_all()
    assert Counter(one["id"] for one in found) == Counter(REPORTS.keys())

    async def read() -> str:
        return str((await AsyncFHIRClient(bulk.base, authorization=given).get("DiagnosticReport", ONE))["id"])

    assert at_once(read()) == ONE


@pytest.mark.parametrize("kind", [smart_client, fhir_kit_client], ids=["fhirclient-js", "fhir-kit-client"])
def test_a_client_in_javascript_reads_with_the_token(bulk: BulkClient, kind: Any) -> None:
    with kind(bulk.base, bulk.log_in()) as client:
        assert client.read(PATH)["id"] == ONE
        assert Counter(one["id"] for one in client.find("DiagnosticReport", ALL)) == Counter(REPORTS.keys())


def test_the_smart_client_of_javascript_logs_a_user_in_at_the_issuer_that_the_gateway_names(
    external_gateway: Login, external: BulkClient
) -> None:
    """https://hl7.org/fhir/smart-app-launch/STU2.2/app-launch.html, standalone, by a public client with PKCE."""
    issuer, base = external_gateway.issuer, external.base
    assert issuer
    [patient, *_] = ids(external.get(f"{base}/Patient?_lastUpdated=ge2000"))
    issuer.tell(patient=patient)
    options = {"clientId": APP["client_id"], "scope": APP["scope"], "redirectUri": "http://127.0.0.1/app"}
    with smart_client(base, authority=external_gateway.authority) as client:
        url = client.ask("authorize", options)
        assert url.startswith(f"{issuer.url}/auth?")
        assert client.ask("ready", log_in_as_user(issuer, url)) == APP["scope"]
        assert client.read(PATH)["id"] == ONE
        assert Counter(one["id"] for one in client.find("DiagnosticReport", ALL)) == Counter(REPORTS.keys())


def test_fhir_kit_client_finds_the_token_endpoint_by_itself(bulk: BulkClient) -> None:
    with fhir_kit_client(bulk.base) as client:
        assert client.ask("smart")["tokenUrl"] == bulk.configuration()["token_endpoint"]


def test_a_bulk_client_finds_the_token_endpoint_and_sees_every_report_once(bulk: BulkClient) -> None:
    seen = [one for page in bulk.pages("DiagnosticReport", 7) for one in ids(page)]
    assert Counter(seen) == Counter(REPORTS.keys())
    assert (bulk.logins, bulk.refused) == (1, [401]), "the first request has no token"


def test_a_scope_that_the_client_may_not_have_gives_nothing(login: Login) -> None:
    with login.client("system/Patient.rs system/Patient.cruds") as client:
        client.log_in()
        assert client.asked(f"{client.base}/Patient?_lastUpdated=ge2000").status_code == 200
        assert client.asked(f"{client.base}/{PATH}").status_code == 403


def test_a_bulk_client_whose_token_is_revoked_on_the_way_logs_in_again_and_goes_on(builtin_gateway: Login) -> None:
    with builtin_gateway.client() as client:
        seen = []
        for number, page in enumerate(client.pages("DiagnosticReport", 7)):
            seen += ids(page)
            if number == 1:
                revoked(client)
        assert Counter(seen) == Counter(REPORTS.keys())
        assert client.logins == 2


def revoked(client: BulkClient) -> None:
    """Revoke the token of the client."""
    said = client.configuration()
    fields = {
        "token": client.token,
        "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        "client_assertion": client.assertion(said["token_endpoint"]),
    }
    assert client.http.post(said["revocation_endpoint"], data=fields).status_code == 200


def test_a_bulk_client_whose_token_of_the_issuer_ends_on_the_way_logs_in_again_and_goes_on(
    external_gateway: Login, external: BulkClient
) -> None:
    assert external_gateway.issuer
    external_gateway.issuer.tell(lifetime=2)
    external.log_in()
    seen = []
    for number, page in enumerate(external.pages("DiagnosticReport", 7)):
        seen += ids(page)
        if number == 1:
            time.sleep(2.1)
    assert Counter(seen) == Counter(REPORTS.keys())
    assert external.refused


def test_a_new_key_of_the_issuer_is_found_and_an_old_one_ends_once_it_is_withdrawn(
    external_gateway: Login, external: BulkClient
) -> None:
    issuer, url = external_gateway.issuer, f"{external.base}/{PATH}"
    assert issuer
    old = external.token
    issuer.has_keys("ES384 issuer-2", "RS256 issuer-1")
    new = external.log_in()
    assert jwt.get_unverified_header(new)["alg"] == "ES384"
    eventually(external, url, 200)
    external.token = old
    assert external.asked(url).status_code == 200, "the key set still has its key"
    issuer.has_keys("ES384 issuer-3")
    external.log_in()
    eventually(external, url, 200)  # it asks for this key, and learns that the others are gone
    for token in (old, new):
        external.token = token
        eventually(external, url, 401)


def test_an_issuer_that_is_down_stops_nobody_whose_key_is_known_and_a_new_key_waits_for_it(
    external_gateway: Login, external: BulkClient
) -> None:
    issuer, url = external_gateway.issuer, f"{external.base}/{PATH}"
    assert issuer
    known = external.token
    issuer.has_keys("RS256 issuer-4")
    unknown = external.log_in()
    issuer.tell(isSilent=True)
    answer = eventually(external, url, 503)
    assert answer.headers["retry-after"] == "5"
    external.token = known
    assert external.asked(url).status_code == 200
    issuer.tell(isSilent=False)
    external.token = unknown
    eventually(external, url, 200)


@pytest.mark.parametrize(("skew", "status"), [(20, 200), (-20, 200), (90, 401)])
def test_a_clock_of_the_issuer_that_is_a_little_wrong_does_no_harm_and_one_that_is_ahead_by_far_does(
    external_gateway: Login, external: BulkClient, skew: int, status: int
) -> None:
    assert external_gateway.issuer
    external_gateway.issuer.tell(skew=skew)
    external.log_in()
    eventually(external, f"{external.base}/{PATH}", status)


def test_a_client_that_is_disabled_is_refused_within_five_seconds_though_its_token_is_good(login: Login) -> None:
    with login.client() as client:
        client.log_in()
        url = f"{client.base}/{PATH}"
        assert eventually(client, url, 200)
        login.command("clients", "disable", login.client_id, "--reason", "test")
        eventually(client, url, 401, patience=5)
        login.command("clients", "enable", login.client_id)
        client.log_in()
        eventually(client, url, 200, patience=5)


def eventually(client: BulkClient, url: str, status: int, patience: float = 25) -> Any:
    """Ask again and again until the answer has this status, and return it."""
    until = time.monotonic() + patience
    while (answer := client.asked(url)).status_code != status:
        assert time.monotonic() < until, answer.text
        time.sleep(0.2)
    return answer
