"""https://hl7.org/fhir/R4/capabilitystatement.html: what is said is what there is."""

import pytest
from fakes.facade import BASE

from gateway.fhir_api.search_params import INCLUDES, PARAMETERS, RESULT_PARAMETERS, facade_rows
from gateway.fhir_api.served import OPERATIONS, RESOURCES


@pytest.fixture
async def statement(stage):
    response = await stage.get("metadata")
    assert response.status_code == 200
    return response.json()


def resource(statement, resource_type):
    [found] = [one for one in statement["rest"][0]["resource"] if one["type"] == resource_type]
    return found


async def test_it_is_a_server_of_r4_at_the_base_that_was_asked(statement):
    assert (statement["resourceType"], statement["fhirVersion"], statement["kind"]) == (
        "CapabilityStatement",
        "4.0.1",
        "instance",
    )
    assert statement["implementation"]["url"] == BASE
    assert statement["format"] == ["application/fhir+json", "json"]
    assert "instantiates" not in statement


async def test_it_says_plainly_what_is_not_supported_and_that_nothing_is_stored(statement):
    assert "Not supported" in statement["rest"][0]["documentation"]
    assert "Nothing is stored yet" in statement["description"]


async def test_every_type_it_names_is_read(stage, statement):
    assert [one["type"] for one in statement["rest"][0]["resource"]] == [row.resource_type for row in RESOURCES]
    for one in statement["rest"][0]["resource"]:
        response = await stage.get(f"{one['type']}/unknown")
        assert response.json()["issue"][0]["details"]["coding"][0]["code"] == "resource-not-found"


async def test_every_search_parameter_it_names_is_understood(stage, statement):
    named = resource(statement, "DiagnosticReport")["searchParam"]
    assert [one["name"] for one in named] == [one.name for one in PARAMETERS]
    values = {
        "_id": "rep-" + "0" * 32,
        "study": "stu-" + "0" * 32,
        "imagingStudy": "stu-" + "0" * 32,
        "imagingStudy.identifier": "urn:oid:1.2.3",
    }
    for one in named:
        response = await stage.get(
            f"DiagnosticReport?{one['name']}={values[one['name']]}", headers={"Prefer": "handling=strict"}
        )
        assert response.status_code == 200


async def test_every_include_it_names_is_understood(stage, statement):
    named = resource(statement, "DiagnosticReport")["searchInclude"]
    assert len(named) == len(INCLUDES)
    for one in named:
        query = f"DiagnosticReport?study=stu-{'0' * 32}&_include={one}"
        assert (await stage.get(query, headers={"Prefer": "handling=strict"})).status_code == 200


async def test_every_operation_it_names_is_there(stage, statement):
    for one in resource(statement, "DiagnosticReport")["operation"]:
        response = await stage.post(f"DiagnosticReport/rep-1/${one['name']}", key=None)
        assert response.status_code in {400, 404}
        assert (await stage.get(f"DiagnosticReport/rep-1/${one['name']}")).status_code == 405


async def test_who_has_it_already_gets_no_body(stage):
    etag = (await stage.get("metadata")).headers["etag"]
    assert (await stage.get("metadata", headers={"If-None-Match": etag})).status_code == 304


async def test_it_is_json_only(stage):
    assert (await stage.get("metadata?_format=xml")).status_code == 406


def test_the_documents_have_a_row_for_all_there_is():
    rows = list(facade_rows())
    assert len(rows) == 1 + len(RESOURCES) + len(PARAMETERS) + len(RESULT_PARAMETERS) + len(OPERATIONS)
    assert all(request.startswith("`") and answer.endswith(".") for request, answer in rows)
