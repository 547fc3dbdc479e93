"""https://hl7.org/fhir/R4/http.html#summary: all routes of the facade, and errors for any other path."""

import asyncio
import json
from urllib.parse import unquote

import pytest
from fakes.facade import BASE
from fakes.outcomes import issue, refusal

from gateway.fhir_api.served import DEFINITIONS, OPERATIONS, RESOURCES

NO_ONE = "0" * 32


async def test_a_report_is_not_created_here_and_the_answer_names_what_is(stage):
    response = await stage.client.post(f"{BASE}/DiagnosticReport", json={"resourceType": "DiagnosticReport"})
    assert refusal(response) == (405, "error", "not-supported")
    assert "$addendum" in issue(response)["diagnostics"]
    assert response.headers["allow"] == "GET, HEAD"


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("PUT", f"DiagnosticReport/rep-{NO_ONE}", "GET, HEAD"),
        ("PATCH", f"Patient/pat-{NO_ONE}", "GET, HEAD"),
        ("DELETE", f"DiagnosticReport/rep-{NO_ONE}", "GET, HEAD"),
        ("OPTIONS", "DiagnosticReport", "GET, HEAD"),
        ("POST", "Patient", "GET, HEAD"),
        ("PUT", "Patient?identifier=1", "GET, HEAD"),
        ("DELETE", "Patient?identifier=1", "GET, HEAD"),
        ("GET", "DiagnosticReport/_search", "POST"),
        ("GET", f"DiagnosticReport/rep-{NO_ONE}/$addendum", "POST"),
        ("HEAD", f"DiagnosticReport/rep-{NO_ONE}/$cancel-addendum", "POST"),
        ("GET", "Binary", ""),
        ("POST", "Binary", ""),
        ("POST", f"DiagnosticReport/rep-{NO_ONE}/_history", "GET, HEAD"),
        ("DELETE", f"DiagnosticReport/rep-{NO_ONE}/_history/1", "GET, HEAD"),
        ("DELETE", "_history", "GET, HEAD"),
        ("POST", "Patient/_history", "GET, HEAD"),
        ("POST", "Patient/pat-1/DiagnosticReport", "GET, HEAD"),
        ("DELETE", "metadata", "GET, HEAD"),
        ("POST", "metadata", "GET, HEAD"),
        ("GET", "", "POST"),
        ("BREW", "Patient", "GET, HEAD"),
    ],
)
async def test_an_interaction_that_is_not_offered_is_a_405_that_says_which_are(stage, method, path, allow):
    response = await stage.client.request(method, f"{BASE}/{path}")
    assert response.status_code == 405
    assert response.headers["allow"] == allow
    assert method == "HEAD" or refusal(response) == (405, "error", "not-supported")
    assert stage.requests == []


@pytest.mark.parametrize(
    "path",
    [
        "/Condition/1",
        "/Condition",
        "/diagnosticreport/rep-1",
        "/DiagnosticReport/",
        "/DiagnosticReport//",
        "/DiagnosticReport/%2e%2e",
        "/DiagnosticReport/..%2f..%2fmetadata",
        "/DiagnosticReport/%00",
        "/DiagnosticReport/%ff%fe",
        f"/DiagnosticReport/rep-{NO_ONE}%0a",
        "/DiagnosticReport/rep-1/_history/1/2",
        "/DiagnosticReport/rep-1/_history/",
        "/_search",
        "/Patient/pat-1/Practitioner",
        "/Patient/pat-1/Patient",
        "/Patient/pat-1/*",
        "/Practitioner/usr-1/DiagnosticReport",
        "/metadata/",
        "/metadata/1",
        "//metadata",
        "/Binary/" + "x" * 5_000,
    ],
)
async def test_an_address_that_is_none_is_a_404(stage, path):
    assert refusal(await stage.client.get(f"{BASE}{path}")) == (404, "error", "not-found")
    assert stage.requests == []


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
@pytest.mark.parametrize(
    ("path", "instead"),
    [
        ("$export", "_lastUpdated"),
        ("$meta", "_elements"),
        ("$nothing", "DocumentReference/$docref"),
        ("ConceptMap/$translate", "CodeSystem"),
        ("CodeSystem/$subsumes", "CodeSystem"),
        ("Patient/$export", "_lastUpdated"),
        ("Patient/$everything", "Patient/<id>/$everything"),
        ("Patient/$match", "Patient?identifier=system|value"),
        ("Observation/$lastn", "_sort=-date"),
        ("Observation/rep-1/$trace", "DiagnosticReport/<id>/$trace"),
        ("DiagnosticReport/rep-1/$expunge", "DiagnosticReport/<id>/$trace"),
        ("Binary/$nothing", "DocumentReference/$docref"),
        ("Binary/rep-1-pdf/$nothing", "DocumentReference/$docref"),
        ("Group/1/$export", "_lastUpdated"),
        ("Patient/%24export", "_lastUpdated"),
        ("AuditEvent/$nothing", "DocumentReference/$docref"),
    ],
)
async def test_an_operation_that_is_not_offered_is_a_404_that_names_what_there_is_instead(stage, method, path, instead):
    response = await stage.client.request(method, f"{BASE}/{path}")
    assert refusal(response) == (404, "error", "not-supported")
    assert issue(response)["detail"] == "operation-not-offered"
    assert instead in issue(response)["diagnostics"]
    assert "nothing" not in issue(response)["diagnostics"]  # what a client made up is not repeated
    assert stage.requests == []


@pytest.mark.parametrize(
    "query",
    [
        "study=" + "x" * 10_000,
        "&".join(f"study=stu-{number:032x}" for number in range(500)),
        "&".join("a=" for _ in range(500)),
        "study=%ff%fe",
        "study=%00",
        "study=a%0d%0ab",
        "x" * 200 + "=1",
        "%3Cscript%3E=1",
        "study=" + "%61" * 6_000,
    ],
)
async def test_a_query_beyond_the_limits_is_refused_before_anything_is_asked_for(stage, query):
    for path in ("DiagnosticReport", f"DiagnosticReport/rep-{NO_ONE}", "metadata"):
        assert refusal(await stage.get(f"{path}?{query}")) == (400, "error", "invalid")
    assert stage.requests == []


async def test_a_failed_head_has_the_status_and_no_body(stage):
    response = await stage.client.head(f"{BASE}/Patient/pat-1")
    assert (response.status_code, response.content) == (404, b"")


async def test_every_error_has_a_correlation_id_of_its_own(stage):
    ids = {(await stage.get("Nothing/1")).headers["x-request-id"] for _ in range(3)}
    assert len(ids) == 3


async def test_every_type_of_the_table_has_its_addresses_and_each_is_named_by_its_template(stage):
    for row in RESOURCES:
        kind = row.resource_type
        expected = {f"{kind}/unknown": 404, f"{kind}/unknown/_history": 404, f"{kind}/unknown/_history/1": 404}
        expected |= {f"{kind}?_id=unknown": 200, kind: 400}
        for path, status in expected.items():
            response = await stage.get(path)
            if not row.is_binary:
                assert response.status_code == status
            else:
                assert response.status_code in {404, 405}
        if not row.is_binary:
            form = {"Content-Type": "application/x-www-form-urlencoded"}
            response = await stage.client.post(f"{BASE}/{kind}/_search", content="_id=unknown", headers=form)
            assert response.status_code == 200
    routes = (await stage.client.get("http://127.0.0.1:8800/metrics")).text
    for template in ("/Patient/{id}", "/Patient/{id}/_history", "/Patient/{id}/_history/{version}", "/Patient/_search"):
        assert f'route="{template}"' in routes
    assert "unknown" not in routes


async def test_every_operation_and_definition_of_the_tables_has_its_address(stage):
    for one in OPERATIONS:
        for _, address in one.addresses():
            response = await stage.client.request("DELETE", f"{BASE}{address.replace('{id}', 'unknown')}")
            assert (response.status_code, issue(response)["code"]) == (405, "not-supported")
            assert set(one.methods) <= set(response.headers["allow"].split(", "))
    for row in DEFINITIONS:
        assert (await stage.get(row.resource_type)).status_code == 200
        assert refusal(await stage.get(f"{row.resource_type}/unknown")) == (404, "error", "not-found")


async def test_no_path_leads_out_of_the_facade(stage):
    """Raw paths that no client library would send: nothing is decoded twice, and `..` is no parent folder."""
    for path in (
        b"/fhir/../metrics",
        b"/fhir/%2e%2e/metrics",
        b"/fhir/Patient/..",
        b"/fhir/Patient/%252e%252e%252fmetadata",
        b"/fhir/Patient/a%2fb",
        b"/fhir/Patient/rep-1;x=1",
        b"/fhir/Patient/\xc0\xae",
    ):
        status, body = await raw(stage.app, path)
        assert (status, json.loads(body)["resourceType"]) == (404, "OperationOutcome")


async def raw(app, path):
    """Return the answer to a GET of this raw path."""
    sent = []

    async def receive():
        await asyncio.sleep(0)
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message):
        sent.append(message)

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": unquote(path.decode("latin-1")),
        "raw_path": path,
        "root_path": "",
        "query_string": b"",
        "headers": [(b"host", b"127.0.0.1:8800")],
        "server": ("127.0.0.1", 8800),
        "client": ("127.0.0.1", 1),
    }
    await app(scope, receive, send)
    body = b"".join(one.get("body", b"") for one in sent if one["type"] == "http.response.body")
    return sent[0]["status"], body
