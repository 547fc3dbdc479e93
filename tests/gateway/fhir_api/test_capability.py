"""https://hl7.org/fhir/R4/capabilitystatement.html: the statement lists exactly what the facade serves."""

import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest
from fakes.facade import BASE
from fakes.outcomes import issue, refusal
from fhir.resources.R4B.capabilitystatement import CapabilityStatement

from gateway.auth.smart_configuration import Endpoints
from gateway.fhir_api.capability import US_CORE_SERVER
from gateway.fhir_api.http.query import RESULT_PARAMETERS
from gateway.fhir_api.search.result_parameters import includes_of, revincludes_of
from gateway.fhir_api.served import OPERATIONS, RESOURCES, facade_rows
from gateway.index.parameter_lookup import PARAMETERS, parameter, parameters_of
from mappings.codes import CANONICAL

STRICT = {"Prefer": "handling=strict"}
SEARCHED = [row.resource_type for row in RESOURCES if not row.is_binary]
# Beside a parameter that narrows nothing, so that the search is allowed
WINDOW = "_lastUpdated=ge2020"
NO_STUDY = "stu-" + "0" * 32
OF_TYPE = {"date": "2024-01-01", "uri": "urn:x"}
OF_NAME = {"active": "true", "study": NO_STUDY, "critical": "unknown", "addendum": "true"}
OF_MODIFIER = {"missing": "true", "identifier": "x", "of-type": "http://example.org|MR|1"}


@pytest.fixture
async def statement(stage):
    response = await stage.get("metadata")
    assert response.status_code == 200
    return response.json()


def resource(statement, resource_type):
    [found] = [one for one in statement["rest"][0]["resource"] if one["type"] == resource_type]
    return found


def asking(one):
    """List every form of a search parameter, with all its modifiers and chains."""
    if one.type == "reference":
        yield f"{one.name}={one.targets[0]}/{NO_STUDY}"
        yield from (f"{one.name}:{target}={NO_STUDY}" for target in one.targets)
        for target in one.targets:
            led_to = [found for chain in one.chains if (found := parameter(target, chain))]
            yield from (f"{one.name}:{target}.{inner.name}={inner_value(inner)}" for inner in led_to)
    else:
        yield f"{one.name}={value(one)}"
    for modifier in one.modifiers:
        yield f"{one.name}:{modifier}={OF_MODIFIER.get(modifier, value(one))}"


def inner_value(one):
    return f"{one.targets[0]}/{NO_STUDY}" if one.type == "reference" else value(one)


def value(one):
    return OF_NAME.get(one.name, OF_TYPE.get(one.type, "x"))


class Login:
    """Authentication, as far as the statement asks for it."""

    def __init__(self, endpoints):
        self.endpoints = endpoints


@pytest.mark.parametrize(
    ("endpoints", "uris"),
    [
        (Endpoints("https://a.example/token"), [("token", "https://a.example/token")]),
        (
            Endpoints("https://a.example/token", "https://a.example/authorize"),
            [("token", "https://a.example/token"), ("authorize", "https://a.example/authorize")],
        ),
        (None, []),
    ],
)
async def test_with_authentication_it_names_smart_and_the_addresses_of_a_login_that_are_known(stage, endpoints, uris):
    stage.app.state.auth = Login(endpoints)
    found = (await stage.get("metadata")).json()
    [rest] = found["rest"]
    [service] = rest["security"]["service"]
    assert [one["code"] for one in service["coding"]] == ["SMART-on-FHIR"]
    extensions = rest["security"].get("extension", [])
    assert [one["url"].rpartition("/")[2] for one in extensions] == ["oauth-uris"] * bool(uris)
    assert [(one["url"], one["valueUri"]) for part in extensions for one in part["extension"]] == uris
    assert "authentication" not in rest["documentation"]
    assert CapabilityStatement.model_validate(found)


async def test_without_authentication_it_says_so(statement):
    [rest] = statement["rest"]
    assert "security" not in rest
    assert "and authentication: the gateway listens on this machine only" in rest["documentation"]


async def test_it_is_a_server_of_r4_at_the_base_that_was_asked(statement):
    assert [statement[key] for key in ("resourceType", "fhirVersion", "kind", "status")] == [
        *("CapabilityStatement", "4.0.1", "instance", "active")
    ]
    assert statement["implementation"]["url"] == BASE
    assert statement["format"] == ["application/fhir+json", "json", "application/fhir+xml", "xml"]
    assert CapabilityStatement.model_validate(statement)


async def test_that_it_is_a_us_core_server_is_claimed_only_where_the_site_claims_it(stage, statement):
    """US Core asks for create of DiagnosticReport, which the gateway does not offer: decision D30."""
    assert "instantiates" not in statement
    stage.app.state.facade = replace(stage.app.state.facade, claims_us_core=True)
    assert (await stage.get("metadata")).json()["instantiates"] == [US_CORE_SERVER]


async def test_it_says_plainly_what_is_not_supported_and_what_its_words_mean(statement):
    said = statement["rest"][0]["documentation"]
    for words in (
        "Not supported: create",
        "transactions",
        "addresses",
        "handling=strict",
        "strictly increasing",
        "Age",
    ):
        assert words in said
    assert "create answers 405" in resource(statement, "DiagnosticReport")["documentation"]


async def test_it_says_in_which_zone_a_date_without_one_is(stage, statement):
    zone = str(stage.app.state.facade.zone)
    assert f"A date without a zone is of {zone}." in statement["rest"][0]["documentation"]


async def test_every_type_of_the_table_is_named_with_its_profiles_and_is_read(stage, statement):
    for row in RESOURCES:
        named = resource(statement, row.resource_type)
        assert named.get("supportedProfile", []) == list(row.profiles)
        response = await stage.get(f"{row.resource_type}/unknown")
        assert issue(response)["detail"] == "resource-not-found"


async def test_it_names_the_history_of_the_system_and_the_compartment_of_a_patient(stage, statement):
    rest = statement["rest"][0]
    assert [one["code"] for one in rest["interaction"]] == ["batch", "history-system"]
    assert rest["compartment"] == ["http://hl7.org/fhir/CompartmentDefinition/patient"]
    assert (await stage.get("_history")).status_code == 200
    assert (await stage.get("Patient/pat-1/DiagnosticReport")).status_code == 200


async def test_every_interaction_it_names_is_there_and_no_other(stage, statement):
    for one in statement["rest"][0]["resource"]:
        named = {interaction["code"] for interaction in one["interaction"]}
        asked = {
            "read": f"{one['type']}/unknown",
            "vread": f"{one['type']}/unknown/_history/1",
            "history-instance": f"{one['type']}/unknown/_history",
            "search-type": f"{one['type']}?_id=unknown",
        }
        if (await stage.get(f"{one['type']}/_history")).status_code == 200:
            asked["history-type"] = f"{one['type']}/_history"
        found = {code for code, path in asked.items() if issue_code(await stage.get(path)) != "no-such-address"}
        offered = {code for code in found if (await stage.get(asked[code])).status_code != 405}
        assert named == offered


def issue_code(response):
    return None if response.status_code == 200 else issue(response)["detail"]


@pytest.mark.full
@pytest.mark.parametrize("resource_type", SEARCHED)
async def test_every_parameter_modifier_and_chain_of_the_table_is_named_and_understood(stage, statement, resource_type):
    named = resource(statement, resource_type)["searchParam"]
    rows = parameters_of(resource_type)
    assert [(one["name"], one["type"], one["definition"]) for one in named] == [
        (row.name, row.type, row.url(CANONICAL)) for row in rows
    ]
    for shown, row in zip(named, rows, strict=True):
        for part in (*row.modifiers, *row.chains):
            assert part in shown["documentation"]
        for query in asking(row):
            response = await stage.get(f"{resource_type}?{query}&{WINDOW}", headers=STRICT)
            assert response.status_code == 200, (query, response.text)


@pytest.mark.parametrize("resource_type", SEARCHED)
async def test_every_include_of_the_table_is_named_and_understood(stage, statement, resource_type):
    named = resource(statement, resource_type)
    assert named.get("searchInclude", []) == list(includes_of(resource_type))
    assert named.get("searchRevInclude", []) == list(revincludes_of(resource_type))
    wanted = [f"_include={one}" for one in named.get("searchInclude", [])]
    wanted += [f"_revinclude={one}" for one in named.get("searchRevInclude", [])]
    for query in wanted:
        assert (await stage.get(f"{resource_type}?_id=x&{query}", headers=STRICT)).status_code == 200


async def test_every_result_parameter_is_said_of_every_type_that_is_searched(statement):
    for kind in SEARCHED:
        assert [
            name for name in RESULT_PARAMETERS if f"{name}: " not in resource(statement, kind)["documentation"]
        ] == []


async def test_the_searches_that_us_core_asks_for_are_among_them(statement):
    """CapabilityStatement us-core-server 6.1.0 and 8.0.0: the parameters of its SHALL and SHOULD combinations."""
    asked = {
        "DiagnosticReport": {"patient", "category", "date", "code", "status", "_lastUpdated"},
        "Patient": {"_id", "identifier", "name", "birthdate", "gender", "family", "death-date"},
        "Practitioner": {"name", "identifier", "_id"},
        "PractitionerRole": {"specialty", "practitioner"},
        "Organization": {"name", "address"},
        "DocumentReference": {"_id", "patient", "type", "category", "date", "status", "period"},
        "Observation": {"patient", "category", "code", "date", "status", "_lastUpdated"},
        "ServiceRequest": {"_id", "patient", "category", "code", "authored", "status"},
    }
    for kind, names in asked.items():
        assert names <= {one["name"] for one in resource(statement, kind)["searchParam"]}
    for kind in ("DiagnosticReport", "DocumentReference", "Observation", "ServiceRequest"):
        assert "Provenance:target" in resource(statement, kind)["searchRevInclude"]


async def test_every_operation_of_the_table_is_named_where_it_is_offered_with_its_definition(statement):
    for one in OPERATIONS:
        for kind in one.resource_types:
            [named] = [row for row in resource(statement, kind)["operation"] if row["name"] == one.name]
            assert (named["definition"], named["documentation"]) == (one.url(CANONICAL), one.documentation)
    offered = {(kind, one.name) for one in OPERATIONS for kind in one.resource_types}
    assert offered == {
        (kind["type"], row["name"]) for kind in statement["rest"][0]["resource"] for row in kind.get("operation", ())
    }


@pytest.mark.parametrize("query", ["", "?mode=full", "?_pretty=true", "?_elements=x"])
async def test_the_whole_of_it_is_all_there_is(stage, query):
    assert (await stage.get(f"metadata{query}")).json()["resourceType"] == "CapabilityStatement"


@pytest.mark.parametrize("mode", ["normative", "terminology", "x"])
async def test_another_mode_is_refused(stage, mode):
    response = await stage.get(f"metadata?mode={mode}")
    assert refusal(response) == (400, "error", "not-supported")
    assert issue(response)["expression"] == ["http.mode"]


async def test_who_has_it_already_gets_no_body(stage):
    etag = (await stage.get("metadata")).headers["etag"]
    assert (await stage.get("metadata", headers={"If-None-Match": etag})).status_code == 304
    stage.app.state.facade = replace(stage.app.state.facade, claims_us_core=True)
    assert (await stage.get("metadata", headers={"If-None-Match": etag})).status_code == 200


async def test_it_is_xml_for_who_wants_that(stage, statement):
    response = await stage.get("metadata", headers={"Accept": "application/fhir+xml"})
    assert response.headers["content-type"] == "application/fhir+xml; charset=utf-8"
    fhir = {"f": "http://hl7.org/fhir"}
    named = [one.get("value") for one in ET.fromstring(response.content).findall("f:rest/f:resource/f:type", fhir)]
    assert named == [one["type"] for one in statement["rest"][0]["resource"]]


async def test_head_says_what_get_says(stage):
    plain = {"Accept-Encoding": "identity"}
    got, head = await stage.get("metadata", headers=plain), await stage.client.head(f"{BASE}/metadata", headers=plain)
    assert (head.content, head.headers) == (b"", got.headers)


async def test_nothing_is_asked_of_autoscribe_for_it(stage, statement):
    assert statement
    assert stage.requests == []


def test_the_documents_have_a_row_for_all_there_is():
    rows = list(facade_rows())
    requests = " ".join(request for request, _ in rows)
    assert len({request for request, _ in rows}) == len(rows)
    assert all(request.startswith("`") and request.endswith("`") and answer.endswith(".") for request, answer in rows)
    assert [row.resource_type for row in RESOURCES if f"GET /fhir/{row.resource_type}/<id>`" not in requests] == []
    assert [row.name for row in OPERATIONS if f"/${row.name}`" not in requests] == []
    for words in (
        "/metadata`",
        "?…`",
        "/_search`",
        "/_history`",
        "/_history/<version>`",
        "<type>/_history`",
        "fhir/_history`",
    ):
        assert words in requests


def test_no_parameter_is_of_a_type_that_is_not_served():
    assert {one.resource_type for one in PARAMETERS} == set(SEARCHED)


async def test_it_names_itself_its_version_its_guides_and_what_it_reads_conditionally(statement):
    assert statement["url"] == f"{BASE}/metadata"
    assert statement["version"] == statement["software"]["version"]
    us_core, own = statement["implementationGuide"]
    assert us_core == "http://hl7.org/fhir/us/core/ImplementationGuide/hl7.fhir.us.core|6.1.0"
    assert own.endswith(f"/ImplementationGuide/autoscribe-gateway|{statement['version']}")
    conditional = {one["type"] for one in statement["rest"][0]["resource"] if "conditionalRead" in one}
    assert {"DiagnosticReport", "Patient", "Observation"} <= conditional
