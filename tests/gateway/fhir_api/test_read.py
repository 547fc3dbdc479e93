"""https://hl7.org/fhir/R4/http.html#read and #cread."""

import re

import pytest
from fakes.facade import BASE, facade, resource_id
from fakes.outcomes import issue, refusal

from gateway import pipeline
from mappings.identifiers import fhir_id
from mappings.issues import MappingIssue

NO_ONE = "0" * 32


async def test_a_report_is_read_with_its_version_and_instant(stage):
    report = stage.signed()
    response = await stage.get(f"DiagnosticReport/{resource_id(report)}")
    resource = response.json()
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/fhir+json; charset=utf-8"
    assert response.headers["etag"] == f'W/"{resource["meta"]["versionId"]}"'
    assert response.headers["last-modified"].endswith(" GMT")
    assert response.headers["cache-control"] == "private, no-cache"
    assert (resource["id"], resource["status"]) == (resource_id(report), "final")


async def test_every_read_of_a_report_asks_autoscribe(stage):
    path = f"DiagnosticReport/{resource_id(stage.signed())}"
    await stage.get(path)
    stage.routes_seen()
    await stage.get(path)
    assert {one.split("/")[1] for one in stage.routes_seen()} == {"studies", "reports"}


async def test_what_changed_in_autoscribe_is_read_as_another_version(stage):
    report = stage.signed()
    path = f"DiagnosticReport/{resource_id(report)}"
    first = await stage.get(path)
    stage.account.change_text(report["reportId"], "FINDINGS: other.")
    second = await stage.get(path)
    assert second.headers["etag"] != first.headers["etag"]
    assert second.json()["meta"]["lastUpdated"] > first.json()["meta"]["lastUpdated"]


@pytest.mark.parametrize("form", ["{}", '"other", {}', "W/{}", "*"])
async def test_who_has_the_version_already_gets_no_body(stage, form):
    path = f"DiagnosticReport/{resource_id(stage.signed())}"
    etag = (await stage.get(path)).headers["etag"]
    response = await stage.get(path, headers={"If-None-Match": form.format(etag.removeprefix("W/"))})
    assert (response.status_code, response.content, response.headers["etag"]) == (304, b"", etag)


async def test_who_has_another_version_gets_the_body(stage):
    path = f"DiagnosticReport/{resource_id(stage.signed())}"
    assert (await stage.get(path, headers={"If-None-Match": 'W/"other"'})).status_code == 200


async def test_head_says_what_get_says_without_the_body(stage):
    path = f"{BASE}/DiagnosticReport/{resource_id(stage.signed())}"
    got, head = await stage.client.get(path), await stage.client.head(path)
    assert head.headers == got.headers
    assert (head.content, int(head.headers["content-length"])) == (b"", len(got.content))


async def test_the_other_resources_of_a_study_are_read_through_by_the_id_inside(stage):
    report = stage.signed()
    read = (await stage.get(f"DiagnosticReport/{resource_id(report)}")).json()
    async with facade() as other:
        for reference in (
            read["imagingStudy"][0]["reference"],
            read["result"][0]["reference"],
            read["basedOn"][0]["reference"],
            f"DocumentReference/{resource_id(report)}-doc",
            f"Provenance/{resource_id(report)}-prov",
            f"Practitioner/{fhir_id(report['userId'])}",
        ):
            response = await other.get(reference)
            assert (response.status_code, response.json()["id"]) == (200, reference.rpartition("/")[2])


async def test_a_patient_is_there_once_a_report_was_read_and_not_before(stage):
    report = stage.signed()
    async with facade() as other:
        patient = (await other.get(f"DiagnosticReport/{resource_id(report)}")).json()["subject"]["reference"]
    before = await stage.get(patient)
    assert refusal(before) == (404, "error", "not-found")
    assert "Nothing is stored yet" in issue(before)["diagnostics"]
    assert "Read a report about it first" in issue(before)["diagnostics"]
    await stage.get(f"DiagnosticReport/{resource_id(report)}")
    after = await stage.get(patient)
    assert (after.status_code, f"Patient/{after.json()['id']}") == (200, patient)


async def test_an_organization_is_there_once_a_report_was_read(stage):
    read = (await stage.get(f"DiagnosticReport/{resource_id(stage.signed())}")).json()
    organizations = [one["reference"] for one in read["performer"] if one.get("reference", "").startswith("Organ")]
    assert organizations
    assert (await stage.get(organizations[0])).status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        f"DiagnosticReport/rep-{NO_ONE}",
        f"DiagnosticReport/stu-{NO_ONE}",
        "DiagnosticReport/rep_" + NO_ONE,
        "DiagnosticReport/other",
        f"ImagingStudy/stu-{NO_ONE}",
        f"Observation/rep-{NO_ONE}-s9",
        f"ServiceRequest/stu-{NO_ONE}-req",
        f"DocumentReference/rep-{NO_ONE}-doc",
        f"Practitioner/usr-{NO_ONE}",
        f"Practitioner/rep-{NO_ONE}",
        "Patient/pat-1",
        "Binary/other",
        f"Binary/rep-{NO_ONE}-pdf",
        f"Binary/rep-{NO_ONE}-text",
    ],
)
async def test_what_is_not_there_is_a_404(stage, path):
    assert refusal(await stage.get(path)) == (404, "error", "not-found")


async def test_an_observation_that_its_report_does_not_have_is_a_404(stage):
    response = await stage.get(f"Observation/{resource_id(stage.signed())}-s999")
    assert refusal(response) == (404, "error", "not-found")
    assert issue(response)["diagnostics"] == "the study has no such Observation"


@pytest.mark.parametrize("switch", ["unknown_id=404", "unknown_id=400", "unknown_id=422"])
async def test_an_unknown_id_is_a_404_however_autoscribe_says_it(switch):
    async with facade(switch) as stage:
        assert refusal(await stage.get(f"DiagnosticReport/rep-{NO_ONE}"))[0] == 404


async def test_an_archived_study_is_never_served(stage):
    archived = next(one for one in stage.account.studies.values() if one["studyType"] == "external")
    assert refusal(await stage.get(f"ImagingStudy/{fhir_id(archived['studyId'])}")) == (404, "error", "not-found")


async def test_a_resource_that_the_judge_rejects_is_not_served_and_its_faults_are_named(stage, monkeypatch):
    fault = MappingIssue("fhir-structure", "error", "/status", "refused as enum")
    faults = {"DiagnosticReport": (fault,)}
    monkeypatch.setattr(pipeline, "judge_all", lambda made: [faults.get(one["resourceType"], ()) for one in made])
    response = await stage.get(f"DiagnosticReport/{resource_id(stage.signed())}")
    assert refusal(response) == (404, "error", "not-found")
    assert "/status: fhir-structure" in issue(response)["diagnostics"]


async def test_a_draft_says_that_it_is_registered_and_not_what_is_dictated(stage):
    draft = next(stage.reports(status="in_progress", isAddendum=False))
    resource = (await stage.get(f"DiagnosticReport/{resource_id(draft)}")).json()
    assert resource["status"] == "registered"
    assert "presentedForm" not in resource


@pytest.mark.parametrize(
    "accept", ["application/fhir+json", "application/json;q=0.5, text/html", "*/*", "application/*"]
)
async def test_json_is_given_to_who_takes_it(stage, accept):
    path = f"DiagnosticReport/{resource_id(stage.signed())}"
    assert (await stage.get(path, headers={"Accept": accept})).status_code == 200


@pytest.mark.parametrize(
    "accept",
    [
        "application/fhir+xml",
        "text/html",
        "application/json;q=0",
        "application/fhir+json; fhirVersion=3.0",
        "application/json;q=x",
    ],
)
async def test_who_takes_no_json_is_told_what_there_is(stage, accept):
    response = await stage.get(f"DiagnosticReport/{resource_id(stage.signed())}", headers={"Accept": accept})
    assert refusal(response) == (406, "error", "not-supported")
    assert "application/fhir+json" in issue(response)["diagnostics"]


async def test_format_outranks_accept(stage):
    path = f"DiagnosticReport/{resource_id(stage.signed())}"
    xml = {"Accept": "application/fhir+xml"}
    assert (await stage.get(f"{path}?_format=json", headers=xml)).status_code == 200
    assert (await stage.get(f"{path}?_format=application/fhir%2Bjson", headers=xml)).status_code == 200
    assert (await stage.get(f"{path}?_format=application/fhir+json", headers=xml)).status_code == 200
    assert (await stage.get(f"{path}?_format=xml")).status_code == 406


async def test_pretty_is_the_same_resource_with_line_breaks(stage):
    path = f"DiagnosticReport/{resource_id(stage.signed())}"
    plain, pretty = await stage.get(path), await stage.get(f"{path}?_pretty=true")
    assert plain.json() == pretty.json()
    assert re.match(rb'\{\n  "resourceType"', pretty.content)
    assert b"\n" not in plain.content
