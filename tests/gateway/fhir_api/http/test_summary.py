"""https://hl7.org/fhir/R4/search.html#summary and #elements."""

import copy
import json
from pathlib import Path

import pytest
from fakes.r4_definitions import definitions
from hypothesis import given
from hypothesis import strategies as st

from gateway.fhir_api.http.r4_elements import elements_of, find
from gateway.fhir_api.http.summary import (
    ALWAYS,
    SUBSETTED,
    Shape,
    shaped,
    unknown_elements,
    wanted_shape,
)
from gateway.runtime.request_errors import BadRequest
from mappings.fhir.judge import judge
from mappings.fhir.resource_types import RESOURCE_TYPES

GOLDENS = sorted((Path(__file__).parents[3] / "golden").glob("*/fhir/*.json"))
EACH_CASE = pytest.mark.parametrize("case", sorted({path.parents[1] for path in GOLDENS}), ids=lambda case: case.name)
INHERITED = {"id", "meta", "implicitRules", "language", "text", "contained", "extension", "modifierExtension"}
DIAGNOSTIC_REPORT = json.loads(next(path for path in GOLDENS if path.name.startswith("DiagnosticReport")).read_bytes())
KEPT = {"status", "code", "category", "subject", "effectiveDateTime"}
HOLES = {"url": "urn:a", "valueCode": "unknown"}


def names(kind, resource):
    """The elements of a resource, as defined."""
    return {find(kind, key.removeprefix("_")).name for key in resource if key != "resourceType"}


@pytest.mark.parametrize("kind", RESOURCE_TYPES)
def test_what_is_kept_of_a_type_is_what_r4_requires_or_marks_as_a_modifier_and_what_its_profile_requires(shared, kind):
    defined = [one for one in definitions(shared).elements[kind] if one.name not in INHERITED]
    row = RESOURCE_TYPES[kind]
    kept = {*row.mandatory.split(), *row.kept.split()}
    assert {one.name for one in defined if one.is_mandatory or one.is_modifier} <= kept
    assert kept <= {one.name for one in defined}


@pytest.mark.parametrize("kind", RESOURCE_TYPES)
def test_what_is_always_kept_is_what_r4_marks_of_all_resources(shared, kind):
    inherited = [one for one in definitions(shared).elements[kind] if one.name in INHERITED]
    marked = {one.name for one in inherited if one.is_summary or one.is_modifier}
    assert marked == ALWAYS - {"resourceType"}


def resources(case):
    """The resources of a golden case."""
    return [json.loads(path.read_bytes()) for path in sorted(case.glob("fhir/*.json"))]


@EACH_CASE
def test_a_summary_has_the_elements_in_it_that_the_resource_has(case):
    for resource in resources(case):
        kind = resource["resourceType"]
        row = RESOURCE_TYPES[kind]
        in_summary = {one.name for one in elements_of(kind).values() if one.is_summary}
        wanted = {*in_summary, *row.mandatory.split(), *row.kept.split(), *ALWAYS}
        found = shaped(resource, Shape("true"))
        assert names(kind, found) == (names(kind, resource) & wanted) | {"meta"}
        assert found["meta"]["tag"] == [SUBSETTED]


@pytest.mark.full
@pytest.mark.parametrize("shape", [Shape("true"), Shape("text"), Shape("data"), Shape(elements=("id",))], ids=str)
def test_a_part_of_a_resource_is_still_valid_and_of_its_profile_but_for_the_narrative(shape):
    for path in GOLDENS:
        resource = json.loads(path.read_bytes())
        untagged = {key: value for key, value in shaped(resource, shape).items() if key in resource}
        assert {one.pointer for one in judge(untagged)} <= {"/text"}


@pytest.mark.full
@pytest.mark.parametrize("kind", RESOURCE_TYPES)
def test_what_is_kept_is_what_the_rules_ask_for_or_what_changes_the_meaning(shared, kind):
    """Without any one of these elements, some resource breaks a rule; value and dataAbsentReason are alternatives."""
    row = RESOURCE_TYPES[kind]
    modifiers = {one.name for one in definitions(shared).elements[kind] if one.is_modifier}
    for name in {*row.mandatory.split(), *row.kept.split()} - {"dataAbsentReason"} - modifiers:
        without = []
        for path in GOLDENS:
            if path.name.startswith(f"{kind}-"):
                resource = json.loads(path.read_bytes())
                without += judge({key: value for key, value in resource.items() if names(kind, {key: 0}) != {name}})
        assert without


@pytest.mark.parametrize("summary", ["true", "text", "data"])
def test_the_resource_itself_is_not_changed_and_to_shape_again_changes_nothing(summary):
    for path in GOLDENS[::7]:
        resource = json.loads(path.read_bytes())
        before = copy.deepcopy(resource)
        once = shaped(resource, Shape(summary))
        assert resource == before
        assert shaped(once, Shape(summary)) == once


def test_the_summary_of_a_document_has_no_bytes_but_says_where_they_are():
    attachment = {"contentType": "text/plain", "data": "YQ==", "url": "Binary/1", "size": 1}
    document = {
        "resourceType": "DocumentReference",
        "status": "current",
        "content": [{"attachment": attachment}, {"attachment": {"data": "YQ=="}}],
        "context": {"period": {"start": "2026"}, "related": [{"reference": "ImagingStudy/1"}]},
    }
    found = shaped(document, Shape("true"))
    assert found["content"][0]["attachment"] == {"contentType": "text/plain", "url": "Binary/1", "size": 1}
    assert found["content"][1]["attachment"] == {"data": "YQ=="}, "a mandatory element never becomes empty"
    assert found["context"] == {"period": {"start": "2026"}}


def test_extensions_stay_on_what_stays():
    patient = {
        "resourceType": "Patient",
        "extension": [HOLES],
        "modifierExtension": [HOLES],
        "_birthDate": {"extension": [HOLES]},
        "name": [{"text": "A", "_family": {"extension": [HOLES]}, "extension": [HOLES]}],
        "photo": [{"url": "x"}],
    }
    kept = {key: patient[key] for key in ("resourceType", "modifierExtension", "_birthDate", "name")}
    assert shaped(patient, Shape("true")) == {**kept, "meta": {"tag": [SUBSETTED]}}
    assert shaped(patient, Shape(elements=("birthDate", "name"))) == {**kept, "meta": {"tag": [SUBSETTED]}}
    extended = {
        "resourceType": "Observation",
        "code": {"extension": [{"url": "a", "valueAttachment": {"data": "YQ=="}}]},
    }
    assert shaped(extended, Shape("true"))["code"] == extended["code"]


def test_text_gives_the_narrative_and_what_is_mandatory():
    found = shaped(DIAGNOSTIC_REPORT, Shape("text"))
    assert found.keys() == {"resourceType", "id", "meta", "text"} | KEPT
    assert found["text"] == DIAGNOSTIC_REPORT["text"]


def test_data_gives_all_but_the_narrative():
    found = shaped(DIAGNOSTIC_REPORT, Shape("data"))
    assert found.keys() == DIAGNOSTIC_REPORT.keys() - {"text"}
    assert {**found, "meta": 0, "text": 0} == {**DIAGNOSTIC_REPORT, "meta": 0, "text": 0}


@pytest.mark.parametrize("shape", [Shape(), Shape("false"), Shape("count")])
def test_false_and_count_leave_a_resource_as_it_is(shape):
    assert shape.is_whole
    assert shaped(DIAGNOSTIC_REPORT, shape) is DIAGNOSTIC_REPORT


@pytest.mark.parametrize("kind", ["OperationOutcome", "Bundle", "Binary", "CapabilityStatement", "Parameters"])
def test_types_that_are_not_shaped_are_given_whole(kind):
    resource = {"resourceType": kind, "text": {"div": "…"}}
    assert shaped(resource, Shape("true")) is resource
    assert shaped(resource, Shape(elements=("id",))) is resource


def test_elements_gives_what_is_named_and_what_is_mandatory_whole():
    found = shaped(DIAGNOSTIC_REPORT, Shape(elements=("presentedForm", "colour")))
    assert found.keys() == {"resourceType", "id", "meta", "presentedForm"} | KEPT
    assert found["presentedForm"] == DIAGNOSTIC_REPORT["presentedForm"]


@pytest.mark.parametrize("name", ["occurred", "occurred[x]", "occurredDateTime"])
def test_a_choice_is_named_with_its_type_or_without(name):
    provenance = {
        "resourceType": "Provenance",
        "occurredDateTime": "2026",
        "_occurredDateTime": {"id": "a"},
        "policy": [],
    }
    found = shaped(provenance, Shape(elements=(name,)))
    assert found.keys() == provenance.keys() - {"policy"} | {"meta"}


def test_what_changes_the_meaning_is_kept_though_nobody_asked():
    patient = {
        "resourceType": "Patient",
        "id": "1",
        "active": False,
        "deceasedBoolean": True,
        "link": [{"type": "refer"}],
    }
    assert shaped(patient, Shape(elements=("id",))) == {**patient, "meta": {"tag": [SUBSETTED]}}


def test_the_tag_is_added_once_and_beside_others():
    tag = {"system": "urn:a", "code": "SUBSETTED"}
    meta = {"versionId": "1", "tag": [tag, SUBSETTED]}
    found = shaped({"resourceType": "Patient", "meta": meta}, Shape("true"))
    assert found["meta"] == {"versionId": "1", "tag": [tag, SUBSETTED]}


@pytest.mark.parametrize(
    ("given", "shape"),
    [
        ((), Shape()),
        ((("_count", "3"),), Shape()),
        ((("_summary", "true"),), Shape("true")),
        ((("_summary", "true"), ("_summary", "true")), Shape("true")),
        ((("_summary", "count"),), Shape("count")),
        ((("_summary", "count"), ("_elements", "id")), Shape("count")),
        ((("_summary", "false"), ("_elements", "id")), Shape("false", ("id",))),
        ((("_elements", "id,status"),), Shape(elements=("id", "status"))),
        (
            (("_elements", "id, status"), ("_elements", "status,value[x],,")),
            Shape(elements=("id", "status", "value[x]")),
        ),
    ],
)
def test_what_is_asked_for_is_read(given, shape):
    assert wanted_shape(given) == shape


@pytest.mark.parametrize(
    ("given", "where"),
    [
        ((("_summary", "yes"),), "http._summary"),
        ((("_summary", "TRUE"),), "http._summary"),
        ((("_summary", "true"), ("_summary", "data")), "http._summary"),
        ((("_summary", "true"), ("_elements", "id")), "http._elements"),
        ((("_elements", "name.family"),), "http._elements"),
        ((("_elements", "Patient.name"),), "http._elements"),
        ((("_elements", "id,name[0]"),), "http._elements"),
        ((("_elements", ","),), "http._elements"),
        ((("_elements", "*"),), "http._elements"),
        ((("_summary", "count"), ("_elements", "a.b")), "http._elements"),
    ],
)
def test_what_is_malformed_is_refused_and_named(given, where):
    with pytest.raises(BadRequest) as refused:
        wanted_shape(given)
    assert refused.value.expression == where


def test_elements_that_r4_does_not_have_are_named_for_the_type():
    shape = Shape(elements=("id", "colour", "birthDate", "effective", "deceased", "valueString"))
    assert unknown_elements("Patient", shape) == ("colour", "effective", "valueString")
    assert unknown_elements("Observation", shape) == ("colour", "birthDate", "deceased")
    assert unknown_elements("Patient", Shape("true")) == ()


@given(st.lists(st.sampled_from(["id", "conclusion", "result", "text", "issued", "colour", "effective"]), min_size=1))
def test_no_choice_of_elements_loses_a_mandatory_one_or_adds_any(elements):
    found = shaped(DIAGNOSTIC_REPORT, Shape(elements=tuple(elements)))
    assert KEPT | {"id", "meta"} <= found.keys() <= DIAGNOSTIC_REPORT.keys()
    assert found.keys() - {"resourceType", "id", "meta"} <= KEPT.union(elements)


@pytest.mark.parametrize(
    ("shape", "is_kept"),
    [
        (Shape("true"), True),
        (Shape("data"), True),
        (Shape("text"), False),
        (Shape(elements=("endpoint",)), True),
        (Shape(elements=("description",)), False),
    ],
)
def test_a_contained_endpoint_stays_exactly_where_the_reference_to_it_stays(shape, is_kept):
    study = {"resourceType": "ImagingStudy", "id": "s", "status": "unknown", "subject": {"reference": "Patient/p"}}
    study |= {"contained": [{"resourceType": "Endpoint", "id": "viewer", "address": "https://v.example/"}]}
    found = shaped({**study, "endpoint": [{"reference": "#viewer"}], "text": {"div": "x"}}, shape)
    assert ("contained" in found, "endpoint" in found) == (is_kept, is_kept)
    assert not is_kept or found["contained"] == study["contained"]
