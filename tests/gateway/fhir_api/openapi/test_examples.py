"""Every example, sent to the gateway, is answered with 200; examples by id find their resource."""

import json
from urllib.parse import quote, urlencode

import pytest
from fakes.facade import resource_id

from gateway.fhir_api.served import DEFINITIONS

ROOT = "http://127.0.0.1:8800"
NARROW = {"_lastUpdated": "ge2000-01-01"}


def of_document(document):
    for path, item in document["paths"].items():
        for method, one in item.items():
            yield path, method, one


def filled(path, one):
    """Fill the examples into a path; None if a parameter has no example."""
    for row in one.get("parameters", ()):
        if row["in"] == "path":
            if "example" not in row:
                return None
            path = path.replace(f"{{{row['name']}}}", quote(row["example"]))
    return path


@pytest.mark.full
async def test_every_address_that_is_shown_is_answered(stage, document):
    shown = [(path, one) for path, _, one in of_document(document)]
    addresses = [address for _, one in shown for address in one.get("x-examples", ())]
    assert len(addresses) > 50
    for address in addresses:
        response = await stage.client.get(f"{ROOT}{address}")
        assert response.status_code == 200, (address, response.text)
        if "?_id=" in address or "?patient=" in address:
            assert response.json()["entry"], address


# The stage keeps no audit; tests/gateway/fhir_api/audit asks for these
OF_THE_AUDIT = ("/fhir/AuditEvent", "/fhir/AuditEvent/{id}")


async def test_every_get_of_the_facade_shows_one_where_there_is_one_to_show(document):
    without = [
        path
        for path, method, one in of_document(document)
        if method == "get" and path.startswith("/fhir") and not one.get("x-examples")
    ]
    # without the hospital's orders the sandbox has no visits
    of_orders = [path for path in without if path.startswith("/fhir/Encounter/{id}")]
    # their codes have the URLs of the site's own definitions
    of_codes = [path for path in without if path.startswith(("/fhir/ValueSet/", "/fhir/CodeSystem/")) and "/$" in path]
    assert without == [
        *of_orders,
        *of_codes,
        *(f"/fhir/{row.resource_type}/{{id}}" for row in DEFINITIONS),
        *OF_THE_AUDIT,
    ]


@pytest.mark.full
async def test_every_example_of_a_parameter_is_answered(stage, document):
    asked = 0
    for path, method, one in of_document(document):
        address = filled(path, one)
        if method != "get" or address is None or not path.startswith("/fhir") or path in OF_THE_AUDIT:
            continue
        needed = {
            row["name"]: row["example"]
            for row in one.get("parameters", ())
            if row["in"] == "query" and row.get("required")
        }
        is_search = path.count("/") == 2 and any(row["name"] == "_sort" for row in one.get("parameters", ()))
        for row in one.get("parameters", ()):
            if row["in"] != "query" or "example" not in row:
                continue
            query = urlencode({**(NARROW if is_search else {}), **needed, row["name"]: row["example"]})
            response = await stage.client.get(f"{ROOT}{address}?{query}", headers={"Prefer": "handling=strict"})
            assert response.status_code == 200, (address, query, response.text)
            asked += 1
    assert asked > 250


async def test_every_body_that_is_shown_is_answered(stage, document):
    sent = []
    for path, method, one in of_document(document):
        for media_type, shown in one.get("requestBody", {}).get("content", {}).items():
            if "example" not in shown:
                continue
            body = shown["example"]
            content = urlencode(body) if "urlencoded" in media_type else json.dumps(body)
            address = f"{ROOT}{filled(path, one)}"
            response = await stage.client.request(
                method, address, content=content, headers={"Content-Type": media_type}
            )
            assert response.status_code == 200, (path, response.text)
            sent.append(path)
            if path == "/fhir":
                assert {entry["response"]["status"] for entry in response.json()["entry"]} == {"200 OK"}
    assert "/fhir" in sent
    assert "/fhir/Organization/$validate" in sent
    assert "/fhir/Patient/_search" in sent


async def test_ids_are_those_around_a_signed_report(stage, document, report):
    paths = document["paths"]
    assert paths["/fhir/DiagnosticReport/{id}"]["get"]["parameters"][0]["example"] == resource_id(report)
    for kind in ("Patient", "Practitioner", "Organization", "ImagingStudy", "Observation", "ServiceRequest"):
        found = paths[f"/fhir/{kind}/{{id}}"]["get"]["parameters"][0]["example"]
        assert (await stage.get(f"{kind}/{found}")).status_code == 200
