"""Every kind of error, as a client sees it: https://hl7.org/fhir/R4/http.html#Status-Codes.

Errors of paging, Binary and the operations are tested beside them. Those of authentication are in tests/gateway/auth.
"""

import pytest
from fakes.facade import BASE, facade, resource_id
from fakes.outcomes import issue, refusal
from pydantic import SecretStr

from gateway.fhir_api import read
from gateway.runtime.errors import StoreUnavailable
from gateway.store import study_rows
from gateway.store.database.sqlite import Sqlite
from mappings.issues import MappingIssue
from mappings.patient.identifiers import fhir_id

NO_ONE = "0" * 32
STRICT = {"Prefer": "handling=strict"}


async def report_of(stage, **headers):
    return await stage.get(f"DiagnosticReport/{resource_id(stage.signed())}", **headers)


@pytest.mark.parametrize(
    "query", ["_lastUpdated=gt2020&date=x", "_lastUpdated=never", "_count=x&_id=rep-1", "_elements=1&_id=rep-1"]
)
async def test_a_malformed_value_is_invalid(stage, query):
    """400, invalid: bad parameter or date."""
    for headers in ({}, STRICT):
        assert refusal(await stage.get(f"DiagnosticReport?{query}", headers=headers)) == (400, "error", "invalid")


async def test_a_modifier_that_is_not_offered_is_not_supported(stage):
    """400, not-supported: modifier."""
    response = await stage.get("DiagnosticReport?_id=rep-1&code:above=x")
    assert refusal(response) == (400, "error", "not-supported")
    assert issue(response)["expression"] == ["http.code"]


async def test_an_unknown_parameter_is_not_supported_where_handling_is_strict(stage):
    """400, not-supported: strict unknown parameter."""
    path = "DiagnosticReport?_id=rep-1&colour=blue"
    assert refusal(await stage.get(path, headers=STRICT)) == (400, "error", "not-supported")
    assert (await stage.get(path)).status_code == 200


async def test_what_is_needed_and_missing_is_required(stage):
    """400, required."""
    response = await stage.post(f"DiagnosticReport/rep-{NO_ONE}/$addendum", key=None)
    assert refusal(response) == (400, "error", "required")


async def test_a_search_that_nothing_narrows_is_too_costly(stage):
    """400, too-costly: decision D30."""
    assert refusal(await stage.get("DiagnosticReport")) == (400, "error", "too-costly")
    assert refusal(await stage.get("DiagnosticReport?colour=blue")) == (400, "error", "too-costly")


@pytest.mark.parametrize(
    "path",
    [
        f"DiagnosticReport/rep-{NO_ONE}",
        "Patient/pat-1",
        f"Patient/pat-{NO_ONE}/_history/1",
        "Condition/1",
        "Condition?a=b",
    ],
)
async def test_what_is_not_there_is_not_found(stage, path):
    """404, not-found: unknown id, version, type."""
    assert refusal(await stage.get(path)) == (404, "error", "not-found")


async def test_what_its_judge_rejects_is_not_found_and_says_the_codes_and_places(stage, monkeypatch):
    """404, not-found: suppressed read."""
    fault = MappingIssue("fhir-structure", "error", "/name/0", "refused: Jane Doe")
    monkeypatch.setattr(study_rows, "judge_all", lambda made, *_: [(fault,)] * len(made))
    response = await report_of(stage)
    assert refusal(response) == (404, "error", "not-found")
    assert "/name/0: fhir-structure" in issue(response)["diagnostics"]
    assert "Jane" not in response.text


async def test_a_method_that_is_not_offered_is_not_supported(stage):
    """405, not-supported: method."""
    response = await stage.client.post(f"{BASE}/DiagnosticReport", json={"resourceType": "DiagnosticReport"})
    assert refusal(response) == (405, "error", "not-supported")
    assert response.headers["allow"] == "GET, HEAD"


@pytest.mark.parametrize(
    "path", ["metadata", "Patient?_id=pat-1", "DiagnosticReport/{}", "DiagnosticReport/{}/_history"]
)
async def test_a_format_that_is_not_offered_is_not_supported(stage, path):
    """406, not-supported: type of the answer."""
    await report_of(stage)
    path = path.format(resource_id(stage.signed()))
    for accept in ("text/html", "application/fhir+json; fhirVersion=5.0", "application/fhir+turtle"):
        assert refusal(await stage.get(path, headers={"Accept": accept})) == (406, "error", "not-supported")


@pytest.mark.parametrize("media_type", ["application/fhir+json", "text/plain", "multipart/form-data; boundary=x", ""])
async def test_a_body_of_another_type_is_not_supported(stage, media_type):
    """415, not-supported: type of the body."""
    response = await stage.client.post(
        f"{BASE}/Patient/_search", content=b"_id=pat-1", headers={"Content-Type": media_type}
    )
    assert refusal(response) == (415, "error", "not-supported")
    assert "application/x-www-form-urlencoded" in response.text
    assert "application/fhir+json" not in response.text


async def test_an_autoscribe_that_asks_for_fewer_requests_is_passed_on_with_its_wait():
    """429 + Retry-After, throttled: upstream 429."""
    async with facade(faults=("429:retry-after=7",)) as stage:
        response = await report_of(stage)
        assert refusal(response) == (429, "error", "throttled")
        assert (issue(response)["detail"], response.headers["retry-after"]) == ("upstream-throttled", "7")


async def test_a_bug_says_the_correlation_id_and_nothing_else(stage, monkeypatch):
    """500, exception: our bug."""

    def broken(*_):
        raise RuntimeError("Jane Doe")

    monkeypatch.setattr(read, "age", broken)
    response = await report_of(stage)
    assert refusal(response) == (500, "fatal", "exception")
    assert response.headers["x-request-id"]
    assert "Jane" not in response.text
    assert "RuntimeError" not in response.text


@pytest.mark.parametrize("fault", ["non-json", "broken-json"])
async def test_an_answer_of_autoscribe_that_is_not_understood_is_its_fault(fault):
    """502, processing: upstream body not understood, non-JSON 200 included."""
    async with facade(faults=(fault,)) as stage:
        response = await report_of(stage)
        assert refusal(response) == (502, "error", "processing")
        assert issue(response)["detail"] == "upstream-not-understood"


@pytest.mark.parametrize("fault", ["500", "502", "503"])
async def test_an_autoscribe_that_fails_is_a_bad_gateway(fault):
    """502, transient."""
    async with facade(faults=(fault,)) as stage:
        response = await report_of(stage)
        assert refusal(response) == (502, "error", "transient")
        assert issue(response)["detail"] == "upstream-failed"


async def test_a_refused_key_is_never_the_fault_of_the_client():
    """502, processing: upstream 401 or 403 on our key."""
    async with facade(api_key=SecretStr("wrong")) as stage:
        response = await report_of(stage)
        assert refusal(response) == (502, "error", "processing")
        assert issue(response)["detail"] == "upstream-key-refused"
        assert "wrong" not in response.text
        assert "www-authenticate" not in response.headers


async def test_an_autoscribe_that_is_not_there_is_a_503_that_says_when_to_come_again():
    """503 + Retry-After, transient: nothing stored."""
    async with facade(base_url="http://127.0.0.1:1", attempts=1) as stage:
        response = await report_of(stage)
        assert refusal(response) == (503, "error", "transient")
        assert int(response.headers["retry-after"]) > 0


async def test_a_store_that_is_not_there_is_a_503_that_says_when_to_come_again(stage, monkeypatch):
    """503 + Retry-After, transient: the index cannot be asked."""

    async def away(*_, **__):
        raise StoreUnavailable("the disk is full")

    await report_of(stage)
    for name in ("fetch", "query", "scan"):
        monkeypatch.setattr(Sqlite, name, away)
    for path in (f"DiagnosticReport/{resource_id(stage.signed())}", "Patient?_id=pat-1", "Patient/pat-1/_history"):
        response = await stage.get(path)
        assert refusal(response) == (503, "error", "transient")
        assert (issue(response)["detail"], response.headers["retry-after"]) == ("store-unavailable", "5")


async def test_an_autoscribe_that_does_not_answer_in_time_is_a_504():
    """504, timeout: upstream timeout."""
    async with facade(faults=("timeout",), timeout=0.3) as stage:
        response = await report_of(stage)
        assert refusal(response) == (504, "error", "timeout")
        assert issue(response)["detail"] == "upstream-timeout"


async def test_what_the_index_may_lack_is_said_in_the_answer(stage):
    """200 + OperationOutcome, incomplete: the first sweep has not ended."""
    read_once = (await report_of(stage)).json()
    response = await stage.get(f"DiagnosticReport?patient={read_once['subject']['reference']}")
    [said] = [one for one in outcomes(response) if one["code"] == "incomplete"]
    assert said["severity"] == "warning"
    assert "has not ended" in said["diagnostics"]


async def test_what_was_known_before_is_the_answer_while_autoscribe_is_down(stage):
    """200 + OperationOutcome, incomplete: upstream partly down."""
    study_id = fhir_id(stage.signed()["studyId"])
    await report_of(stage)
    stage.fail("500")
    response = await stage.get(f"DiagnosticReport?study={study_id}", headers={"Cache-Control": "no-cache"})
    codes = {(one["code"], one["details"]["coding"][0]["code"]) for one in outcomes(response)}
    assert codes >= {("incomplete", "upstream-failed"), ("incomplete", "index-incomplete")}
    assert response.json()["total"] == 1


def outcomes(response):
    assert response.status_code == 200
    entries = response.json()["entry"]
    return [one for entry in entries if entry["search"]["mode"] == "outcome" for one in entry["resource"]["issue"]]


@pytest.mark.parametrize("path", ["Condition/1", "DiagnosticReport", f"DiagnosticReport/rep-{NO_ONE}"])
async def test_who_wants_xml_is_told_in_xml(stage, path):
    """Always an OperationOutcome, in the format that was asked for."""
    response = await stage.get(path, headers={"Accept": "application/fhir+xml"})
    assert response.headers["content-type"] == "application/fhir+xml; charset=utf-8"
    assert b'<OperationOutcome xmlns="http://hl7.org/fhir">' in response.content
