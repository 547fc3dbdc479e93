"""https://hl7.org/fhir/R4/search.html, decision D30: lenient but never silent."""

from urllib.parse import quote

import pytest
from fakes.facade import BASE, facade, resource_id
from fakes.outcomes import issue, refusal

from gateway import pipeline
from mappings.identifiers import fhir_id
from mappings.issues import MappingIssue

NO_ONE = "0" * 32


def entries(response, mode):
    assert response.status_code == 200, response.text
    return [one["resource"] for one in response.json().get("entry", ()) if one["search"]["mode"] == mode]


def ids(response):
    return {one["id"] for one in entries(response, "match")}


def warnings(response):
    return [one for found in entries(response, "outcome") for one in found["issue"]]


def with_addendum(stage):
    return next(stage.reports(status="completed", isAddendum=True))


async def test_a_study_gives_all_its_reports_in_a_searchset(stage):
    addendum = with_addendum(stage)
    study_id = addendum["studyId"]
    response = await stage.get(f"DiagnosticReport?study={fhir_id(study_id)}")
    bundle = response.json()
    assert (bundle["resourceType"], bundle["type"]) == ("Bundle", "searchset")
    assert ids(response) == {resource_id(one) for one in stage.account.reports[study_id]}
    assert bundle["total"] == len(stage.account.reports[study_id]) == 2
    assert bundle["link"] == [{"relation": "self", "url": f"{BASE}/DiagnosticReport?study={fhir_id(study_id)}"}]
    assert bundle["entry"][0]["fullUrl"] == f"{BASE}/DiagnosticReport/{bundle['entry'][0]['resource']['id']}"


async def test_every_entry_has_a_full_url_of_its_own_the_outcome_too(stage):
    response = await stage.get(
        f"DiagnosticReport?_id={resource_id(stage.signed())}&_include=DiagnosticReport:result&colour=blue"
    )
    urls = [entry["fullUrl"] for entry in response.json()["entry"]]
    assert len(set(urls)) == len(urls) > 2
    assert [url.startswith("urn:uuid:") for url in urls] == [False] * (len(urls) - 1) + [True]


@pytest.mark.parametrize(
    "form",
    [
        "study={stu}",
        "study={study_id}",
        "study=urn:autoscribe-gateway:study|{study_id}",
        "imagingStudy={stu}",
        "imagingStudy=ImagingStudy/{stu}",
        "imagingStudy:ImagingStudy={stu}",
        "imagingStudy:identifier=urn:dicom:uid|urn:oid:{uid}",
        "imagingStudy.identifier=urn:dicom:uid|urn:oid:{uid}",
        "imagingStudy.identifier=urn:dicom:uid|{uid}",
        "imagingStudy.identifier=urn:oid:{uid}",
        "imagingStudy.identifier={uid}",
        "imagingStudy.identifier={study_id}",
        "imagingStudy.identifier=urn:autoscribe-gateway:study|{study_id}",
        "_id={rep}",
        "_id=rep-" + NO_ONE + ",{rep}",
        "_id=,{rep},",
        "study={stu}&_id={rep}",
        "study={stu}&study={study_id}&imagingStudy.identifier={uid}",
    ],
)
async def test_a_report_is_found_by_its_study_in_every_form(stage, form):
    report = stage.signed()
    study = stage.account.studies[report["studyId"]]
    known = {
        "rep": resource_id(report),
        "stu": fhir_id(study["studyId"]),
        "study_id": study["studyId"],
        "uid": study["studyInstanceUid"],
    }
    assert ids(await stage.get("DiagnosticReport?" + form.format(**known))) == {resource_id(report)}


@pytest.mark.parametrize(
    "query",
    [
        f"study=stu-{NO_ONE}",
        f"_id=rep-{NO_ONE}",
        f"_id=stu-{NO_ONE}",
        "_id=unknown",
        "imagingStudy.identifier=urn:oid:1.2.3.4",
        "imagingStudy.identifier=no-oid-at-all",
        "imagingStudy.identifier=urn:other|1.2.3.4",
        "imagingStudy.identifier=|1.2.3.4",
        "imagingStudy.identifier=urn:other|urn:oid:1.2.3.4",
        f"study=urn:other|stu_{NO_ONE}",
    ],
)
async def test_what_nobody_has_is_found_by_nobody(stage, query):
    response = await stage.get(f"DiagnosticReport?{query}")
    assert (response.json()["total"], "entry" in response.json()) == (0, False)


async def test_repeated_parameters_must_all_hold(stage):
    first, second = (one for one, _ in zip(stage.reports(status="completed"), range(2), strict=False))
    both = f"study={fhir_id(first['studyId'])}&_id={resource_id(second)}"
    assert first["studyId"] != second["studyId"]
    nothing = await stage.get(f"DiagnosticReport?{both}")
    assert (ids(nothing), warnings(nothing)) == (set(), [])
    either = f"study={fhir_id(first['studyId'])},{fhir_id(second['studyId'])}"
    assert {resource_id(first), resource_id(second)} <= ids(await stage.get(f"DiagnosticReport?{either}"))


async def test_one_of_the_reports_of_a_study_is_found_alone(stage):
    addendum = with_addendum(stage)
    query = f"study={addendum['studyId']}&_id={resource_id(addendum)}"
    assert ids(await stage.get(f"DiagnosticReport?{query}")) == {resource_id(addendum)}


async def test_a_search_asks_only_for_what_the_narrowest_clause_needs(stage):
    report = stage.signed()
    others = ",".join("stu-" + digit * 32 for digit in "0123")
    stage.routes_seen()
    await stage.get(f"DiagnosticReport?study={fhir_id(report['studyId'])},{others}&_id={resource_id(report)}")
    assert [one for one in stage.routes_seen() if one.startswith("GET /studies")] == [
        f"GET /studies/{report['studyId']}"
    ]


async def test_an_archived_study_has_no_reports_here(stage):
    archived = next(one for one in stage.account.studies.values() if one["studyType"] == "external")
    assert ids(await stage.get(f"DiagnosticReport?study={archived['studyId']}")) == set()


async def test_what_a_report_refers_to_is_included_once_and_not_counted(stage):
    addendum = with_addendum(stage)
    response = await stage.get(
        f"DiagnosticReport?study={addendum['studyId']}&_include=DiagnosticReport:subject"
        "&_include=DiagnosticReport:patient&_include=DiagnosticReport:performer:Organization"
        "&_include=DiagnosticReport:results-interpreter&_include=DiagnosticReport:result"
        "&_include=DiagnosticReport:imagingStudy&_include=DiagnosticReport:based-on:ServiceRequest"
    )
    included = [(one["resourceType"], one["id"]) for one in entries(response, "include")]
    assert len(included) == len(set(included))
    assert {"Patient", "Practitioner", "Observation", "ServiceRequest", "ImagingStudy"} <= {
        kind for kind, _ in included
    }
    assert response.json()["total"] == 2
    assert "_include=DiagnosticReport:subject" in response.json()["link"][0]["url"]


async def test_an_included_resource_that_is_not_served_is_named(stage, monkeypatch):
    fault = MappingIssue("us-core", "error", "/name", "missing")
    faults = {"Patient": (fault,)}
    monkeypatch.setattr(pipeline, "judge_all", lambda made: [faults.get(one["resourceType"], ()) for one in made])
    study_id = stage.signed()["studyId"]
    response = await stage.get(f"DiagnosticReport?study={study_id}&_include=DiagnosticReport:subject")
    assert entries(response, "include") == []
    assert [(one["severity"], one["code"]) for one in warnings(response) if one["code"] == "suppressed"] == [
        ("warning", "suppressed")
    ]


async def test_a_report_that_is_not_served_is_named_and_not_counted(stage, monkeypatch):
    fault = MappingIssue("us-core", "error", "/status", "missing")
    faults = {"DiagnosticReport": (fault,)}
    monkeypatch.setattr(pipeline, "judge_all", lambda made: [faults.get(one["resourceType"], ()) for one in made])
    report = stage.signed()
    response = await stage.get(f"DiagnosticReport?study={report['studyId']}")
    assert response.json()["total"] == 0
    [found] = [one for one in warnings(response) if one["code"] == "suppressed"]
    assert f"DiagnosticReport/{resource_id(report)}" in found["diagnostics"]


async def test_what_could_not_be_mapped_is_said_as_warnings(stage):
    report = next(one for one in stage.reports(status="completed") if not one["snapshotMetadata"].get("mrn"))
    response = await stage.get(f"DiagnosticReport?study={report['studyId']}")
    codes = {one["details"]["coding"][0]["code"] for one in warnings(response)}
    assert "mrn-absent" in codes
    assert {one["severity"] for one in warnings(response)} <= {"warning", "error"}


async def test_an_unknown_parameter_is_left_out_and_named(stage):
    study = fhir_id(stage.signed()["studyId"])
    response = await stage.get(f"DiagnosticReport?study={study}&colour=blue")
    [found] = [one for one in warnings(response) if one["code"] == "not-supported"]
    assert (found["severity"], found["expression"]) == ("warning", ["http.colour"])
    assert "colour" not in response.json()["link"][0]["url"]
    assert response.json()["total"] == 1


@pytest.mark.parametrize(
    "extra", ["colour=blue", "_count=5", "_include=Patient:link", "_include=DiagnosticReport:media"]
)
async def test_who_wants_strict_handling_gets_an_error_for_what_would_be_left_out(stage, extra):
    query = f"DiagnosticReport?study=stu-{NO_ONE}&{extra}"
    assert (await stage.get(query)).status_code == 200
    response = await stage.get(query, headers={"Prefer": "handling=strict"})
    assert refusal(response) == (400, "error", "not-supported")
    assert issue(response)["expression"] == [f"http.{extra.partition('=')[0]}"]


@pytest.mark.parametrize("query", ["", "colour=blue", "study=", "_include=DiagnosticReport:subject", "_format=json"])
async def test_a_search_that_nothing_narrows_is_refused(stage, query):
    response = await stage.get(f"DiagnosticReport?{query}")
    assert refusal(response) == (400, "error", "too-costly")
    assert "study" in issue(response)["details"]["text"]
    assert stage.routes_seen() == []


async def test_too_many_things_to_look_up_are_refused_unless_another_clause_narrows(stage):
    many = ",".join(f"rep-{number:032x}" for number in range(21))
    assert refusal(await stage.get(f"DiagnosticReport?_id={many}")) == (400, "error", "too-costly")
    assert stage.routes_seen() == []
    assert (await stage.get(f"DiagnosticReport?_id={many}&study=stu-{NO_ONE}")).status_code == 200


@pytest.mark.parametrize(
    ("query", "expression"),
    [
        ("study=123", "http.study"),
        ("study=stu-123", "http.study"),
        ("_id=rep_" + NO_ONE, "http._id"),
        ("_id=a%20b", "http._id"),
        ("imagingStudy=Patient/1", "http.imagingStudy"),
        ("imagingStudy.identifier=urn:dicom:uid|abc", "http.imagingStudy.identifier"),
        ("imagingStudy.identifier=urn:oid:1.2.03", "http.imagingStudy.identifier"),
        ("imagingStudy.identifier=urn:dicom:uid|" + "1." * 32 + "1", "http.imagingStudy.identifier"),
        ("imagingStudy.identifier=urn:dicom:uid|", "http.imagingStudy.identifier"),
        (f"study=stu-{NO_ONE}&_total=many", "http._total"),
        (f"study=stu-{NO_ONE}&_pretty=yes", "http._pretty"),
    ],
)
async def test_a_malformed_value_is_refused_in_every_mode(stage, query, expression):
    response = await stage.get(f"DiagnosticReport?{query}")
    assert refusal(response) == (400, "error", "invalid")
    assert issue(response)["expression"] == [expression]
    assert stage.routes_seen() == []


@pytest.mark.parametrize(
    "query",
    [
        f"study:exact=stu-{NO_ONE}",
        f"_id:not=rep-{NO_ONE}",
        "imagingStudy:missing=true",
        f"study=stu-{NO_ONE}&_include:iterate=DiagnosticReport:subject",
        f"study=stu-{NO_ONE}&_include=*",
        f"study=stu-{NO_ONE}&_include=DiagnosticReport:*",
    ],
)
async def test_a_modifier_that_is_not_offered_is_refused_in_every_mode(stage, query):
    assert refusal(await stage.get(f"DiagnosticReport?{query}")) == (400, "error", "not-supported")


async def test_the_total_is_always_given(stage):
    study = fhir_id(stage.signed()["studyId"])
    response = await stage.get(f"DiagnosticReport?study={study}&_total=none")
    assert response.json()["total"] == 1


async def test_a_study_whose_uid_is_no_oid_is_found_by_it(stage):
    report = stage.signed()
    odd = "uid, with | odd\\ parts"
    study = {**stage.account.studies[report["studyId"]], "studyInstanceUid": odd}
    stage.account.studies[report["studyId"]] = study
    stage.account.study_of_uid[odd] = report["studyId"]
    escaped = odd.replace("\\", "\\\\").replace(",", "\\,").replace("|", "\\|")
    for system in ("", "urn:autoscribe-gateway:study-instance-uid:not-an-oid|"):
        response = await stage.get(f"DiagnosticReport?imagingStudy.identifier={quote(system + escaped)}")
        assert ids(response) == {resource_id(report)}


async def test_head_of_a_search_has_no_body(stage):
    response = await stage.client.head(f"{BASE}/DiagnosticReport?study=stu-{NO_ONE}")
    assert (response.status_code, response.content) == (200, b"")
    assert int(response.headers["content-length"]) > 0


async def test_a_search_that_autoscribe_cannot_answer_is_an_error_and_no_empty_bundle(stage):
    stage.fail("500")
    response = await stage.get(f"DiagnosticReport?study={stage.signed()['studyId']}")
    assert refusal(response) == (502, "error", "transient")


async def test_the_self_link_names_the_host_the_client_used(stage):
    response = await stage.client.get(f"http://localhost:9000/fhir/DiagnosticReport?study=stu-{NO_ONE}")
    assert response.json()["link"][0]["url"].startswith("http://localhost:9000/fhir/DiagnosticReport?")


async def test_a_study_without_reports_is_an_empty_bundle_whichever_way_autoscribe_says_it():
    for switch in ("no_reports=empty", "no_reports=404"):
        async with facade(switch) as stage:
            bare = next(one for one in stage.account.studies.values() if one["studyReportStatus"] == "unassigned")
            response = await stage.get(f"DiagnosticReport?study={bare['studyId']}")
            assert (response.status_code, response.json()["total"]) == (200, 0)
