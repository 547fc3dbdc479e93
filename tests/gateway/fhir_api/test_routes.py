"""https://hl7.org/fhir/R4/http.html#Status-Codes: whatever goes wrong is an OperationOutcome."""

import pytest
from fakes.facade import BASE, facade, resource_id
from fakes.outcomes import issue, refusal
from pydantic import SecretStr

from gateway.store.seen import Seen

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
        ("POST", "DiagnosticReport/_search", "GET, HEAD"),
        ("GET", f"DiagnosticReport/rep-{NO_ONE}/$addendum", "POST"),
        ("HEAD", f"DiagnosticReport/rep-{NO_ONE}/$cancel-addendum", "POST"),
        ("GET", "Patient", ""),
        ("GET", f"DiagnosticReport/rep-{NO_ONE}/_history", ""),
        ("GET", f"DiagnosticReport/rep-{NO_ONE}/_history/1", ""),
        ("DELETE", "metadata", "GET, HEAD"),
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
        "",
        "/",
        "/Encounter/1",
        "/Encounter",
        "/diagnosticreport/rep-1",
        "/DiagnosticReport/",
        "/DiagnosticReport//",
        "/DiagnosticReport/%2e%2e",
        "/DiagnosticReport/..%2f..%2fmetadata",
        "/DiagnosticReport/rep-1/$expunge",
        "/DiagnosticReport/%00",
        "/DiagnosticReport/%ff%fe",
        f"/DiagnosticReport/rep-{NO_ONE}%0a",
        "/Binary/" + "x" * 5_000,
    ],
)
async def test_an_address_that_is_none_is_a_404(stage, path):
    assert refusal(await stage.client.get(f"{BASE}{path}")) == (404, "error", "not-found")
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


@pytest.mark.parametrize(
    ("fault", "expected", "detail"),
    [
        ("429:retry-after=7", (429, "error", "throttled"), "upstream-throttled"),
        ("500", (502, "error", "transient"), "upstream-failed"),
        ("502", (502, "error", "transient"), "upstream-failed"),
        ("503", (502, "error", "transient"), "upstream-failed"),
        ("timeout", (504, "error", "timeout"), "upstream-timeout"),
        ("non-json", (502, "error", "processing"), "upstream-not-understood"),
        ("broken-json", (502, "error", "processing"), "upstream-not-understood"),
    ],
)
async def test_what_fails_behind_the_gateway_is_told_as_what_it_is(fault, expected, detail):
    async with facade(faults=(fault,), timeout=0.3) as stage:
        response = await stage.get(f"DiagnosticReport/{resource_id(stage.signed())}")
        assert refusal(response) == expected
        assert issue(response)["detail"] == detail
        assert issue(response)["details"]["text"]
        assert response.headers.get("retry-after") == ("7" if "429" in fault else None)


async def test_a_refused_key_is_never_the_clients_fault():
    async with facade(api_key=SecretStr("wrong")) as stage:
        response = await stage.get(f"DiagnosticReport/{resource_id(stage.signed())}")
        assert refusal(response) == (502, "error", "processing")
        assert issue(response)["detail"] == "upstream-key-refused"
        assert "wrong" not in response.text
        assert "www-authenticate" not in response.headers


async def test_an_autoscribe_that_is_not_there_is_a_503_that_says_when_to_come_again():
    async with facade(base_url="http://127.0.0.1:1", attempts=1) as stage:
        response = await stage.get(f"DiagnosticReport/{resource_id(stage.signed())}")
        assert refusal(response) == (503, "error", "transient")
        assert int(response.headers["retry-after"]) > 0


async def test_a_bug_is_a_500_with_a_correlation_id_and_nothing_else(stage, monkeypatch):
    def broken(*_):
        raise RuntimeError("Jane Doe")

    monkeypatch.setattr(Seen, "put", broken)
    response = await stage.get(f"DiagnosticReport/{resource_id(stage.signed())}")
    assert refusal(response) == (500, "fatal", "exception")
    assert response.headers["x-request-id"]
    assert "Jane" not in response.text
    assert "RuntimeError" not in response.text


async def test_a_failed_head_has_the_status_and_no_body(stage):
    response = await stage.client.head(f"{BASE}/Patient/pat-1")
    assert (response.status_code, response.content) == (404, b"")


async def test_every_error_has_a_correlation_id_of_its_own(stage):
    ids = {(await stage.get("Nothing/1")).headers["x-request-id"] for _ in range(3)}
    assert len(ids) == 3
