"""Own definitions (https://hl7.org/fhir/R4/profiling.html): valid, and nothing that resources carry is left out."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fhir.resources.R4B import get_fhir_model_class

from gateway.fhir_api.definitions.defined import defined
from mappings.codes import CANONICAL

GOLDEN = Path(__file__).parents[3] / "golden"
OURS = re.compile(rf"urn:autoscribe-gateway:|{re.escape(CANONICAL)}")
ALL = [one for every in defined(CANONICAL).values() for one in every]
# A hash of where the number comes from follows the URI of the system
HASHED = re.compile(r":[0-9a-f]{14}$")


def named(element: Any) -> Iterator[str]:
    """Every URL of an extension and every system of ours in an element."""
    if isinstance(element, list):
        for each in element:
            yield from named(each)
    elif isinstance(element, dict):
        for key, value in element.items():
            if key in ("url", "system") and isinstance(value, str) and OURS.match(value):
                yield HASHED.sub("", value)
            yield from named(value)


@pytest.mark.parametrize("resource", ALL, ids=lambda one: f"{one['resourceType']}-{one['id']}")
def test_a_definition_is_valid_r4_and_has_a_name_for_programs(resource: dict[str, Any]) -> None:
    get_fhir_model_class(resource["resourceType"]).model_validate(resource)
    assert re.fullmatch(r"[A-Z][A-Za-z0-9_]{0,254}", resource["name"])
    assert resource["description"].endswith(".")
    if resource["resourceType"] != "NamingSystem":
        assert resource["url"] == f"{CANONICAL}/{resource['resourceType']}/{resource['id']}"


def test_ids_and_names_are_unique_in_each_type() -> None:
    for every in defined(CANONICAL).values():
        assert len({one["id"] for one in every}) == len({one["name"] for one in every}) == len(every)


def test_no_golden_resource_carries_a_system_or_an_extension_of_ours_that_is_not_defined() -> None:
    known = {one["url"] for one in ALL if "url" in one}
    known |= {each["value"] for one in ALL for each in one.get("uniqueId", ())}
    found = {url for path in sorted(GOLDEN.glob("*/fhir/*.json")) for url in named(json.loads(path.read_text()))}
    assert found - known == set()
    assert len(found) >= 20


def test_every_uri_of_ours_in_the_code_is_of_a_system_that_is_defined() -> None:
    """`extension:` is what releases before these definitions wrote; `urn:autoscribe-gateway:` alone is a beginning."""
    systems = {each["value"] for one in ALL for each in one.get("uniqueId", ())}
    root = Path(__file__).parents[4]
    texts = [path.read_text() for room in ("gateway", "mappings") for path in sorted((root / room).rglob("*.py"))]
    written = {found for text in texts for found in re.findall(r"urn:autoscribe-gateway:[a-z:-]*[a-z]", text)}
    assert written - systems == {"urn:autoscribe-gateway:extension"}


def test_a_code_system_has_a_value_set_of_all_its_codes() -> None:
    sets = {one["url"]: one for one in defined(CANONICAL)["ValueSet"]}
    for system in defined(CANONICAL)["CodeSystem"]:
        assert sets[system["valueSet"]]["compose"]["include"] == [{"system": system["url"]}]


def test_an_extension_takes_one_value_of_its_types_and_no_extensions() -> None:
    [found] = [one for one in defined("https://own.example")["StructureDefinition"] if one["id"] == "createdAt"]
    elements = {one["id"]: one for one in found["differential"]["element"]}
    assert elements["Extension.url"]["fixedUri"] == "https://own.example/StructureDefinition/createdAt"
    assert elements["Extension.value[x]"]["type"] == [{"code": "instant"}, {"code": "string"}]
    assert (elements["Extension.value[x]"]["min"], elements["Extension.extension"]["max"]) == (1, "0")
    assert found["context"] == [{"type": "element", "expression": "DiagnosticReport"}]
