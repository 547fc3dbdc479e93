"""https://hl7.org/fhir/R4/terminology-service.html: codes are looked up and checked; of others none is called wrong."""

from __future__ import annotations

import pytest

from gateway.fhir_api.definitions.own_codes import error_codes
from mappings.codes import LOINC


async def said(stage, path, **more):
    """Return the parameters of an answer by their names; parts are left out."""
    answer = await (stage.post(path, None, **more) if more else stage.get(path))
    assert answer.status_code == 200, answer.text
    rows = answer.json()["parameter"]
    return {row["name"]: next((value for key, value in row.items() if key != "name"), None) for row in rows}


async def ids_of(stage):
    systems = (await stage.get("CodeSystem")).json()["entry"]
    return {one["resource"]["id"]: one["resource"] for one in systems}


async def test_a_value_set_is_expanded_by_its_url_or_id_in_pages_and_by_a_filter(stage):
    [system] = [one for one in (await ids_of(stage)).values() if one["name"] == "GatewayError"]
    by_id = (await stage.get(f"ValueSet/{system['id']}/$expand")).json()
    by_url = (await stage.get(f"ValueSet/$expand?url={system['valueSet']}")).json()
    codes = [one["code"] for one in by_id["expansion"]["contains"]]
    assert set(codes) == set(error_codes())
    assert by_url["expansion"]["contains"] == by_id["expansion"]["contains"]
    assert {one["system"] for one in by_id["expansion"]["contains"]} == {system["url"]}
    page = (await stage.get(f"ValueSet/{system['id']}/$expand?offset=2&count=3")).json()["expansion"]
    assert ([one["code"] for one in page["contains"]], page["total"], page["offset"]) == (codes[2:5], len(codes), 2)
    few = (await stage.get(f"ValueSet/{system['id']}/$expand?filter=SUPPRESS")).json()["expansion"]["contains"]
    assert [one["code"] for one in few] == ["suppressed"]
    none = (await stage.get(f"ValueSet/{system['id']}/$expand?filter=zyxw")).json()["expansion"]
    assert none["total"] == 0
    assert "contains" not in none


async def test_a_code_is_looked_up_by_get_and_by_post(stage):
    [system] = [one for one in (await ids_of(stage)).values() if one["name"] == "GatewayError"]
    found = await said(stage, f"CodeSystem/$lookup?system={system['url']}&code=suppressed")
    assert (found["name"], found["display"]) == ("GatewayError", "suppressed")
    assert found["property"][1]["valueString"] == error_codes()["suppressed"]
    coding = {"name": "coding", "valueCoding": {"system": LOINC, "code": "18748-4"}}
    body = {"resourceType": "Parameters", "parameter": [coding]}
    headers = {"Content-Type": "application/fhir+json"}
    assert (await said(stage, "CodeSystem/$lookup", json=body, headers=headers))[
        "display"
    ] == "Diagnostic imaging study"
    xml = await stage.get(f"CodeSystem/$lookup?system={LOINC}&code=18748-4&_format=xml")
    assert xml.text.startswith("<?xml")


@pytest.mark.parametrize(
    ("path", "result"),
    [
        ("CodeSystem/$validate-code?url={own}&code=suppressed", True),
        ("CodeSystem/$validate-code?url={own}&code=nonsense", False),
        ("CodeSystem/{id}/$validate-code?code=suppressed&display=SUPPRESSED", True),
        ("CodeSystem/{id}/$validate-code?code=suppressed&display=other", False),
        ("CodeSystem/$validate-code?coding={own}|suppressed", True),
        (f"CodeSystem/$validate-code?url={LOINC}&code=18748-4", True),
        ("ValueSet/{id}/$validate-code?code=suppressed", True),
        ("ValueSet/{id}/$validate-code?system=urn:x&code=suppressed", False),
        ("ValueSet/$validate-code?url={set}&coding={own}|nonsense", False),
    ],
)
async def test_a_code_is_right_or_wrong(stage, path, result):
    [system] = [one for one in (await ids_of(stage)).values() if one["name"] == "GatewayError"]
    named = path.replace("{own}", system["url"]).replace("{set}", system["valueSet"]).replace("{id}", system["id"])
    found = await said(stage, named)
    assert found["result"] is result
    assert ("message" in found) is not result


@pytest.mark.parametrize(
    ("path", "status"),
    [
        (f"CodeSystem/$validate-code?url={LOINC}&code=1-8", 404),  # not wrong: LOINC has more codes
        (f"CodeSystem/$lookup?system={LOINC}&code=1-8", 404),
        ("CodeSystem/$lookup?system=urn:x&code=1", 404),
        ("CodeSystem/$lookup?code=1", 400),
        ("CodeSystem/$validate-code?code=1", 400),
        ("ValueSet/$expand", 400),
        ("ValueSet/$expand?url=http://hl7.org/fhir/ValueSet/languages", 404),
        ("ValueSet/unknown/$expand", 404),
        ("ValueSet/$expand?url=x&count=-1", 404),
        ("ValueSet/$expand?url=x&displayLanguage=de", 400),
    ],
)
async def test_what_is_not_known_is_refused(stage, path, status):
    assert (await stage.get(path)).status_code == status


async def test_the_capability_statement_refers_to_r4s_operations(stage):
    rows = (await stage.get("metadata")).json()["rest"][0]["resource"]
    offered = {row["type"]: {one["definition"].rpartition("/")[2] for one in row.get("operation", ())} for row in rows}
    assert offered["ValueSet"] == {"ValueSet-expand", "ValueSet-validate-code"}
    assert offered["CodeSystem"] == {"CodeSystem-lookup", "CodeSystem-validate-code"}
