"""Third-party FHIR clients use the gateway: search, page, read, fetch the document.

https://hl7.org/fhir/R4/http.html, https://hl7.org/fhir/R4/search.html, https://hl7.org/fhir/R4/binary.html.
"""

from __future__ import annotations

import base64
import hashlib
from collections import Counter

import httpx
import pytest
from clients.account import REPORTS, one_person, pdf_of, signed_alone
from clients.client import FhirClient, Json, matches, of_mode, without_primitive_extensions
from clients.processes import Running

from gateway.fhir_api.served import RESOURCES

pytestmark = pytest.mark.timeout(400)
ALL = [("_lastUpdated", "ge2000-01-01")]
KINDS = [row.resource_type for row in RESOURCES if not row.is_binary]
REFERRING = ("basedOn", "performer", "resultsInterpreter", "imagingStudy", "result")
RADIOLOGY = "http://loinc.org|LP29684-5"


def form_of(report: Json, content_type: str) -> Json:
    """The only form that a report has in a content type."""
    (found,) = [one for one in report["presentedForm"] if one["contentType"].startswith(content_type)]
    return found


def report_of(client: FhirClient, content_type: str) -> tuple[str, Json]:
    """A signed report, and its form in a content type."""
    one = min(signed_alone())
    return one, form_of(client.read(f"DiagnosticReport/{one}"), content_type)


def patient_of(client: FhirClient) -> Json:
    (found,) = client.find("Patient", [("identifier", one_person()[0])])
    return found


def agrees(form: Json, data: bytes) -> bool:
    """True if an attachment's size and hash match the bytes."""
    return (form["size"], form["hash"]) == (len(data), base64.b64encode(hashlib.sha1(data).digest()).decode())


def test_the_capability_statement_names_what_is_served(client: FhirClient) -> None:
    said = client.capability()
    (rest,) = said["rest"]
    reports = next(one for one in rest["resource"] if one["type"] == "DiagnosticReport")
    assert (said["fhirVersion"], said["kind"], rest["mode"]) == ("4.0.1", "instance", "server")
    assert {one["code"] for one in reports["interaction"]} == {
        *("read", "vread", "history-instance", "history-type", "search-type")
    }
    assert {"patient", "category", "date", "code", "status"} <= {one["name"] for one in reports["searchParam"]}


def test_a_patient_is_found_by_a_number_of_the_facility(client: FhirClient) -> None:
    system, _, value = one_person()[0].partition("|")
    assert any((one["system"], one["value"]) == (system, value) for one in patient_of(client)["identifier"])


def test_the_reports_of_a_patient_are_found_by_category_and_date(client: FhirClient) -> None:
    patient = ("patient", f"Patient/{patient_of(client)['id']}")
    days = sorted(REPORTS[one]["snapshotMetadata"]["studyDate"] for one in one_person()[1])
    asked = [patient, ("category", RADIOLOGY), ("date", f"ge{days[0]}"), ("date", f"le{days[-1]}")]
    assert {one["id"] for one in client.find("DiagnosticReport", asked)} == one_person()[1]
    assert len(one_person()[1]) > 1
    assert client.find("DiagnosticReport", [patient, ("category", RADIOLOGY), ("date", f"lt{days[0]}")]) == []
    assert client.find("DiagnosticReport", [patient, ("category", "http://loinc.org|LP29708-2")]) == []


@pytest.mark.parametrize(
    "order", [[], [("_sort", "-date")], [("_sort", "patient,-status")]], ids=["plain", "date", "two"]
)
@pytest.mark.parametrize("size", ["1", "7", "64"])
def test_every_report_is_seen_once_on_all_pages_together(
    client: FhirClient, size: str, order: list[tuple[str, str]]
) -> None:
    seen = [one["id"] for one in client.find("DiagnosticReport", [*ALL, ("_count", size), *order])]
    assert Counter(seen) == Counter(REPORTS.keys())


def test_every_resource_arrives_as_it_was_sent(client: FhirClient, gateway: Running) -> None:
    """Also through the models of a client that has some, and whatever the client makes of compression and encodings."""
    for kind in KINDS:
        sent = httpx.get(f"{gateway.fhir_base}/{kind}", params=[*ALL, ("_count", "500")]).json()
        expected = matches(sent) if client.has_primitive_extensions else without_primitive_extensions(matches(sent))
        assert client.find(kind, [*ALL, ("_count", "100")]) == expected
        assert matches(sent) or kind == "Encounter"  # no hospital tells this gateway of visits


def test_a_page_is_no_larger_than_was_asked_for(client: FhirClient) -> None:
    assert len(matches(client.page("DiagnosticReport", [*ALL, ("_count", "7")]))) == 7


def test_a_report_is_read_as_a_search_gave_it_and_by_its_version(client: FhirClient) -> None:
    one = min(REPORTS)
    (found,) = client.find("DiagnosticReport", [("_id", one)])
    assert client.read(f"DiagnosticReport/{one}") == found
    assert client.vread(f"DiagnosticReport/{one}", found["meta"]["versionId"]) == found


def test_the_patient_comes_with_the_reports(client: FhirClient) -> None:
    asked = [("identifier", f"urn:autoscribe-gateway:report|{REPORTS[one]['reportId']}") for one in one_person()[1]]
    for pair in asked:
        page = client.page("DiagnosticReport", [pair, ("_include", "DiagnosticReport:patient")])
        (report,), (patient,) = matches(page), of_mode(page, "include")
        assert report["subject"]["reference"] == f"Patient/{patient['id']}"
        assert patient == patient_of(client)


def test_every_reference_of_a_report_leads_to_a_resource(client: FhirClient) -> None:
    for one in one_person()[1]:
        report = client.read(f"DiagnosticReport/{one}")
        elements = [report["subject"], *(part for name in REFERRING for part in report.get(name, ()))]
        addresses = {part["reference"] for part in elements if "reference" in part}
        assert {f"{found['resourceType']}/{found['id']}" for found in map(client.read, addresses)} == addresses
        assert {address.partition("/")[0] for address in addresses} >= {"Patient", "Organization", "Observation"}


def test_the_text_of_a_report_is_the_one_that_was_signed(client: FhirClient) -> None:
    one, form = report_of(client, "text/plain")
    binary = client.read(form["url"])
    data = base64.b64decode(binary["data"])
    assert data.decode() == REPORTS[one]["reportPlainText"]
    assert (base64.b64decode(form["data"]), binary["contentType"]) == (data, form["contentType"])
    assert agrees(form, data)


def test_the_pdf_of_a_report_is_the_one_that_autoscribe_has(client: FhirClient, gateway: Running) -> None:
    one, form = report_of(client, "application/pdf")
    binary = client.read(form["url"])
    data = base64.b64decode(binary["data"])
    assert (data[:5], binary["contentType"]) == (b"%PDF-", "application/pdf")
    assert data == pdf_of(gateway.upstream, one)
    assert agrees(form, data)


def test_the_version_before_the_pdf_came_is_still_there(client: FhirClient) -> None:
    one, _ = report_of(client, "application/pdf")
    assert "hash" not in form_of(client.vread(f"DiagnosticReport/{one}", "1"), "application/pdf")


@pytest.mark.parametrize(
    ("words", "name"),
    [
        ("O'Test", "Edgar O'Test"),
        ("Konrad Lee", "Konrad Lee Nullman"),
        ("Ludwig van der", "Ludwig van der Testen III"),
        ("Łukasz-Müstermann", "Zoë Łukasz-Müstermann"),
        ("lukasz", "Zoë Łukasz-Müstermann"),
        ("測試", "測試 樣本"),
        ("DOE^JANE", "DOE^JANE"),
    ],
    ids=ascii,
)
def test_a_name_is_found_however_the_client_encodes_it(client: FhirClient, words: str, name: str) -> None:
    assert any(one["snapshotMetadata"].get("patientName") == name for one in REPORTS.values())
    assert name in {one["name"][0]["text"] for one in client.find("Patient", [("name", words)])}


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("get", "DiagnosticReport/rep-" + "0" * 32, 404, "not-found"),
        ("get", f"DiagnosticReport/{min(REPORTS)}/_history/999", 404, "not-found"),
        ("get", "Binary/unknown", 404, "not-found"),
        ("get", "Condition/1", 404, "not-found"),
        ("get", "DiagnosticReport?date=yesterday", 400, "invalid"),
        ("get", "DiagnosticReport?patient:text=1", 400, "not-supported"),
        ("get", "DiagnosticReport", 400, "too-costly"),
        ("get", "DiagnosticReport?_page=forged", 400, "invalid"),
        ("post", "DiagnosticReport", 405, "not-supported"),
        ("post", f"DiagnosticReport/{min(REPORTS)}/$addendum", 400, "required"),
    ],
)
def test_an_error_comes_as_the_client_s_own_with_the_operation_outcome(
    client: FhirClient, method: str, path: str, status: int, code: str
) -> None:
    refusal = client.refusal(method, path)
    assert refusal.error == client.errors.get(status, client.errors[None])
    assert refusal.outcome["resourceType"] == "OperationOutcome"
    (issue,) = refusal.outcome["issue"]
    assert (issue["severity"], issue["code"]) == ("error", code)
