"""HL7's own validator reads our XML as it reads our JSON, and finds no error (https://hl7.org/fhir/R4/xml.html).

Needs a JDK, Maven and ../shared.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from pathlib import Path

import pytest
from conformance.corpus import BASE_URL, GOLDEN
from conformance.facade_answers import bodies
from conformance.hl7_validator import Finding, findings
from fakes.scale import IS_WHOLE

from gateway.fhir_api.http.xml import xml_of_json
from mappings.fhir.bundle import collection
from mappings.fhir.rendering import json_bytes

pytestmark = pytest.mark.timeout(900)
STATUS = '<status value="generated"/>'


def golden() -> Iterable[str]:
    """The resources of each golden case, as a Bundle."""
    for case in sorted(GOLDEN.glob("*/fhir")):
        resources = [json.loads(path.read_bytes()) for path in sorted(case.glob("*.json"))]
        yield json_bytes(collection(resources, BASE_URL)).decode()


def as_xml(text: str) -> str:
    """Without the XML declaration: it is text, not bytes in an encoding."""
    return xml_of_json(text.encode()).decode().partition("?>")[2].strip()


@pytest.fixture(scope="module")
def sources() -> tuple[str, ...]:
    every = (*golden(), *asyncio.run(bodies()))
    return every[:: 1 if IS_WHOLE else 5]


@pytest.fixture(scope="module")
def found(shared: Path, sources: tuple[str, ...]) -> dict[str, tuple[Finding, ...]]:
    return findings([*sources, *map(as_xml, sources), disordered(sources[0])], shared)


def disordered(source: str) -> str:
    """A Bundle in XML in which one narrative has its status last."""
    before, _, after = as_xml(source).partition(STATUS)
    return before + after.replace("</text>", STATUS + "</text>", 1)


def test_every_answer_is_valid_in_xml(sources: tuple[str, ...], found: dict[str, tuple[Finding, ...]]) -> None:
    errors = {one.message for source in sources for one in found[as_xml(source)] if one.is_error}
    assert errors == set()
    assert len(sources) > 20


def test_the_validator_finds_as_much_in_xml_as_in_json(
    sources: tuple[str, ...], found: dict[str, tuple[Finding, ...]]
) -> None:
    for source in sources:
        in_json = sorted((one.package, one.id) for one in found[source])
        assert sorted((one.package, one.id) for one in found[as_xml(source)]) == in_json


def test_an_element_in_the_wrong_place_is_found(
    sources: tuple[str, ...], found: dict[str, tuple[Finding, ...]]
) -> None:
    assert any(one.is_error for one in found[disordered(sources[0])])
