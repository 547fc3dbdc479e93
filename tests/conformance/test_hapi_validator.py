"""HL7's own validator finds no error in anything we make, and finds every fault that is planted in it.

https://hl7.org/fhir/R4/validation.html: R4 4.0.1, US Core 6.1.0 and 8.0.0. Needs a JDK, Maven and ../shared.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from conformance.corpus import BASE_URL, GOLDEN, golden_site
from conformance.facade_answers import bodies
from conformance.hl7_validator import PACKAGES, Finding, findings
from conformance.planted_faults import FAULTS
from fakes import fhir_studies, pitfalls
from fakes.scale import IS_WHOLE
from fakes.upstream_json import user_json

from gateway.cli.convert import read
from gateway.fhir_api.http.formats import xml_of_json
from mappings import to_fhir
from mappings.fhir.datatypes import collection, json_bytes
from mappings.profile import Site

pytestmark = pytest.mark.timeout(900)
STUDIES = len(pitfalls.PITFALLS) * (10 if IS_WHOLE else 1)
Json = dict[str, Any]
Record = Callable[[str, object], None]


@dataclass(frozen=True, slots=True)
class Proof:
    """Validated resources as JSON text, with their findings; `planted` and `sound` are keyed by the fault's name.

    `in_xml` has resources that were validated as XML, too, by their JSON; `disordered` has an element out of place.
    `collected` is a history that says that it is a collection.
    """

    golden: tuple[str, ...]
    generated: tuple[str, ...]
    facade: tuple[str, ...]
    sound: Mapping[str, str]
    planted: Mapping[str, str]
    in_xml: Mapping[str, str]
    disordered: str
    collected: str
    found: Mapping[str, tuple[Finding, ...]]

    def errors(self, texts: Iterable[str]) -> dict[str, str]:
        """Each error once, with a place where it stands."""
        found = [one for text in texts for one in self.found[text] if one.is_error]
        return {f"{one.package}: {one.id}: {one.message}": one.location for one in found}


def bundled(resources: Sequence[Json]) -> Json:
    """The resources of a study as `convert` gives them, so that a reference is held against what it leads to."""
    return collection(resources, BASE_URL)


def golden() -> Iterable[Json]:
    """Each golden case, mapped now, with its site, and with none; unless the run is whole, with one of the two."""
    for number, path in enumerate(sorted(GOLDEN.glob("*/wire.json"))):
        [(study, _)] = read(path.read_bytes())
        for site in (golden_site(), Site()) if IS_WHOLE else [(golden_site(), Site())[number % 2]]:
            yield bundled(to_fhir(study, site).output)


def generated() -> Iterable[Json]:
    """Each study with pitfalls, mapped for a site that has said all it can, and for one that has said nothing.

    Unless the run is whole, each is mapped for one of the two.
    """
    for number, wire in enumerate(pitfalls.generated(count=STUDIES)):
        sites = (pitfalls.SITE, Site())
        for site in sites if IS_WHOLE else [sites[number % 2]]:
            yield bundled(wire.mapped(site))


def sound(facade: Iterable[str]) -> list[Json]:
    """The resources in which faults are planted: a critical report whose signer has an NPI, its Bundle, and answers."""
    user = user_json(npiNumber="1234567893", suffix1="MD")
    snapshot = fhir_studies.snapshot(facilityName=pitfalls.IN_NEW_YORK)
    report = fhir_studies.report(isCritical=True, snapshotMetadata=snapshot)
    made = fhir_studies.mapped(report, users=(user,), site=pitfalls.SITE).output
    return [*made, bundled(made), *map(json.loads, facade)]


def chosen(resources: Iterable[Json], wanted: str) -> Json:
    """The first resource of a type, or of a type and with a part of its id."""
    kind, _, part = wanted.partition("-")
    return next(one for one in resources if one["resourceType"] == kind and f"-{part}" in f"-{one.get('id', '')}")


def texts(resources: Iterable[Json]) -> tuple[str, ...]:
    return tuple(json_bytes(one).decode() for one in resources)


def as_xml(text: str) -> str:
    """Return a resource in our XML without the XML declaration: it is text, not bytes in an encoding."""
    return xml_of_json(text.encode()).decode().partition("?>")[2].strip()


def out_of_order(xml: str) -> str:
    """Return a Bundle in XML in which one narrative has its status last."""
    status = '<status value="generated"/>'
    before, _, after = xml.partition(status)
    return before + after.replace("</text>", status + "</text>", 1)


def as_collection(answers: Iterable[str]) -> str:
    """Return the longest history, in which some resources have several versions, as a collection."""
    history = '"type": "history"'
    longest = max((one for one in answers if history in one), key=len)
    return longest.replace(history, '"type": "collection"', 1)


@pytest.fixture(scope="module")
def proof(shared: Path) -> Proof:
    facade = tuple(asyncio.run(bodies()))
    held = sound(facade)
    hosts = {name: chosen(held, fault.resource) for name, fault in FAULTS.items()}
    whole = dict(zip(hosts, texts(hosts.values()), strict=True))
    planted = dict(zip(FAULTS, texts(fault.planted(hosts[name]) for name, fault in FAULTS.items()), strict=True))
    ours = texts(golden()), texts(generated()), facade
    in_xml = {text: as_xml(text) for text in (*ours[0], *facade)[:: 1 if IS_WHOLE else 10]}
    disordered = out_of_order(in_xml[ours[0][0]])
    collected = as_collection(facade)
    every = [text for part in (*ours, whole.values(), planted.values(), in_xml.values()) for text in part]
    found = findings([*every, disordered, collected], shared)
    return Proof(*ours, whole, planted, in_xml, disordered, collected, found)


def test_every_golden_case_is_valid(proof: Proof) -> None:
    assert proof.errors(proof.golden) == {}
    assert len(proof.golden) >= 50


def test_every_generated_study_is_valid_and_each_pitfall_occurs_often(proof: Proof, record_property: Record) -> None:
    assert proof.errors(proof.generated) == {}
    wires = list(pitfalls.generated(count=STUDIES))
    assert len(wires) == STUDIES
    counts = {name: sum(pitfalls.occurs(name, wire) for wire in wires) for name in pitfalls.PITFALLS}
    rows = [f"{count:5} {name}" for name, count in counts.items()]
    record_property("summary", [f"pitfalls in {len(wires)} generated studies:", *rows])
    assert {name: count for name, count in counts.items() if count < len(wires) // len(counts)} == {}


def test_every_answer_of_the_facade_is_valid(proof: Proof) -> None:
    assert proof.errors(proof.facade) == {}
    kinds = {json.loads(text)["resourceType"] for text in proof.facade}
    assert {"Bundle", "Binary", "CapabilityStatement", "OperationOutcome", "DiagnosticReport", "Patient"} <= kinds


def test_every_answer_is_valid_in_xml(proof: Proof) -> None:
    """https://hl7.org/fhir/R4/xml.html."""
    assert proof.errors(proof.in_xml.values()) == {}
    assert len(proof.in_xml) > 20


def test_the_validator_finds_as_much_in_xml_as_in_json(proof: Proof) -> None:
    for text, xml in proof.in_xml.items():
        in_json = sorted((one.package, one.id) for one in proof.found[text])
        assert sorted((one.package, one.id) for one in proof.found[xml]) == in_json


def test_an_element_in_the_wrong_place_is_found(proof: Proof) -> None:
    assert any(one.is_error for one in proof.found[proof.disordered])


def test_a_reference_to_several_resources_is_found_where_they_are_not_the_versions_of_a_history(proof: Proof) -> None:
    """https://hl7.org/fhir/R4/bundle.html#references, bdl-7."""
    assert "Bundle_BUNDLE_MultipleMatches" in {one.id for one in proof.found[proof.collected]}


def test_what_faults_are_planted_in_is_valid(proof: Proof) -> None:
    assert proof.errors(proof.sound.values()) == {}


@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_is_found(proof: Proof, name: str) -> None:
    fault = FAULTS[name]
    errors = [one for one in proof.found[proof.planted[name]] if one.is_error]
    assert {one.package for one in errors if fault.said in f"{one.id} {one.message}"} == set(fault.packages)
    assert {one.package for one in errors} == set(fault.packages)


def test_the_proof_is_summed_up(proof: Proof, record_property: Record) -> None:
    ours = [*proof.golden, *proof.generated, *proof.facade]
    resources = Counter(kind for text in dict.fromkeys(ours) for kind in _types(json.loads(text)))
    warnings = Counter((one.id, one.package) for text in ours for one in proof.found[text] if not one.is_error)
    ids = sorted({name for name, _ in warnings})
    rows = ["".join(f"{warnings[name, package]:7}" for package in PACKAGES) + f" {name}" for name in ids]
    errors = proof.errors(ours)
    record_property(
        "summary",
        [
            f"HL7's validator, R4 with {' and '.join(PACKAGES)}: {resources.total()} resources in {len(set(ours))} "
            f"documents, {len(errors)} errors; {len(FAULTS)} faults planted to be found",
            "  " + ", ".join(f"{kind} {count}" for kind, count in sorted(resources.items())),
            f"warnings ({', '.join(PACKAGES)}), for information:",
            *rows,
        ],
    )
    assert resources.total() > 15 * STUDIES


def _types(resource: Json) -> list[str]:
    inner = [one["resource"] for one in resource.get("entry", ()) if "resource" in one]
    return [resource["resourceType"], *(one["resourceType"] for one in inner)]
