"""Peculiarities of single clients: shortcuts, and assumptions about servers.

https://hl7.org/fhir/R4/http.html, https://hl7.org/fhir/R4/search.html#modifyingresults.
"""

from __future__ import annotations

import base64
from typing import Any

import pytest
from clients.account import REPORTS, one_person, pdf_of, signed_alone
from clients.client import matches
from clients.fhirclient_client import Fhirclient
from clients.kit_client import JavaScriptClient, KitError
from clients.processes import Running
from fhirclient.client import FHIRClient
from fhirclient.models.binary import Binary
from fhirclient.models.diagnosticreport import DiagnosticReport
from fhirclient.models.patient import Patient
from fhirpy.base.exceptions import OperationOutcome

pytestmark = pytest.mark.timeout(400)
SINCE = "2000-01-01"
ALL = [("_lastUpdated", f"ge{SINCE}")]
ONE = min(signed_alone())


def test_fhirpy_counts_without_fetching(fhirpy: Any) -> None:
    """It asks for `_count=0` and for a parameter that it made up: that is said, and changes nothing."""
    assert fhirpy.resources("DiagnosticReport").search(_lastUpdated__ge=SINCE).count() == len(REPORTS)


def test_fhirpy_gets_the_only_match_and_its_patient(fhirpy: Any) -> None:
    report = fhirpy.resources("DiagnosticReport").search(_id=ONE).get()
    patient = report["subject"].to_resource()
    assert (report.reference, patient.reference) == (f"DiagnosticReport/{ONE}", report["subject"].reference)


def test_fhirpy_refreshes_a_resource_with_a_version_that_is_no_entity_tag(fhirpy: Any) -> None:
    """It sends the bare version in If-None-Match, which RFC 9110 §13.1.2 does not know: the whole answer is safe."""
    report = fhirpy.resources("DiagnosticReport").search(_id=ONE).get()
    before = report.serialize()
    assert report.refresh().serialize() == before


def test_fhirpy_sorts_and_takes_elements(fhirpy: Any) -> None:
    found = fhirpy.resources("DiagnosticReport").search(_lastUpdated__ge=SINCE, status="final").sort("-issued")
    issued = [one["issued"] for one in found.elements("issued", "status").limit(20).fetch()]
    assert issued == sorted(issued, reverse=True) and len(issued) == 20


def test_fhirpy_learns_that_nothing_is_written_here(fhirpy: Any) -> None:
    draft = fhirpy.resource("DiagnosticReport", status="final", code={"text": "CT"})
    with pytest.raises(OperationOutcome) as refused:
        draft.save()
    assert refused.value.resource["issue"][0]["code"] == "not-supported"


def test_fhirpy_has_a_resource_judged(fhirpy: Any) -> None:
    report = fhirpy.resources("DiagnosticReport").search(_id=ONE).get()
    assert report.is_valid(raise_exception=True)
    report["status"] = "signed"
    assert not report.is_valid()


def test_fhirclient_opens_the_patient_that_an_app_is_launched_for(fhirclient: Fhirclient, gateway: Running) -> None:
    (found,) = fhirclient.find("Patient", [("identifier", one_person()[0])])
    app = FHIRClient({"app_id": "acceptance", "api_base": gateway.fhir_base, "patient_id": found["id"]})
    assert app.prepare()
    assert app.patient.as_json() == found
    assert app.human_name(app.patient.name[0])


def test_fhirclient_searches_with_its_own_structures_and_resolves_references(fhirclient: Fhirclient) -> None:
    search = DiagnosticReport.where({"identifier": REPORTS[ONE]["reportId"]}).include("subject")
    report, patient, *_ = search.perform_resources_iter(fhirclient.server)
    assert (report.id, patient.id) == (ONE, report.subject.resolved(Patient).id)


def test_fhirclient_fetches_the_bytes_of_an_attachment(fhirclient: Fhirclient, gateway: Running) -> None:
    report = DiagnosticReport.read(ONE, fhirclient.server)
    data = {one.contentType: fhirclient.data(one.url, one.contentType) for one in report.presentedForm}
    assert data["application/pdf"] == pdf_of(gateway.upstream, ONE)
    assert data["text/plain; charset=utf-8"].decode() == REPORTS[ONE]["reportPlainText"]


def test_fhirclient_reads_an_attachment_as_a_resource_where_it_asks_for_nothing_else(fhirclient: Fhirclient) -> None:
    report = DiagnosticReport.read(ONE, fhirclient.server)
    for one in report.presentedForm:
        assert Binary.read_from(one.url, fhirclient.server).contentType == one.contentType


@pytest.mark.parametrize("options", [{}, {"postSearch": True}], ids=["get", "post"])
def test_fhir_kit_client_walks_back_the_way_it_came(kit: JavaScriptClient, options: dict[str, Any]) -> None:
    pages = kit.ask("pages", "DiagnosticReport", [*ALL, ("_count", "7")], options)
    back = kit.ask("backwards", pages[-1])
    assert [[one["id"] for one in matches(page)] for page in back[::-1]] == [
        [one["id"] for one in matches(page)] for page in pages
    ]
    assert len(pages) == -(-len(REPORTS) // 7)


def test_fhir_kit_client_resolves_a_reference_in_the_bundle_and_without_it(kit: JavaScriptClient) -> None:
    page = kit.page("DiagnosticReport", [("_id", ONE), ("_include", "DiagnosticReport:subject")])
    subject = matches(page)[0]["subject"]["reference"]
    assert kit.ask("resolve", subject, page) == kit.ask("resolve", subject)


def test_fhir_kit_client_asks_for_several_things_at_once(kit: JavaScriptClient) -> None:
    addresses = [f"DiagnosticReport/{ONE}", "DiagnosticReport/unknown", f"DiagnosticReport?_id={ONE}"]
    entries = [{"request": {"method": "GET", "url": one}} for one in addresses]
    answer = kit.ask("batch", {"resourceType": "Bundle", "type": "batch", "entry": entries})
    read, unknown, found = answer["entry"]
    assert (answer["type"], unknown["response"]["outcome"]["resourceType"]) == ("batch-response", "OperationOutcome")
    assert [one["response"]["status"][:3] for one in answer["entry"]] == ["200", "404", "200"]
    assert read["resource"] == kit.read(addresses[0]) == matches(found["resource"])[0]


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_fhir_kit_client_asks_for_everything_about_a_patient(kit: JavaScriptClient, method: str) -> None:
    (patient,) = kit.find("Patient", [("identifier", one_person()[0])])
    answer = kit.ask("operation", "everything", "Patient", patient["id"], method)
    found = {f"{one['resourceType']}/{one['id']}" for one in matches(answer)}
    assert {f"Patient/{patient['id']}", *(f"DiagnosticReport/{one}" for one in one_person()[1])} <= found


def test_fhir_kit_client_takes_what_is_compressed(kit: JavaScriptClient) -> None:
    assert kit.ask("header", f"DiagnosticReport/{ONE}", "content-encoding") == "gzip"


def test_fhir_kit_client_finds_no_authorization_where_there_is_none(kit: JavaScriptClient) -> None:
    assert kit.ask("smart") == {}


def test_fhir_kit_client_cannot_take_bytes_and_says_so_itself(kit: JavaScriptClient) -> None:
    """It reads every answer as JSON: the text arrives, in its error."""
    with pytest.raises(KitError) as refused:
        kit.ask("bytes", f"Binary/{ONE}-text", "text/plain")
    assert (refused.value.answer["status"], refused.value.answer["outcome"]) == (200, REPORTS[ONE]["reportPlainText"])


def test_smart_puts_what_a_report_refers_to_in_the_place_of_the_references(smart: JavaScriptClient) -> None:
    [report] = smart.ask("resolved", "DiagnosticReport", [("_id", ONE)], ["subject", "resultsInterpreter", "result"])
    kinds = [one["resourceType"] for one in (report["subject"], *report["resultsInterpreter"], *report["result"])]
    assert (kinds[:2], {*kinds[2:]}) == (["Patient", "Practitioner"], {"Observation"})


@pytest.mark.parametrize("name", ["smart", "medplum"])
def test_a_client_of_javascript_fetches_the_bytes_of_an_attachment(
    name: str, request: pytest.FixtureRequest, gateway: Running
) -> None:
    client: JavaScriptClient = request.getfixturevalue(name)
    for form in client.read(f"DiagnosticReport/{ONE}")["presentedForm"]:
        data = base64.b64decode(client.ask("bytes", form["url"], form["contentType"]))
        assert len(data) == form["size"]
        if form["contentType"] == "application/pdf":
            assert data == pdf_of(gateway.upstream, ONE)


def test_medplum_that_wants_nothing_out_of_a_cache_gets_the_reports_alone(medplum: JavaScriptClient) -> None:
    """It says so as browsers do: `Cache-Control: no-cache` and `Pragma: no-cache`."""
    found = medplum.ask("reloaded", "DiagnosticReport", [*ALL, ("_count", "500")])
    assert {one["resourceType"] for one in found} == {"DiagnosticReport"}
    assert {one["id"] for one in found} == REPORTS.keys()


def test_medplum_walks_through_pages_of_a_size_of_its_own(medplum: JavaScriptClient) -> None:
    """It puts `_count=1000` beside the token of a page, which says nothing of a size."""
    found = medplum.find("DiagnosticReport", [*ALL, ("_count", "3"), ("_sort", "-date")])
    assert sorted(one["id"] for one in found) == sorted(REPORTS)
