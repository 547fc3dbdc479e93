"""https://hl7.org/fhir/R4/resource-operation-validate.html, decision D2."""

import json

import pytest
from fakes.facade import BASE, resource_id
from fakes.outcomes import issue, refusal
from fakes.scale import examples
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.fhir_api.operations.validation import MOST_ISSUES, _profile_issues
from gateway.fhir_api.served import BY_TYPE, RESOURCES
from gateway.runtime.computing import workers

FHIR = {"Content-Type": "application/fhir+json"}
R4 = "http://hl7.org/fhir/StructureDefinition/"
NOTE = BY_TYPE["DiagnosticReport"].profiles[0]
ORGANIZATION = {"resourceType": "Organization", "id": "a", "active": True, "name": "Here"}


@pytest.fixture
async def report(stage):
    return (await stage.get(f"DiagnosticReport/{resource_id(stage.signed())}")).json()


async def validate(stage, path, body=None, **headers):
    content = {} if body is None else {"content": json.dumps(body)}
    return await stage.client.post(f"{BASE}/{path}", headers={**FHIR, **headers}, **content)


def faults(response):
    """List the faults found: severity, type, our code, place."""
    assert response.status_code == 200, response.text
    body = response.json()
    assert body["resourceType"] == "OperationOutcome"
    return [
        (one["severity"], one["code"], one["details"]["coding"][0]["code"], *one.get("expression", ()))
        for one in body["issue"]
    ]


GOOD = [("information", "informational", "no-faults")]


async def test_every_resource_that_is_served_is_good(stage, report):
    patient = report["subject"]["reference"].partition("/")[2]
    bundle = (await stage.get(f"Patient/{patient}/$everything?_count=500")).json()
    found = [one["resource"] for one in bundle["entry"] if one["search"]["mode"] != "outcome"]
    reader = next(one["id"] for one in found if one["resourceType"] == "Practitioner")
    roles = (await stage.get(f"PractitionerRole?practitioner={reader}")).json()
    found += [one["resource"] for one in roles["entry"] if one["search"]["mode"] != "outcome"]
    assert {one["resourceType"] for one in found} == {
        # without the hospital's orders the sandbox has no visits
        row.resource_type
        for row in RESOURCES
        if not row.is_binary and row.resource_type != "Encounter"
    }
    for one in found:
        kind, profiles = one["resourceType"], one["meta"].get("profile", [])
        assert faults(await validate(stage, f"{kind}/$validate", one)) == GOOD
        assert faults(await validate(stage, f"{kind}/{one['id']}/$validate")) == GOOD
        for profile in (R4 + kind, *profiles):
            assert faults(await validate(stage, f"{kind}/$validate?mode=profile&profile={profile}", one)) == GOOD


@pytest.mark.full
@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"status": "bogus"}, ("error", "code-invalid", "fhir-binding", "DiagnosticReport.status")),
        ({"colour": "red"}, ("error", "structure", "fhir-structure", "DiagnosticReport.colour")),
        ({"subject": None}, ("error", "structure", "fhir-empty", "DiagnosticReport.subject")),
        ({"category": []}, ("error", "invariant", "us-core-report-category", "DiagnosticReport.category")),
        (
            {"presentedForm": [{"contentType": "text/plain", "data": "a b"}]},
            ("error", "value", "fhir-base64", "DiagnosticReport.presentedForm[0].data"),
        ),
        (
            {"subject": {"reference": "Group/1"}},
            ("error", "value", "fhir-reference", "DiagnosticReport.subject.reference"),
        ),
        ({"_issued": {"id": ""}}, ("error", "value", "fhir-string", "DiagnosticReport.issued.id")),
        ({"a b": 1}, ("error", "structure", "fhir-structure", "DiagnosticReport")),
    ],
)
async def test_a_fault_is_said_with_its_place_and_without_its_value(stage, report, change, expected):
    response = await validate(stage, "DiagnosticReport/$validate", {**report, **change})
    assert expected in faults(response)
    assert "bogus" not in response.text


async def test_what_is_missing_is_said(stage, report):
    response = await validate(
        stage, "DiagnosticReport/$validate", {"resourceType": "DiagnosticReport", "status": "final"}
    )
    assert ("error", "required", "fhir-mandatory", "DiagnosticReport.subject") in faults(response)


async def test_a_resource_without_an_id_may_get_one_and_without_narrative_it_is_doubtful(stage):
    body = {key: value for key, value in ORGANIZATION.items() if key != "id"}
    found = faults(await validate(stage, "Organization/$validate", body))
    assert found == [("warning", "required", "fhir-mandatory", "Organization.text")]


async def test_a_resource_is_looked_at_as_one_that_claims_the_profile(stage):
    body = {
        "resourceType": "Observation",
        "id": "a",
        "status": "final",
        "category": [
            {
                "coding": [
                    {"system": "http://terminology.hl7.org/CodeSystem/observation-category", "code": "vital-signs"}
                ]
            }
        ],
        "code": {"text": "Height"},
        "subject": {"reference": "Patient/pat-1"},
        "valueString": "x",
    }
    plain = [code for _, _, code, *_ in faults(await validate(stage, "Observation/$validate", body))]
    profile = next(one for one in BY_TYPE["Observation"].profiles if one.endswith("body-height"))
    as_height = await validate(stage, f"Observation/$validate?profile={profile}", body)
    codes = [code for _, _, code, *_ in faults(as_height)]
    assert ("fhir-vs-1" in plain, "fhir-vs-1" in codes) == (False, True)
    assert ("us-core-observation-category" in plain, "us-core-observation-category" in codes) == (True, False)


@pytest.mark.parametrize("mode", ["create", "update", "delete"])
async def test_what_is_not_offered_would_be_refused_good_as_it_may_be(stage, report, mode):
    found = faults(await validate(stage, f"DiagnosticReport/$validate?mode={mode}", report))
    assert found == [("error", "not-supported", "no-writes")]


async def test_another_id_than_that_of_the_address_is_a_fault(stage, report):
    found = faults(await validate(stage, "DiagnosticReport/rep-1/$validate", report))
    assert found == [("error", "invalid", "other-id", "DiagnosticReport.id")]
    assert faults(await validate(stage, f"DiagnosticReport/{report['id']}/$validate", report)) == GOOD


async def test_the_resource_and_what_is_asked_may_stand_in_parameters(stage, report):
    rows = [
        {"name": "mode", "valueCode": "profile"},
        {"name": "profile", "valueUri": NOTE},
        {"name": "resource", "resource": {**report, "status": "bogus"}},
    ]
    response = await validate(stage, "DiagnosticReport/$validate", {"resourceType": "Parameters", "parameter": rows})
    assert [code for _, _, code, *_ in faults(response)] == ["fhir-binding"]


async def test_no_more_faults_are_shown_than_the_limit(stage, report):
    body = {**report, **{f"unknown{number}": 1 for number in range(MOST_ISSUES + 20)}}
    found = faults(await validate(stage, "DiagnosticReport/$validate", body))
    assert len(found) == MOST_ISSUES + 1
    assert found[-1] == ("information", "informational", "cut")


@pytest.mark.parametrize(
    ("path", "body", "expected"),
    [
        ("Patient/$validate", None, (400, "error", "invalid")),
        ("Patient/$validate", [], (400, "error", "invalid")),
        ("Patient/$validate", 7, (400, "error", "invalid")),
        ("Patient/$validate", {}, (400, "error", "invalid")),
        ("Patient/$validate", ORGANIZATION, (400, "error", "invalid")),
        ("Patient/$validate", {"resourceType": "Parameters"}, (400, "error", "invalid")),
        ("Patient/$validate", {"resourceType": "Parameters", "parameter": {}}, (400, "error", "invalid")),
        ("Patient/$validate", {"resourceType": "Parameters", "parameter": [{}]}, (400, "error", "invalid")),
        (
            "Patient/$validate",
            {"resourceType": "Parameters", "parameter": [{"name": "mode", "valueInteger": 1}]},
            (400, "error", "invalid"),
        ),
        (
            "Patient/$validate",
            {"resourceType": "Parameters", "parameter": [{"name": "resource", "resource": "x"}]},
            (400, "error", "invalid"),
        ),
        (
            "Organization/$validate",
            {"resourceType": "Parameters", "parameter": [{"name": "colour", "valueString": "red"}]},
            (400, "error", "not-supported"),
        ),
        ("Organization/$validate?colour=red", ORGANIZATION, (400, "error", "not-supported")),
        ("Organization/$validate?mode=guess", ORGANIZATION, (400, "error", "invalid")),
        ("Organization/$validate?mode=profile", ORGANIZATION, (400, "error", "invalid")),
        (f"Organization/$validate?profile={NOTE}", ORGANIZATION, (400, "error", "not-supported")),
        (f"Organization/org-{'0' * 32}/$validate", None, (404, "error", "not-found")),
        ("Organization/$validate", {**ORGANIZATION, "name": "x" * 2**20}, (413, "error", "too-long")),
    ],
)
async def test_what_cannot_be_carried_out_is_refused(stage, path, body, expected):
    assert refusal(await validate(stage, path, body)) == expected


async def test_a_profile_that_is_not_known_is_told_those_that_are(stage):
    response = await validate(stage, "Organization/$validate?profile=http://example.org/p", ORGANIZATION)
    assert all(one in issue(response)["diagnostics"] for one in BY_TYPE["Organization"].profiles)
    assert issue(response)["expression"] == ["http.profile"]


async def test_xml_is_not_read_but_written(stage):
    response = await validate(stage, "Organization/$validate", ORGANIZATION, **{"Content-Type": "application/fhir+xml"})
    assert refusal(response) == (415, "error", "not-supported")
    response = await validate(stage, "Organization/$validate", ORGANIZATION, Accept="application/fhir+xml")
    assert response.headers["content-type"] == "application/fhir+xml; charset=utf-8"


async def test_get_is_not_offered_and_binaries_are_not_looked_at(stage):
    assert refusal(await stage.get("Organization/$validate")) == (405, "error", "not-supported")
    assert refusal(await validate(stage, "Binary/$validate", {})) == (404, "error", "not-supported")


LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5) | st.just("final")
NAMES = st.one_of(
    st.sampled_from(["identifier", "name", "text", "subject", "category", "code", "effectiveDateTime", "valueString"]),
    st.sampled_from(["meta", "extension", "presentedForm", "content", "occurredPeriod", "agent", "relatesTo"]),
    st.sampled_from(["target", "type", "id", "contained", "recorded", "dataAbsentReason", "status", "system", "value"]),
    st.sampled_from(["profile", "family", "url", "valueCode", "attachment", "data", "size", "hash", "start", "end"]),
    st.sampled_from(["coding", "reference", "div"]),
)
JSON = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3), max_leaves=10
)


@settings(max_examples=examples(1_500), suppress_health_check=[HealthCheck.too_slow])
@given(
    st.sampled_from([row.resource_type for row in RESOURCES if not row.is_binary]),
    st.dictionaries(NAMES, JSON, max_size=6),
    st.sampled_from(["", NOTE]),
)
def test_whatever_comes_is_judged(kind, elements, profile):
    for one in _profile_issues({"resourceType": kind, **elements}, profile):
        assert one.expression.startswith(kind) or one.detail == "fhir-kind"


def test_a_resource_that_is_nested_without_end_is_judged():
    nested = {"url": "x"}
    for _ in range(5_000):
        nested = {"url": "x", "extension": [nested]}
    [found] = _profile_issues({**ORGANIZATION, "extension": [nested]}, "")
    assert (found.code, found.detail) == ("structure", "fhir-kind")


@pytest.mark.full
async def test_a_large_body_is_parsed_and_judged_in_the_worker_apart_with_the_same_result(stage):
    path = f"{BASE}/Organization/$validate"
    many = json.dumps({**ORGANIZATION, "alias": ["a"] * 60_000})
    bodies = [json.dumps(ORGANIZATION), many, "{", json.dumps({"resourceType": "Patient"}), "[]"]
    here = [await stage.client.post(path, content=body, headers=FHIR) for body in bodies]
    async with workers(1, (), ()):
        there = [await stage.client.post(path, content=body, headers=FHIR) for body in bodies]
    assert [one.json() for one in there] == [one.json() for one in here]
    assert [one.status_code for one in there] == [200, 200, 400, 400, 400]
