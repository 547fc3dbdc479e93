"""https://spec.openapis.org/oas/v3.1.1.html: the document lists exactly the endpoints that exist."""

import json
import re

import pytest
import schemathesis
from fakes.facade import facade

from gateway.fhir_api.facade import MOUNT
from gateway.fhir_api.http.query import RESULT_PARAMETERS
from gateway.fhir_api.routes import fhir_app
from gateway.fhir_api.served import OPERATIONS, RESOURCES
from gateway.index.parameter_lookup import parameters_of

ROOT = "http://127.0.0.1:8800"


def requests(document):
    return {(path, method.upper()): one for path, item in document["paths"].items() for method, one in item.items()}


def test_every_address_of_the_facade_is_in_it_with_its_methods(document):
    steps = fhir_app().app.app._app
    endpoints = [route.endpoint for router in steps._routers.values() for route in router.routes]
    there = {
        (MOUNT + (one._template if one._template != "/" else ""), method)
        for one in (*endpoints, *steps._endpoints.values())
        for method in one._handlers
        if method != "HEAD"
    }
    assert {one for one in requests(document) if one[0].startswith(MOUNT)} == there


def test_every_address_beside_the_facade_is_in_it(stage, document):
    beside = {route.path for route in stage.app.routes}
    assert {path for path, _ in requests(document) if not path.startswith(MOUNT)} == beside


def test_every_parameter_of_a_search_is_in_it(document):
    for row in RESOURCES:
        if row.is_binary:
            continue
        path = f"{MOUNT}/{row.resource_type}"
        names = [one["name"] for one in requests(document)[path, "GET"]["parameters"]]
        expected = [*(one.name for one in parameters_of(row.resource_type)), *RESULT_PARAMETERS]
        assert names == expected
        form = requests(document)[f"{path}/_search", "POST"]["requestBody"]["content"]
        assert list(form["application/x-www-form-urlencoded"]["schema"]["properties"]) == expected


def test_every_operation_is_in_it_with_what_it_takes(document):
    for row in OPERATIONS:
        for _, address in row.addresses():
            for method in row.methods:
                one = requests(document)[MOUNT + address, method]
                assert one["summary"] == row.documentation
                named = {name["name"] for name in one.get("parameters", ()) if name["in"] == "query"}
                inputs = {name.name for name in row.inputs if name.type != "Resource"}
                assert named == (inputs if method == "GET" or row.name == "validate" else set())


def test_what_must_not_run_twice_asks_for_its_key(document):
    one = requests(document)[f"{MOUNT}/DiagnosticReport/{{id}}/$addendum", "POST"]
    headers = {name["name"]: name["required"] for name in one["parameters"] if name["in"] == "header"}
    assert headers == {"Idempotency-Key": True, "If-Match": False}
    assert {"200", "201", "202", "default"} == set(one["responses"])


def test_it_is_a_document_of_openapi(document):
    schemathesis.openapi.from_dict(document).validate()
    assert document["openapi"].startswith("3.1.")


@pytest.mark.full
async def test_before_there_is_a_report_it_is_one_too_and_shows_no_ids():
    async with facade() as stage:
        document = (await stage.client.get(f"{ROOT}/openapi.json")).json()
    schemathesis.openapi.from_dict(document).validate()
    assert re.findall(r"(?:rep|pat|usr|stu|org)-[0-9a-f]{32}", json.dumps(document)) == []


def test_nothing_of_a_patient_is_in_it(document, report):
    snapshot = report["snapshotMetadata"]
    text = json.dumps(document)
    for value in (snapshot["patientName"], snapshot["mrn"], snapshot["dateOfBirth"], report["reportPlainText"][:20]):
        assert value not in text


def test_what_a_parameter_may_be_stands_with_it_where_it_can_be_counted(document):
    one = requests(document)[f"{MOUNT}/Patient", "GET"]
    listed = {row["name"]: row["schema"]["enum"] for row in one["parameters"] if "enum" in row["schema"]}
    assert listed == {
        "_summary": ["count", "data", "false", "text", "true"],
        "_total": ["accurate", "estimate", "none"],
        "_pretty": ["false", "true"],
        "_contained": ["false"],
        "_explain": ["false", "true"],
    }
    assert all(
        row["example"] in listed.get(row["name"], [row["example"]]) for row in one["parameters"] if "example" in row
    )


def test_a_form_may_hold_other_names_than_those_that_are_listed_but_not_any(document):
    form = requests(document)[f"{MOUNT}/Patient/_search", "POST"]["requestBody"]["content"]
    schema = form["application/x-www-form-urlencoded"]["schema"]
    pattern = re.compile(schema["propertyNames"]["pattern"])
    assert [
        name
        for name in ("name:exact", "general-practitioner.name", "_has:Observation:patient:code", "a b", "")
        if pattern.search(name)
    ] == ["name:exact", "general-practitioner.name", "_has:Observation:patient:code"]
    assert schema["additionalProperties"] == {"type": "string"}
