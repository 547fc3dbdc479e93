"""https://hl7.org/fhir/R4/http.html#read, #vread and #cread; decisions D25 and D26."""

import re
import xml.etree.ElementTree as ET
from datetime import timedelta

import pytest
from fakes.facade import BASE, facade, resource_id
from fakes.outcomes import issue, refusal

from gateway.fhir_api.http.summary import SUBSETTED
from gateway.runtime import clock
from gateway.store import study_rows
from mappings.issues import MappingIssue
from mappings.patient.identifiers import fhir_id

NO_ONE = "0" * 32
XML = {"Accept": "application/fhir+xml"}


def later(monkeypatch, seconds):
    """Advance the clock by so many seconds."""
    now = clock.now
    monkeypatch.setattr(clock, "now", lambda: now() + timedelta(seconds=seconds))


def rejecting(monkeypatch, resource_type):
    """Make the judge find a fault in every resource of this type."""
    fault = MappingIssue("fhir-structure", "error", "/status", "refused as enum")
    faults = {resource_type: (fault,)}
    monkeypatch.setattr(study_rows, "judge_all", lambda made, *_: [faults.get(one["resourceType"], ()) for one in made])


async def test_a_report_is_read_with_its_version_and_instant(stage):
    report = stage.signed()
    response = await stage.get(f"DiagnosticReport/{resource_id(report)}")
    resource = response.json()
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/fhir+json; charset=utf-8"
    assert response.headers["etag"] == f'W/"{resource["meta"]["versionId"]}"'
    assert response.headers["last-modified"].endswith(" GMT")
    assert response.headers["age"] in {"0", "1"}
    assert (resource["id"], resource["status"]) == (resource_id(report), "final")


async def test_what_is_stored_is_served_without_asking_autoscribe(stage):
    path = f"DiagnosticReport/{resource_id(stage.signed())}"
    first = await stage.get(path)
    stage.routes_seen()
    assert (await stage.get(path)).content == first.content
    assert stage.routes_seen() == []


@pytest.mark.parametrize("fault", ["500", "429", "non-json", "timeout"])
async def test_what_is_stored_is_served_though_autoscribe_is_down(fault):
    async with facade(timeout=0.3) as stage:
        path = f"DiagnosticReport/{resource_id(stage.signed())}"
        first = await stage.get(path)
        stage.fail(fault)
        again = await stage.get(path)
        assert (again.status_code, again.content) == (200, first.content)
        assert "age" in again.headers


async def test_what_is_not_stored_cannot_be_served_while_autoscribe_is_out_of_reach(stage):
    async with facade(base_url="http://127.0.0.1:1") as cut_off:
        response = await cut_off.get(f"DiagnosticReport/{resource_id(stage.signed())}")
    assert refusal(response) == (503, "error", "transient")
    assert issue(response)["detail"] == "upstream-unreachable"
    assert response.headers["retry-after"] == "5"


async def test_what_is_not_stored_cannot_be_served_while_autoscribe_does_not_answer():
    async with facade(faults=("timeout",), timeout=0.3) as stage:
        response = await stage.get(f"DiagnosticReport/{resource_id(stage.signed())}")
        assert refusal(response) == (504, "error", "timeout")


@pytest.mark.parametrize(
    "headers",
    [
        {"Cache-Control": "no-cache"},
        {"Cache-Control": "no-store, No-Cache"},
        {"Cache-Control": "max-age=99"},
        {"Cache-Control": 'max-age = "0"'},
        {"Pragma": "no-cache"},
    ],
)
async def test_who_takes_no_answer_as_old_as_that_gets_what_autoscribe_says(stage, monkeypatch, headers):
    report = stage.signed()
    path = f"DiagnosticReport/{resource_id(report)}"
    first = await stage.get(path)
    stage.account.change_text(report["reportId"], "FINDINGS: other.")
    later(monkeypatch, 100)
    assert (await stage.get(path)).headers["etag"] == first.headers["etag"]
    stage.routes_seen()
    second = await stage.get(path, headers=headers)
    assert {one.split("/")[1] for one in stage.routes_seen()} >= {"studies", "reports"}
    assert (first.headers["etag"], second.headers["etag"]) == ('W/"1"', 'W/"2"')
    assert second.json()["meta"]["lastUpdated"] > first.json()["meta"]["lastUpdated"]
    assert second.json()["status"] == "corrected"
    assert second.headers["age"] in {"0", "1"}


@pytest.mark.parametrize(
    "headers",
    [
        {"Cache-Control": "max-age=101"},
        {"Cache-Control": "no-store"},
        {"Cache-Control": "max-age=x"},
        {"Cache-Control": "s-maxage=0"},
        {"Pragma": "other"},
    ],
)
async def test_who_takes_an_answer_as_old_as_that_gets_what_is_stored_and_how_old_it_is(stage, monkeypatch, headers):
    path = f"DiagnosticReport/{resource_id(stage.signed())}"
    await stage.get(path)
    later(monkeypatch, 100)
    stage.routes_seen()
    assert (await stage.get(path, headers=headers)).headers["age"] in {"100", "101"}
    assert stage.routes_seen() == []


async def test_an_answer_that_autoscribe_gave_again_is_as_old_as_that_though_nothing_changed(stage, monkeypatch):
    path = f"DiagnosticReport/{resource_id(stage.signed())}"
    first = await stage.get(path)
    later(monkeypatch, 100)
    again = await stage.get(path, headers={"Cache-Control": "no-cache"})
    assert (again.content, again.headers["etag"]) == (first.content, first.headers["etag"])
    assert again.headers["age"] in {"0", "1"}


async def test_who_wants_it_new_is_told_when_autoscribe_cannot_be_asked(stage):
    path = f"DiagnosticReport/{resource_id(stage.signed())}"
    await stage.get(path)
    stage.fail("500")
    response = await stage.get(path, headers={"Cache-Control": "no-cache"})
    assert refusal(response) == (502, "error", "transient")


@pytest.mark.parametrize("switch", ["unknown_id=404", "unknown_id=400", "unknown_id=422"])
async def test_what_autoscribe_shows_no_more_stands_as_it_was_seen_last(switch):
    async with facade(switch) as stage:
        report = stage.signed()
        path = f"DiagnosticReport/{resource_id(report)}"
        first = await stage.get(path)
        del stage.account.studies[report["studyId"]]
        response = await stage.get(path, headers={"Cache-Control": "no-cache"})
        assert (response.status_code, response.content) == (200, first.content)


async def test_a_signer_is_asked_for_anew_where_that_is_wanted(stage):
    report = stage.signed()
    path = f"Practitioner/{fhir_id(report['userId'])}"
    await stage.get(path)
    stage.routes_seen()
    assert (await stage.get(path)).status_code == 200
    assert stage.routes_seen() == []


async def test_what_several_studies_speak_of_has_no_age_and_is_served_whoever_wants_it_new(stage):
    read = (await stage.get(f"DiagnosticReport/{resource_id(stage.signed())}")).json()
    response = await stage.get(read["subject"]["reference"], headers={"Cache-Control": "no-cache"})
    assert response.status_code == 200
    assert "age" not in response.headers


async def test_what_changed_is_another_version_and_the_old_one_can_still_be_read(stage):
    report = stage.signed()
    path = f"DiagnosticReport/{resource_id(report)}"
    first = await stage.get(path)
    stage.account.change_text(report["reportId"], "FINDINGS: other.")
    second = await stage.get(path, headers={"Cache-Control": "no-cache"})
    old, new = await stage.get(f"{path}/_history/1"), await stage.get(f"{path}/_history/2")
    assert (old.content, old.headers["etag"]) == (first.content, 'W/"1"')
    assert (new.content, new.headers["etag"]) == (second.content, 'W/"2"')
    assert old.headers["last-modified"].endswith(" GMT")


async def test_a_version_is_answered_as_a_resource_is(stage):
    path = f"DiagnosticReport/{resource_id(stage.signed())}"
    version = f"{BASE}/{path}/_history/1"
    await stage.get(path)
    whole = {"Accept-Encoding": "identity"}
    got = await stage.client.get(version, headers=whole)
    assert (await stage.client.get(version, headers={"If-None-Match": got.headers["etag"]})).status_code == 304
    head = await stage.client.head(version, headers=whole)
    assert (head.content, head.headers) == (b"", got.headers)
    assert ET.fromstring((await stage.client.get(version, headers=XML)).content).tag.endswith("}DiagnosticReport")
    assert (await stage.client.get(f"{version}?_elements=code")).json()["meta"]["tag"] == [SUBSETTED]


@pytest.mark.full
@pytest.mark.parametrize("version", ["2", "0", "01", "-1", "x", "1e0", "%31%00", "9" * 15, "9" * 40])
async def test_a_version_that_is_not_there_is_a_404(stage, version):
    path = f"DiagnosticReport/{resource_id(stage.signed())}"
    await stage.get(path)
    assert refusal(await stage.get(f"{path}/_history/{version}")) == (404, "error", "not-found")


async def test_the_version_of_a_resource_that_is_not_stored_is_a_404_and_nothing_is_asked_for(stage):
    response = await stage.get(f"DiagnosticReport/{resource_id(stage.signed())}/_history/1")
    assert refusal(response) == (404, "error", "not-found")
    assert stage.requests == []


@pytest.mark.parametrize("form", ["{}", '"other", {}', "W/{}", "*"])
async def test_who_has_the_version_already_gets_no_body(stage, form):
    path = f"DiagnosticReport/{resource_id(stage.signed())}"
    etag = (await stage.get(path)).headers["etag"]
    response = await stage.get(path, headers={"If-None-Match": form.format(etag.removeprefix("W/"))})
    assert (response.status_code, response.content, response.headers["etag"]) == (304, b"", etag)


async def test_who_has_another_version_gets_the_body(stage):
    path = f"DiagnosticReport/{resource_id(stage.signed())}"
    assert (await stage.get(path, headers={"If-None-Match": 'W/"other"'})).status_code == 200


async def test_who_has_it_since_it_was_changed_gets_no_body(stage):
    path = f"DiagnosticReport/{resource_id(stage.signed())}"
    changed = (await stage.get(path)).headers["last-modified"]
    response = await stage.get(path, headers={"If-Modified-Since": changed})
    assert (response.status_code, response.content) == (304, b"")
    before = {"If-Modified-Since": "Mon, 05 Jan 2026 20:30:14 GMT"}
    assert (await stage.get(path, headers=before)).status_code == 200
    both = {"If-None-Match": '"0"', "If-Modified-Since": changed}
    assert (await stage.get(path, headers=both)).status_code == 200


@pytest.mark.parametrize("accept", ["application/fhir+json", "application/fhir+xml"])
async def test_head_says_what_get_says_without_the_body(stage, monkeypatch, accept):
    path = f"{BASE}/DiagnosticReport/{resource_id(stage.signed())}"
    await stage.client.get(path)
    noon = clock.now()
    monkeypatch.setattr(clock, "now", lambda: noon)
    headers = {"Accept": accept, "Accept-Encoding": "identity"}
    got, head = await stage.client.get(path, headers=headers), await stage.client.head(path, headers=headers)
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
    assert issue(before)["diagnostics"] == "there is no such Patient in the index; its ids are pat-<32 hex>"
    await stage.get(f"DiagnosticReport/{resource_id(report)}")
    after = await stage.get(patient)
    assert (after.status_code, f"Patient/{after.json()['id']}") == (200, patient)


async def test_a_role_is_there_once_a_report_was_read_and_leads_to_user_and_facility(stage):
    report = stage.signed()
    async with facade() as other:
        read = (await other.get(f"DiagnosticReport/{resource_id(report)}")).json()
        user = fhir_id(report["userId"])
        asked = f"PractitionerRole?practitioner={user}&_include=PractitionerRole:practitioner"
        bundle = (await other.get(asked)).json()
        role, practitioner = (one["resource"] for one in bundle["entry"][:2])
        back = await other.get(f"Practitioner?_id={user}&_revinclude=PractitionerRole:practitioner")
    assert practitioner["id"] == user
    assert back.json()["entry"][1]["resource"] == role
    assert role["organization"]["reference"] in {one.get("reference") for one in read["performer"]}
    path = f"PractitionerRole/{role['id']}"
    before = await stage.get(path)
    assert refusal(before) == (404, "error", "not-found")
    assert stage.routes_seen() == []
    await stage.get(f"DiagnosticReport/{resource_id(report)}")
    after = await stage.get(path, headers={"Cache-Control": "no-cache"})
    assert (after.status_code, after.json()["id"]) == (200, role["id"])


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
        f"PractitionerRole/usr-{NO_ONE}",
        f"PractitionerRole/usr-{NO_ONE}-{'0' * 22}",
        "Patient/pat-1",
        f"Patient/pat-{NO_ONE}",
        "Organization/org-1",
        f"Organization/org-{NO_ONE}",
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
    assert issue(response)["diagnostics"].startswith("there is no such Observation")


@pytest.mark.parametrize("switch", ["unknown_id=404", "unknown_id=400", "unknown_id=422"])
async def test_an_unknown_id_is_a_404_however_autoscribe_says_it(switch):
    async with facade(switch) as stage:
        assert refusal(await stage.get(f"DiagnosticReport/rep-{NO_ONE}"))[0] == 404


@pytest.mark.parametrize("switch", ["external_reports=data", "external_reports=404", "external_reports=empty"])
async def test_nothing_of_an_archived_study_is_served(switch):
    async with facade(switch) as stage:
        archived = next(one for one in stage.account.studies.values() if one["studyType"] == "external")
        study = f"ImagingStudy/{fhir_id(archived['studyId'])}"
        report = f"DiagnosticReport/{resource_id(stage.account.archived[archived['studyId']][0])}"
        for path in (study, report, study):
            assert refusal(await stage.get(path)) == (404, "error", "not-found")


async def test_a_resource_that_the_judge_rejects_is_not_served_and_its_faults_are_named(stage, monkeypatch):
    rejecting(monkeypatch, "DiagnosticReport")
    report_id = resource_id(stage.signed())
    for _ in ("read through", "stored"):
        response = await stage.get(f"DiagnosticReport/{report_id}")
        assert refusal(response) == (404, "error", "not-found")
        assert "suppressed" in issue(response)["diagnostics"]
        assert "(1): /status: fhir-structure" in issue(response)["diagnostics"]
    assert (await stage.get(f"DiagnosticReport/{report_id}/_history/1")).status_code == 404
    assert (await stage.get(f"DocumentReference/{report_id}-doc")).status_code == 200


async def test_a_resource_that_was_rejected_is_served_once_autoscribe_says_something_better(stage, monkeypatch):
    report = stage.signed()
    path = f"DiagnosticReport/{resource_id(report)}"
    with monkeypatch.context() as patched:
        rejecting(patched, "DiagnosticReport")
        assert (await stage.get(path)).status_code == 404
    stage.account.change_text(report["reportId"], "FINDINGS: other.")
    assert (await stage.get(path)).status_code == 404
    response = await stage.get(path, headers={"Cache-Control": "no-cache"})
    assert (response.status_code, response.headers["etag"]) == (200, 'W/"2"')


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
        "text/html",
        "application/json;q=0",
        "application/fhir+json; fhirVersion=3.0",
        "application/fhir+xml; fhirVersion=5.0",
        "application/json;q=x",
    ],
)
async def test_who_takes_neither_format_is_told_what_there_is(stage, accept):
    response = await stage.get(f"DiagnosticReport/{resource_id(stage.signed())}", headers={"Accept": accept})
    assert refusal(response) == (406, "error", "not-supported")
    assert "application/fhir+json and application/fhir+xml" in issue(response)["diagnostics"]


async def test_format_outranks_accept(stage):
    path = f"DiagnosticReport/{resource_id(stage.signed())}"
    for wanted in ("json", "application/fhir%2Bjson", "application/fhir+json"):
        response = await stage.get(f"{path}?_format={wanted}", headers=XML)
        assert response.headers["content-type"] == "application/fhir+json; charset=utf-8"
    response = await stage.get(f"{path}?_format=xml")
    assert response.headers["content-type"] == "application/fhir+xml; charset=utf-8"
    assert refusal(await stage.get(f"{path}?_format=html"))[0] == 406


async def test_xml_is_the_same_resource_with_the_same_validators(stage):
    path = f"DiagnosticReport/{resource_id(stage.signed())}"
    as_json, as_xml = await stage.get(path), await stage.get(path, headers=XML)
    assert as_xml.headers["content-type"] == "application/fhir+xml; charset=utf-8"
    assert [as_xml.headers[name] for name in ("etag", "last-modified", "vary")] == [
        as_json.headers[name] for name in ("etag", "last-modified", "vary")
    ]
    root = ET.fromstring(as_xml.content)
    fhir = {"f": "http://hl7.org/fhir"}
    assert root.find("f:id", fhir).get("value") == as_json.json()["id"]
    assert root.find("f:meta/f:versionId", fhir).get("value") == as_json.json()["meta"]["versionId"]
    assert len(root.findall("f:presentedForm", fhir)) == len(as_json.json()["presentedForm"])
    has_it = {**XML, "If-None-Match": as_json.headers["etag"]}
    assert (await stage.get(path, headers=has_it)).status_code == 304
    assert b"\n  <id " in (await stage.get(f"{path}?_pretty=true", headers=XML)).content


async def test_a_part_of_a_resource_is_marked_and_keeps_what_it_may_not_do_without(stage):
    path = f"DiagnosticReport/{resource_id(stage.signed())}"
    whole = (await stage.get(path)).json()
    asked = await stage.get(f"{path}?_elements=issued")
    part = asked.json()
    assert part["meta"]["tag"] == [SUBSETTED]
    assert part["issued"] == whole["issued"]
    assert part["status"] == whole["status"]
    assert not {"presentedForm", "conclusion", "text"} & part.keys()
    summary = (await stage.get(f"{path}?_summary=true")).json()
    assert summary["meta"]["tag"] == [SUBSETTED]
    assert "presentedForm" not in summary
    text = (await stage.get(f"{path}?_summary=text")).json()
    assert text["text"] == whole["text"]
    assert (await stage.get(f"{path}?_summary=false")).json() == whole
    assert ET.fromstring((await stage.get(f"{path}?_summary=true&_format=xml")).content).tag.endswith("Report")


@pytest.mark.parametrize(
    ("query", "place"), [("_summary=count", "http._summary"), ("_summary=x", ""), ("_elements=1", "")]
)
async def test_a_part_that_no_resource_has_is_refused_before_anything_is_asked_for(stage, query, place):
    for path in (f"DiagnosticReport/rep-{NO_ONE}", f"DiagnosticReport/rep-{NO_ONE}/_history/1"):
        response = await stage.get(f"{path}?{query}")
        assert refusal(response) == (400, "error", "invalid")
        assert not place or issue(response)["expression"] == [place]
    assert stage.requests == []


async def test_pretty_is_the_same_resource_with_line_breaks(stage):
    path = f"DiagnosticReport/{resource_id(stage.signed())}"
    plain, pretty = await stage.get(path), await stage.get(f"{path}?_pretty=true")
    assert plain.json() == pretty.json()
    assert re.match(rb'\{\n  "resourceType"', pretty.content)
    assert b"\n" not in plain.content
