"""https://hl7.org/fhir/R4/operationoutcome.html: every error of the tree, mapped in one place."""

import xml.etree.ElementTree as ET

import httpx
import pytest
from fakes.outcomes import issue, refusal
from starlette.exceptions import HTTPException

from gateway.fhir_api.http.outcome import Outcomes, issue_of_error, issue_of_mapping
from gateway.runtime import errors, request_errors
from mappings.issues import MappingIssue, WireError

FHIR = "{http://hl7.org/fhir}"


def leaves(kind=errors.GatewayError):
    below = kind.__subclasses__()
    return [leaf for one in below for leaf in leaves(one)] if below else [kind]


def made(kind):
    if issubclass(kind, errors.ConfigError):
        return kind("settings", "a.b", "wrong", "Mend it.")
    return kind("something")


async def answered(error, begun=False, path="", method="GET", **headers):
    async def app(scope, receive, send):
        if begun:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"half", "more_body": True})
        raise error

    async with httpx.AsyncClient(transport=httpx.ASGITransport(Outcomes(app))) as client:
        return await client.request(method, f"http://127.0.0.1/{path}", headers=headers)


@pytest.mark.parametrize("kind", leaves(), ids=lambda kind: kind.__name__)
async def test_every_error_of_ours_says_its_status_code_and_remedy(kind):
    response = await answered(made(kind))
    assert refusal(response) == (kind.http_status, "error", kind.issue_code)
    assert issue(response)["detail"] == kind.code
    assert issue(response)["details"]["text"] == kind.remedy
    assert ("retry-after" in response.headers) == (kind.http_status in {429, 503})
    assert ("allow" in response.headers) == (kind.http_status == 405)


@pytest.mark.parametrize(
    ("path", "accept"),
    [("", "application/fhir+xml"), ("?_format=xml", "*/*"), ("?%00&_format=application/fhir%2Bxml", "image/png")],
)
async def test_who_asked_for_xml_is_told_in_xml_what_went_wrong(path, accept):
    error = request_errors.BadRequest("the date is <none> & no day", expression="http.date")
    response = await answered(error, path=path, accept=accept)
    assert (response.status_code, response.headers["content-type"]) == (400, "application/fhir+xml; charset=utf-8")
    told = ET.fromstring(response.content)
    assert told.tag == f"{FHIR}OperationOutcome"
    values = {child.tag.removeprefix(FHIR): child.get("value") for child in told[0]}
    assert values == {
        "severity": "error",
        "code": "invalid",
        "details": None,
        "diagnostics": "the date is <none> & no day",
        "expression": "http.date",
    }


async def test_head_is_told_in_xml_how_long_the_outcome_is():
    got = await answered(request_errors.ResourceNotFound("no"), accept="application/fhir+xml")
    head = await answered(request_errors.ResourceNotFound("no"), method="HEAD", accept="application/fhir+xml")
    assert (int(head.headers["content-length"]), head.content) == (len(got.content), b"")


@pytest.mark.parametrize("accept", ["image/png", "application/fhir+json; fhirVersion=5.0", "", "text/html"])
@pytest.mark.parametrize("kind", [request_errors.NotAcceptable, request_errors.ResourceNotFound])
async def test_who_takes_neither_format_is_told_in_json(kind, accept):
    response = await answered(kind("no"), accept=accept)
    assert refusal(response) == (kind.http_status, "error", kind.issue_code)


async def test_json_of_autoscribe_that_is_not_understood_is_a_502_with_the_pointer():
    response = await answered(WireError("/reports/0/status", "a string", "null"))
    assert refusal(response) == (502, "error", "processing")
    assert "/reports/0/status" in issue(response)["diagnostics"]


async def test_the_routers_own_refusals_are_outcomes_too():
    assert refusal(await answered(HTTPException(404))) == (404, "error", "not-found")
    assert refusal(await answered(HTTPException(413))) == (413, "error", "not-supported")


def test_of_an_exception_that_is_not_ours_nothing_is_said():
    status, found = issue_of_error(ValueError("Jane Doe"))
    assert (status, found.severity, found.code) == (500, "fatal", "exception")
    assert "Jane" not in str(found.json("https://own.example"))


async def test_an_answer_that_had_begun_is_cut_off_where_it_stands():
    with pytest.raises(AssertionError):  # httpx's transport asserts that an answer ends
        await answered(errors.PdfUnavailable("GET the PDF"), begun=True)


@pytest.mark.parametrize(("severity", "code"), [("information", "informational"), ("warning", "processing")])
def test_an_issue_of_a_mapping_keeps_its_severity_and_names_its_place(severity, code):
    said = issue_of_mapping(MappingIssue("mrn-absent", severity, "/mrn", "not linked"), "ImagingStudy/stu-1").json(
        "https://own.example"
    )
    assert said == {
        "severity": severity,
        "code": code,
        "details": {"coding": [{"system": "https://own.example/CodeSystem/mapping-issue", "code": "mrn-absent"}]},
        "diagnostics": "ImagingStudy/stu-1 /mrn: not linked",
    }
