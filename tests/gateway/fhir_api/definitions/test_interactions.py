"""https://hl7.org/fhir/R4/operationdefinition.html, https://hl7.org/fhir/R4/searchparameter.html"""

import re
from dataclasses import replace

import pytest
from fakes.crawled import entries, issues, links
from fakes.facade import BASE
from fakes.outcomes import issue, refusal
from fhir.resources.R4B.operationdefinition import OperationDefinition
from fhir.resources.R4B.searchparameter import SearchParameter

from gateway.fhir_api.served import DEFINITIONS
from mappings.codes import CANONICAL

CLASSES = {"OperationDefinition": OperationDefinition, "SearchParameter": SearchParameter}
STRICT = {"Prefer": "handling=strict"}
OWN = re.compile(rf"{CANONICAL}/(OperationDefinition|SearchParameter)/.+")


@pytest.fixture
async def defined(stage):
    """Return the gateway's own definitions in the CapabilityStatement: canonical URL -> name."""
    found = {}
    for resource in (await stage.get("metadata")).json()["rest"][0]["resource"]:
        for one in (*resource.get("operation", ()), *resource.get("searchParam", ())):
            if OWN.fullmatch(one["definition"]):
                found[one["definition"]] = one["name"]
    return found


async def test_every_definition_of_ours_that_is_named_is_found_by_its_url(stage, defined):
    assert {url.split("/")[-2] for url in defined} == set(CLASSES)
    for url, name in defined.items():
        kind = url.split("/")[-2]
        bundle = (await stage.get(f"{kind}?url={url}")).json()
        [found] = entries(bundle)
        CLASSES[kind].model_validate(found)
        assert (found["url"], found["code"], bundle["total"]) == (url, name, 1)
        assert re.fullmatch(r"[A-Z][A-Za-z0-9_]{0,254}", found["name"])
        assert (await stage.get(f"{kind}/{found['id']}")).json() == found
        assert bundle["entry"][0]["fullUrl"] == f"{BASE}/{kind}/{found['id']}"


@pytest.mark.parametrize("kind", CLASSES)
async def test_all_are_listed_and_all_are_ours(stage, defined, kind):
    bundle = (await stage.get(kind)).json()
    assert {one["url"] for one in entries(bundle)} == {url for url in defined if f"/{kind}/" in url}
    assert links(bundle) == {"self": f"{BASE}/{kind}"}


async def test_an_operation_says_where_it_is_and_what_it_takes(stage):
    found = (await stage.get("OperationDefinition/hl7v2")).json()
    assert (found["resource"], found["system"], found["type"], found["instance"], found["affectsState"]) == (
        ["DiagnosticReport"],
        False,
        False,
        True,
        False,
    )
    receiver, destination, answer = found["parameter"]
    assert (receiver["name"], receiver["use"], receiver["min"], receiver["max"]) == ("receiver", "in", 0, "1")
    assert (destination["name"], destination["use"], destination["min"]) == ("destination", "in", 0)
    assert (answer["name"], answer["use"]) == ("return", "out")
    assert (await stage.get("OperationDefinition/addendum")).json()["affectsState"] is True


async def test_a_search_parameter_says_what_it_looks_at(stage):
    found = (await stage.get("SearchParameter/DiagnosticReport-study")).json()
    assert (found["base"], found["type"], found["expression"], found["target"]) == (
        ["DiagnosticReport"],
        "reference",
        "DiagnosticReport.imagingStudy",
        ["ImagingStudy"],
    )
    signed = (await stage.get("SearchParameter/DiagnosticReport-signed")).json()
    assert "gt" in signed["comparator"]
    assert signed["modifier"] == ["missing"]


async def test_a_search_parameter_that_no_element_gives_says_so(stage):
    for one in entries((await stage.get("SearchParameter")).json()):
        assert ("expression" in one) == (one["code"] != "signed")
        assert ("There is no expression" in one["description"]) == (one["code"] == "signed")


async def test_several_are_asked_for_with_commas_and_both_parameters_must_hold(stage):
    assert [one["id"] for one in entries((await stage.get("OperationDefinition?_id=trace,addendum,no")).json())] == [
        "addendum",
        "trace",
    ]
    query = f"OperationDefinition?_id=trace&url={CANONICAL}/OperationDefinition/addendum"
    bundle = (await stage.get(query)).json()
    assert (entries(bundle), bundle["total"]) == ([], 0)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("SearchParameter?code=critical&base=DiagnosticReport", ["DiagnosticReport-critical"]),
        ("SearchParameter?base=Observation", ["Observation-interpretation"]),
        ("SearchParameter?base=Patient", []),
        (
            "SearchParameter?type=date,reference&name=diagnosticreport",
            ["DiagnosticReport-study", "DiagnosticReport-signed"],
        ),
        ("StructureDefinition?type=Extension&name=iscrit", ["isCritical"]),
        ("StructureDefinition?type=Patient", []),
        ("OperationDefinition?code=trace&status=active", ["trace"]),
        ("OperationDefinition?status=draft", []),
        ("OperationDefinition?version=1", []),
        ("NamingSystem?kind=identifier&value=urn:autoscribe-gateway:report", ["report"]),
    ],
)
async def test_definitions_are_found_by_what_they_say(stage, query, found):
    bundle = (await stage.get(query, headers=STRICT)).json()
    assert [one["id"] for one in entries(bundle)] == found
    assert (issues(bundle), links(bundle)["self"]) == ([], f"{BASE}/{query.replace(',', '%2C')}")


@pytest.mark.parametrize(
    "query",
    ["SearchParameter?derived-from=x", "ValueSet?code=x", "NamingSystem?url=urn:x", "CodeSystem?_lastUpdated=gt2020"],
)
async def test_a_filter_that_is_not_offered_is_refused_and_those_that_are_stand_there(stage, query):
    response = await stage.get(query)
    assert refusal(response) == (400, "error", "not-supported")
    assert "offered: _id, name, status, " in issue(response)["diagnostics"]


async def test_a_code_is_asked_for_without_its_system(stage):
    response = await stage.get("OperationDefinition?status=http://hl7.org/fhir/publication-status|active")
    assert refusal(response) == (400, "error", "invalid")


async def test_a_parameter_that_is_not_known_is_named_and_refused_when_strict(stage):
    bundle = (await stage.get("SearchParameter?colour=blue&_id=DiagnosticReport-study")).json()
    assert len(entries(bundle)) == 1
    assert [(one["detail"], one["expression"]) for one in issues(bundle)] == [("parameter-ignored", ["http.colour"])]
    assert links(bundle)["self"].endswith("?_id=DiagnosticReport-study")
    response = await stage.get("SearchParameter?colour=blue", headers=STRICT)
    assert refusal(response) == (400, "error", "not-supported")


async def test_a_modifier_is_refused(stage):
    response = await stage.get("SearchParameter?url:below=urn:autoscribe-gateway")
    assert refusal(response) == (400, "error", "not-supported")
    assert issue(response)["expression"] == ["http.url"]


@pytest.mark.parametrize("kind", CLASSES)
async def test_one_that_is_not_defined_here_is_a_404_and_none_is_written(stage, kind):
    assert refusal(await stage.get(f"{kind}/docref")) == (404, "error", "not-found")
    assert refusal(await stage.client.put(f"{BASE}/{kind}/trace")) == (405, "error", "not-supported")
    assert refusal(await stage.client.post(f"{BASE}/{kind}")) == (405, "error", "not-supported")


async def test_who_has_it_already_gets_no_body_and_xml_is_offered(stage):
    etag = (await stage.get("OperationDefinition/trace")).headers["etag"]
    assert (await stage.get("OperationDefinition/trace", headers={"If-None-Match": etag})).status_code == 304
    for path in ("OperationDefinition/trace", "SearchParameter?_format=xml"):
        response = await stage.get(path, headers={"Accept": "application/fhir+xml"})
        assert response.headers["content-type"] == "application/fhir+xml; charset=utf-8"


@pytest.mark.parametrize("kind", ["StructureDefinition", "CodeSystem", "ValueSet"])
async def test_extensions_and_codes_are_found_by_their_url(stage, kind):
    listed = entries((await stage.get(kind)).json())
    assert len(listed) >= 3
    for one in listed:
        assert entries((await stage.get(f"{kind}?url={one['url']}")).json()) == [one]
        assert (await stage.get(f"{kind}/{one['id']}")).json() == one
    assert entries((await stage.get(f"{kind}?url=urn:none")).json()) == []


async def test_a_system_of_identifiers_is_found_by_the_start_of_its_uri(stage):
    [found] = entries((await stage.get("NamingSystem?value=urn:autoscribe-gateway:report")).json())
    assert (found["id"], found["kind"]) == ("report", "identifier")
    several = entries((await stage.get("NamingSystem?value=URN:autoscribe-gateway:m")).json())
    assert {one["id"] for one in several} == {"mrn-unassigned", "message"}
    assert (await stage.get("NamingSystem?url=urn:autoscribe-gateway:report", headers=STRICT)).status_code == 400


async def test_what_is_defined_is_below_the_base_that_the_site_sets(stage):
    serving = stage.app.state.facade
    stage.app.state.facade = replace(serving, site=replace(serving.site, canonical="https://hospital.example/own"))
    [found] = entries((await stage.get("StructureDefinition?_id=isCritical")).json())
    assert found["url"] == "https://hospital.example/own/StructureDefinition/isCritical"
    critical = (await stage.get("SearchParameter/DiagnosticReport-critical")).json()
    assert critical["expression"] == f"DiagnosticReport.extension('{found['url']}').value"
    metadata = (await stage.get("metadata")).text
    assert "https://hospital.example/own/SearchParameter/DiagnosticReport-critical" in metadata
    assert CANONICAL not in metadata
    for path in ("Nothing/1", "DiagnosticReport?_lastUpdated=ge2000&colour=blue"):
        text = (await stage.get(path)).text
        assert "https://hospital.example/own/CodeSystem/error" in text
        assert CANONICAL not in text


@pytest.mark.parametrize("kind", [row.resource_type for row in DEFINITIONS])
async def test_definitions_come_in_pages_of_the_size_asked_for(stage, kind):
    everything = [one["id"] for one in entries((await stage.get(f"{kind}?_count=500")).json())]
    seen, url = [], f"{BASE}/{kind}?_count=2&_pretty=true&status=active"
    while url:
        bundle = (await stage.client.get(url)).json()
        assert bundle["total"] == len(everything)
        assert links(bundle)["self"] == url
        assert "_pretty=true" in url
        found = [one["id"] for one in entries(bundle)]
        assert 0 < len(found) <= 2
        seen += found
        url = links(bundle).get("next")
    assert seen == everything
    assert len(everything) > 1


async def test_a_count_of_nothing_is_the_total_and_a_page_takes_no_further_filter(stage):
    whole = (await stage.get("StructureDefinition")).json()
    counted = (await stage.get("StructureDefinition?_count=0")).json()
    assert (counted["total"], counted.get("entry")) == (whole["total"], None)
    assert refusal(await stage.get("StructureDefinition?_count=x")) == (400, "error", "invalid")
    page = links((await stage.get("StructureDefinition?_count=1")).json())["next"]
    assert len(entries((await stage.client.get(f"{page}&_count=3")).json())) == 3
    assert refusal(await stage.client.get(f"{page}&name=x")) == (400, "error", "not-supported")
    assert refusal(await stage.get("ValueSet?" + page.partition("?")[2])) == (400, "error", "invalid")
