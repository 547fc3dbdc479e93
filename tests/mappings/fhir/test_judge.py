"""Judge of FHIR (D2; https://hl7.org/fhir/R4/validation.html): one planted defect per rule."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
from fakes.answered import ORDER
from fakes.fhir_studies import addendum, mapped, report

from mappings.fhir.judge import CLASSES, SHARED, Shapes, judge, judge_all
from mappings.model import Facts

Json = dict[str, Any]
GOOD = mapped(report(isCritical=True), addendum(), facts=Facts(accession_number="A1", orders=(ORDER,))).output


KNOWN = Shapes(CLASSES)
judge_all(GOOD, KNOWN)


def good(resource_type: str, ending: str = "") -> Json:
    found = [one for one in GOOD if one["resourceType"] == resource_type and one["id"].endswith(ending)]
    return copy.deepcopy(found[0])


def put(*path: Any) -> Callable[[Json], None]:
    """Put the last item at the path before it; Ellipsis removes the element."""
    *steps, last, value = path

    def plant(resource: Any) -> None:
        for step in steps:
            resource = resource[step]
        if value is ...:
            del resource[last]
        else:
            resource[last] = value

    return plant


def test_good_resources_have_no_fault() -> None:
    assert {one["resourceType"] for one in GOOD} == CLASSES.keys()
    for resource in GOOD:
        assert judge(resource) == ()


def test_all_at_once_are_judged_as_one_by_one() -> None:
    bad = good("Patient")
    put("gender", "F")(bad)
    several = [*GOOD, bad, {"resourceType": "Basic"}]
    assert judge_all(several) == [judge(one) for one in several]
    assert judge_all(several)[-2:] != [(), ()]


def test_no_class_needs_what_is_looked_at_in_one_resource_alone() -> None:
    fields = [CLASSES[kind].model_fields[key] for kind, keys in SHARED.items() for key in keys]
    assert len(fields) > len(CLASSES)
    assert not any(field.is_required() or "one_of_many" in field.json_schema_extra for field in fields)
    for resource in GOOD:
        assert CLASSES[resource["resourceType"]].model_validate(
            {key: value for key, value in resource.items() if key not in SHARED[resource["resourceType"]]}
        )


@pytest.mark.parametrize(
    ("key", "wrong"),
    [
        ("meta", {"profile": [" "]}),
        ("category", [{"coding": [{"code": " "}]}]),
        ("category", []),
        ("subject", {"reference": "Group/a"}),
        ("performer", None),
    ],
)
def test_a_fault_in_what_resources_share_is_said_of_each_of_them(key: str, wrong: object) -> None:
    one, other = good("Observation", "-s0"), good("Observation", "-s1")
    one[key] = other[key] = wrong
    judged = judge_all([one, other])
    assert judged == [judge(one), judge(other)]
    assert all(judged)


DEFECTS = [
    ("DiagnosticReport", put("status", "FINAL!!"), "fhir-binding", "/status"),
    ("Observation", put("status", "appended"), "fhir-binding", "/status"),
    ("ImagingStudy", put("status", "final"), "fhir-binding", "/status"),
    ("Patient", put("gender", "F"), "fhir-binding", "/gender"),
    ("Patient", put("text", "status", "made"), "fhir-binding", "/text/status"),
    ("Patient", put("name", 0, "use", "given"), "fhir-binding", "/name/0/use"),
    ("Patient", put("identifier", 0, "use", "best"), "fhir-binding", "/identifier/0/use"),
    ("Practitioner", put("telecom", 0, "system", "mail"), "fhir-binding", "/telecom/0/system"),
    ("Provenance", put("entity", 0, "role", "origin"), "fhir-binding", "/entity/0/role"),
    ("DiagnosticReport", put("subject", "reference", "Patient/a_b"), "fhir-reference", "/subject/reference"),
    ("DiagnosticReport", put("subject", "reference", "Group/a"), "fhir-reference", "/subject/reference"),
    ("DiagnosticReport", put("performer", 0, "reference", "#a"), "fhir-reference", "/performer/0/reference"),
    ("DiagnosticReport", put("result", 0, "reference", "Patient/a"), "fhir-reference", "/result/0/reference"),
    ("DiagnosticReport", put("imagingStudy", 0, "reference", "x"), "fhir-reference", "/imagingStudy/0/reference"),
    (
        "DiagnosticReport",
        put("presentedForm", 1, "url", "https://s3/x?token=1"),
        "fhir-reference",
        "/presentedForm/1/url",
    ),
    (
        "Patient",
        put("managingOrganization", "reference", "Patient/a"),
        "fhir-reference",
        "/managingOrganization/reference",
    ),
    ("Provenance", put("target", 0, "reference", "Practitioner/a"), "fhir-reference", "/target/0/reference"),
    ("DiagnosticReport", put("id", "rep_1"), "fhir-structure", "/id"),
    ("Patient", put("identifier", 0, "system", "a b"), "fhir-uri", "/identifier/0/system"),
    ("DiagnosticReport", put("code", "coding", 0, "code", " 1"), "fhir-structure", "/code/coding/0/code"),
    ("Patient", put("name", 0, "text", " \n"), "fhir-string", "/name/0/text"),
    ("Patient", put("name", 0, "text", "a\x00b"), "fhir-string", "/name/0/text"),
    ("Patient", put("name", 0, "given", ["a\ufffe"]), "fhir-string", "/name/0/given/0"),
    ("Observation", put("valueString", "x" * (1024 * 1024 + 1)), "fhir-string", "/valueString"),
    ("DiagnosticReport", put("presentedForm", 0, "data", "@@@"), "fhir-base64", "/presentedForm/0/data"),
    ("DiagnosticReport", put("presentedForm", 0, "data", "YWJj\nYWJj"), "fhir-base64", "/presentedForm/0/data"),
    ("DiagnosticReport", put("presentedForm", 0, "data", "YWJjZ"), "fhir-base64", "/presentedForm/0/data"),
    ("DiagnosticReport", put("presentedForm", 0, "data", "YWI\u00fc"), "fhir-base64", "/presentedForm/0/data"),
    ("DiagnosticReport", put("presentedForm", 0, "hash", "x"), "fhir-base64", "/presentedForm/0/hash"),
    ("DiagnosticReport", put("presentedForm", 0, "size", 1), "fhir-attachment-size", "/presentedForm/0/size"),
    ("DiagnosticReport", put("presentedForm", 0, "hash", "YWJj"), "fhir-attachment-hash", "/presentedForm/0/hash"),
    ("DiagnosticReport", put("presentedForm", 0, "contentType", ...), "fhir-att-1", "/presentedForm/0"),
    ("DiagnosticReport", put("issued", "2024-03-15T16:00:00"), "fhir-structure", "/issued"),
    ("DiagnosticReport", put("issued", "2024-03-15T16:00:00+15:00"), "fhir-structure", "/issued"),
    ("DiagnosticReport", put("effectiveDateTime", "2024-03-15T14:30"), "fhir-structure", "/effectiveDateTime"),
    ("ImagingStudy", put("started", "2024-3-1"), "fhir-structure", "/started"),
    ("Patient", put("birthDate", "2024-13-01"), "fhir-structure", "/birthDate"),
    ("Patient", put("contained", [{"resourceType": "Basic"}]), "fhir-contained", "/contained/0"),
    ("Patient", put("name", 0, "given", []), "fhir-empty", "/name/0/given"),
    ("Patient", put("managingOrganization", {}), "fhir-empty", "/managingOrganization"),
    ("Patient", put("birthDate", None), "fhir-empty", "/birthDate"),
    ("Observation-height", put("valueQuantity", "value", float("nan")), "fhir-structure", "/valueQuantity/value"),
    ("DiagnosticReport", put("extension", 0, {"url": "urn:x"}), "fhir-ext-1", "/extension/0"),
    ("DiagnosticReport", put("extension", 0, {"valueString": "x"}), "fhir-ext-1", "/extension/0"),
    ("Patient", put("id", ...), "fhir-mandatory", "/id"),
    ("Patient", put("text", ...), "fhir-mandatory", "/text"),
    ("Patient", put("gender", ...), "fhir-mandatory", "/gender"),
    ("Organization", put("active", ...), "fhir-mandatory", "/active"),
    ("Provenance", put("agent", 0, "who", ...), "fhir-structure", "/agent/0/who"),
    ("Patient", put("identifier", 0, "value", ...), "us-core-patient-identifier", "/identifier/0"),
    ("Patient", put("name", 0, {"text": "Jane Doe"}), "us-core-6", "/name/0"),
    ("Practitioner", put("identifier", 0, "system", ...), "us-core-practitioner-identifier", "/identifier/0"),
    ("Practitioner", put("name", 0, "family", ...), "us-core-practitioner-family", "/name/0"),
    (
        "Practitioner",
        put("identifier", 0, {"system": "http://hl7.org/fhir/sid/us-npi", "value": "1234567890"}),
        "us-core-17",
        "/identifier/0/value",
    ),
    ("DiagnosticReport", put("effectiveDateTime", ...), "us-core-10", "/effectiveDateTime"),
    ("DiagnosticReport", put("category", 0, "coding", 0, "code", "LP1"), "us-core-report-category", "/category"),
    ("Observation", put("dataAbsentReason", {"text": "x"}), "fhir-obs-6", "/dataAbsentReason"),
    ("Observation", put("valueString", ...), "us-core-2", "/valueString"),
    ("Observation", put("effectiveDateTime", "2024-03"), "us-core-1", "/effectiveDateTime"),
    ("Observation-height", put("effectiveDateTime", ...), "fhir-vs-1", "/effectiveDateTime"),
    ("Observation", put("category", 0, "coding", 0, "code", "exam"), "us-core-observation-category", "/category"),
    ("Provenance-3-prov", put("occurredPeriod", "end", "2020-01-01T00:00:00Z"), "fhir-per-1", "/occurredPeriod"),
    ("Provenance", put("agent", 0, "onBehalfOf", ...), "us-core-provenance-1", "/agent/0"),
    ("ServiceRequest", put("status", "done"), "fhir-binding", "/status"),
    ("ServiceRequest", put("intent", "wish"), "fhir-binding", "/intent"),
    ("ServiceRequest", put("priority", "R"), "fhir-binding", "/priority"),
    ("ServiceRequest", put("subject", "reference", "Device/a"), "fhir-reference", "/subject/reference"),
    ("ServiceRequest", put("occurrenceDateTime", "15.03.2024"), "fhir-structure", "/occurrenceDateTime"),
    ("ServiceRequest", put("code", ...), "fhir-mandatory", "/code"),
    ("DiagnosticReport", put("basedOn", 0, "reference", "Patient/a"), "fhir-reference", "/basedOn/0/reference"),
    ("ImagingStudy", put("basedOn", 0, "reference", "Task/a"), "fhir-reference", "/basedOn/0/reference"),
    ("DocumentReference", put("status", "final"), "fhir-binding", "/status"),
    ("DocumentReference", put("docStatus", "signed"), "fhir-binding", "/docStatus"),
    ("DocumentReference-4-doc", put("relatesTo", 0, "code", "adds"), "fhir-binding", "/relatesTo/0/code"),
    (
        "DocumentReference-4-doc",
        put("relatesTo", 0, "target", "reference", "DiagnosticReport/a"),
        "fhir-reference",
        "/relatesTo/0/target",
    ),
    ("DocumentReference", put("author", 0, "reference", "Patient/a"), "fhir-reference", "/author/0/reference"),
    ("DocumentReference", put("custodian", "reference", "Patient/a"), "fhir-reference", "/custodian/reference"),
    (
        "DocumentReference",
        put("content", 0, "attachment", "url", "https://s3/x?token=1"),
        "fhir-reference",
        "/content/0/attachment/url",
    ),
    ("DocumentReference", put("content", 0, "attachment", "data", "@"), "fhir-base64", "/content/0/attachment/data"),
    ("DocumentReference", put("content", 0, "attachment", "url", ...), "us-core-6", "/content/0/attachment"),
    ("DocumentReference", put("date", "2024-03-15"), "fhir-structure", "/date"),
    ("DocumentReference", put("category", ...), "fhir-mandatory", "/category"),
    ("DocumentReference", put("category", 0, "coding", 0, "code", "note"), "us-core-document-category", "/category"),
    ("DocumentReference", put("type", "coding", 0, "system", "urn:x"), "us-core-document-type", "/type"),
    ("DocumentReference", put("content", ...), "fhir-structure", "/content"),
    ("Patient", put("favourite", "x"), "fhir-structure", "/favourite"),
    ("ImagingStudy", put("subject", ...), "fhir-structure", "/subject"),
]


@pytest.mark.parametrize(
    ("kind", "plant", "code", "pointer"),
    DEFECTS,
    ids=[f"{kind}-{code}-{pointer}" for kind, _, code, pointer in DEFECTS],
)
def test_a_planted_defect_is_found_at_its_place(
    kind: str, plant: Callable[[Json], None], code: str, pointer: str
) -> None:
    resource_type, _, ending = kind.partition("-")
    resource = good(resource_type, ending)
    plant(resource)
    found = judge(resource)
    assert (code, pointer) in {(fault.code, fault.pointer) for fault in found}
    assert {fault.severity for fault in found} == {"error"}
    assert judge_all([resource], KNOWN) == [found]


ROOT = '<div xmlns="http://www.w3.org/1999/xhtml">'


@pytest.mark.parametrize(
    "div",
    [
        f"{ROOT}<script>alert(1)</script></div>",
        f'{ROOT}<p onclick="x">a</p></div>',
        f"{ROOT}<p>a</div>",
        f"{ROOT}<p>a</b></p></div>",
        f"{ROOT}<p>a</p></div><p>b</p>",
        f"{ROOT}<p>a</p></div>after",
        f"before{ROOT}<p>a</p></div>",
        f"{ROOT}{ROOT}a</div></div>",
        f"{ROOT}a & b</div>",
        f"{ROOT}a &nbsp; b</div>",
        f"{ROOT}a > b</div>",
        f"{ROOT}a\x00b</div>",
        f"{ROOT}<p> </p></div>",
        f"{ROOT}<p>a</p",
        f"{ROOT}a",
        "<div>a</div>",
        "<p>a</p>",
        "a",
    ],
)
def test_a_narrative_that_is_not_plain_well_formed_xhtml_is_found(div: str) -> None:
    resource = good("Patient")
    resource["text"]["div"] = div
    assert ("fhir-narrative", "/text/div") in {(fault.code, fault.pointer) for fault in judge(resource)}


def test_an_absent_reason_outside_its_value_set_is_found() -> None:
    resource = mapped(report(snapshotMetadata={})).output[0]
    resource["name"][0]["extension"][0]["valueCode"] = "lost"
    assert "fhir-binding" in {fault.code for fault in judge(resource)}


@pytest.mark.parametrize("resource", [{}, {"resourceType": "Basic", "id": "a"}])
def test_a_resource_we_never_make_is_refused(resource: Json) -> None:
    assert [fault.code for fault in judge(resource)] == ["fhir-resource-type"]


def test_a_fault_never_shows_a_value() -> None:
    resource = good("Patient")
    resource["birthDate"] = "CANARY-1985"
    resource["name"][0]["text"] = "CANARY\x00"
    resource["gender"] = "CANARY"
    found = judge(resource)
    assert found
    assert "CANARY" not in "".join(map(str, found))
