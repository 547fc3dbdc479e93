"""The table of search parameters is complete, consistent, and agrees with the standards.

https://hl7.org/fhir/R4/searchparameter-registry.html, the US Core server CapabilityStatements 6.1.0 and 8.0.0.
"""

from __future__ import annotations

import json
import re
import tarfile
from collections import Counter
from datetime import UTC

import pytest

from gateway.index import keys
from gateway.index.extract import rows
from gateway.index.parameter_lookup import OWN_COLUMNS, PARAMETERS, TYPES, parameter, parameters_of

# US Core 6.1.0 and 8.0.0, SHALL and SHOULD, whichever of them asks for it
US_CORE = {
    "DiagnosticReport": ("patient", "category", "date", "code", "status", "_lastUpdated"),
    "Patient": ("_id", "identifier", "name", "birthdate", "gender", "family", "given", "death-date"),
    "Practitioner": ("name", "identifier", "_id"),
    "PractitionerRole": ("specialty", "practitioner"),
    "Organization": ("name", "address"),
    "DocumentReference": ("_id", "patient", "type", "category", "date", "status", "period"),
    "Observation": ("patient", "category", "code", "date", "status", "_lastUpdated"),
    "ServiceRequest": ("_id", "patient", "category", "code", "authored", "status"),
    "Encounter": (
        *("_id", "_lastUpdated", "patient", "date", "class", "type", "status", "identifier", "location"),
        "discharge-disposition",
    ),
}
# Beyond US Core: R4, IHE IMR, and the gateway's own
BEYOND = {
    "DiagnosticReport": (
        *("subject", "identifier", "issued", "based-on", "performer", "results-interpreter", "result", "encounter"),
        *("conclusion", "basedOn", "imagingStudy", "critical", "addendum", "study", "signed"),
    ),
    "ImagingStudy": ("_id", "identifier", "patient", "started", "modality", "status"),
    "Provenance": ("target", "patient", "recorded"),
    "PractitionerRole": ("_id", "identifier", "organization", "role"),
}
OF_EVERY_TYPE = ("_id", "_lastUpdated", "_tag", "_profile", "_security", "_source")
# Parameters that alone make a search allowed (D30), beside every date
NARROWING = {
    *("_id", "identifier", "patient", "subject", "study", "imagingStudy", "based-on", "basedOn", "basedon"),
    *("name", "family", "given", "address", "target", "result", "related", "encounter"),
    "interpretation",
}
# Types with few resources, where every parameter of the type makes a search allowed
FEW = "PractitionerRole"
MODIFIED = ("text", "of-type", "exact", "identifier")
PACKAGES = ("hl7.fhir.r4.core-4.0.1.tgz", "us_core_610.tgz", "us_core_800.tgz")
# Parameters that index another element than in R4: the study's modality, since series are unknown
ELSEWHERE = {("ImagingStudy", "modality")}
IDS = [f"{row.resource_type}.{row.name}" for row in PARAMETERS]


@pytest.fixture(scope="module")
def definitions(shared):
    """The SearchParameters, CodeSystems and server CapabilityStatements of R4 and US Core, by url and package."""
    found = {}
    for name in PACKAGES:
        with tarfile.open(shared / "conformance" / name) as package:
            for member in package:
                if re.match(r"package/(SearchParameter|CodeSystem|CapabilityStatement)-", member.name):
                    resource = json.load(package.extractfile(member))
                    found[name, resource["url"]] = resource
    return found


@pytest.mark.parametrize("table", [US_CORE, BEYOND, dict.fromkeys(TYPES, OF_EVERY_TYPE)])
def test_every_parameter_that_is_asked_of_us_is_in_the_table(table):
    assert [(kind, name) for kind, names in table.items() for name in names if parameter(kind, name) is None] == []


def test_a_type_has_each_parameter_once_and_no_other_type_has_any():
    assert max(Counter((row.resource_type, row.name) for row in PARAMETERS).values()) == 1
    assert {row.resource_type for row in PARAMETERS} == set(TYPES)
    assert [row.name for row in parameters_of("Organization")] == [*OF_EVERY_TYPE, "identifier", "name", "address"]
    assert parameters_of("Condition") == ()
    assert parameter("Condition", "_id") is None


def test_no_two_parameters_have_one_key():
    names = {(row.resource_type, row.name) for row in PARAMETERS if not row.shares}
    names |= {(kind, f"{name}:{modifier}") for kind, name in names for modifier in MODIFIED}
    assert len({keys.key(kind, name) for kind, name in names}) == len(names) > 500


def test_the_keys_are_the_same_in_every_release():
    assert keys.key("DiagnosticReport", "patient") == 3026954242
    assert parameter("DiagnosticReport", "patient").key == keys.key("DiagnosticReport", "patient")
    assert parameter("Patient", "name").key_with("exact") == keys.key("Patient", "name:exact")


def test_what_shares_rows_looks_at_the_same_element_and_leads_to_one_type():
    sharing = [row for row in PARAMETERS if row.shares]
    assert {row.name for row in sharing} == {"subject", "basedOn", "study", "patient"}
    for row in sharing:
        owner = parameter(row.resource_type, row.shares)
        assert (owner.paths, owner.shares) == (row.paths, "")
        assert row.key == owner.key
        assert len(row.targets) == 1


def test_what_narrows_is_what_the_decision_names_and_every_date():
    narrowing = {row.name for row in PARAMETERS if row.narrows and row.type != "date" and row.resource_type != FEW}
    assert narrowing == NARROWING
    assert all(row.narrows for row in parameters_of(FEW) if row.name not in OF_EVERY_TYPE)
    assert all(row.narrows for row in PARAMETERS if row.type == "date" or row.name in NARROWING)


@pytest.mark.parametrize("row", PARAMETERS, ids=IDS)
def test_a_parameter_says_what_it_finds_and_where_it_is_defined(row):
    assert row.documentation.endswith(".")
    assert row.url("https://own.example").startswith(("http://", "https://"))
    assert row.is_own == row.url("https://own.example").startswith("https://own.example/SearchParameter/")
    assert row.paths or row.name == "signed"
    assert (row.type == "reference") == bool(row.targets)
    assert not row.codes or row.system


@pytest.mark.parametrize("row", [row for row in PARAMETERS if row.chains], ids=lambda row: row.name)
def test_a_chain_leads_to_parameters_that_a_target_has_and_never_to_when_it_changed(row):
    for name in row.chains:
        assert any(parameter(target, name) for target in row.targets)
    assert [name for name in row.chains if name.startswith("_")] == ["_id"]


@pytest.mark.parametrize("row", PARAMETERS, ids=IDS)
def test_a_parameter_of_r4_is_as_r4_defines_it(row, definitions):
    if not row.definition.startswith("http://hl7.org/fhir/SearchParameter/"):
        assert row.is_own or row.definition.startswith(
            ("https://profiles.ihe.net/RAD/IMR/", "http://hl7.org/fhir/us/core/SearchParameter/")
        )
        return
    defined = definitions[PACKAGES[0], row.definition]
    assert row.name == ("basedOn" if row.shares == "based-on" else defined["code"])
    assert row.type == defined["type"]
    assert {row.resource_type, "Resource"} & set(defined["base"])
    if row.type == "reference" and row.targets:
        assert set(row.targets) <= set(defined["target"])
    if row.name not in OWN_COLUMNS and (row.resource_type, row.name) not in ELSEWHERE:
        elements = {path for base in (row.resource_type, "Resource") for path in expressed(defined["expression"], base)}
        assert {element for element in elements if any(path.startswith(element) for path in row.paths)} == elements
        assert all(path.startswith(tuple(elements)) for path in row.paths)


def expressed(expression: str, base: str) -> set[str]:
    """The paths of an R4 expression that begin at that type."""
    parts = (part.strip(" ()") for part in expression.replace(".where(resolve() is Patient)", "").split("|"))
    paths = (re.sub(r" as (\w)(\w*)", lambda found: found[1].upper() + found[2], part) for part in parts)
    return {path.removeprefix(f"{base}.") for path in paths if path.startswith(f"{base}.")}


@pytest.mark.parametrize(
    "row", [row for row in PARAMETERS if row.codes], ids=lambda row: f"{row.resource_type}.{row.name}"
)
def test_the_codes_of_an_element_are_those_of_its_code_system(row, definitions):
    defined = definitions[PACKAGES[0], row.system]
    assert set(row.codes) == set(_codes(defined["concept"]))


def _codes(concepts):
    for concept in concepts:
        yield concept["code"]
        yield from _codes(concept.get("concept", ()))


@pytest.mark.parametrize("package", PACKAGES[1:])
def test_every_parameter_of_the_us_core_server_is_in_the_table(package, definitions):
    url = "http://hl7.org/fhir/us/core/CapabilityStatement/us-core-server"
    listed = [
        (resource["type"], one["name"], one["type"])
        for resource in definitions[package, url]["rest"][0]["resource"]
        if resource["type"] in TYPES
        for one in resource.get("searchParam", ())
    ]
    assert len(listed) > 30
    for kind, name, value_type in listed:
        row = parameter(kind, name)
        assert row is not None, (kind, name)
        assert row.type == value_type
        assert name in (*US_CORE[kind], *BEYOND.get(kind, ()))


@pytest.mark.parametrize(
    ("name", "modifiers"),
    [
        ("subject", {"identifier", "missing"}),
        ("status", {"not", "missing"}),
        ("code", {"not", "missing", "text"}),
        ("identifier", {"not", "missing", "of-type"}),
        ("date", {"missing"}),
    ],
)
def test_a_parameter_has_the_modifiers_of_its_kind(name, modifiers):
    row = parameter("DiagnosticReport", name)
    assert row is not None
    assert modifiers <= set(row.modifiers)


def test_what_is_in_columns_of_the_resource_makes_no_index_rows():
    for kind in TYPES:
        own = {parameter(kind, name).key for name in ("_id", "_lastUpdated")}
        found = rows({"resourceType": kind, "id": "x-1", "meta": {"lastUpdated": "2026-01-05T16:30:14Z"}}, UTC)
        assert own.isdisjoint(one[0] for one in (*found.terms, *found.moments))
