"""Own extensions (https://hl7.org/fhir/R4/defining-extensions.html): what resources carry is what the table defines."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from fakes.fhir_studies import SITE, addendum, mapped, one, report, snapshot
from fakes.upstream_json import study_json

from mappings.codes import CANONICAL
from mappings.fhir.extensions import OWN_EXTENSIONS

GOLDEN = Path(__file__).parents[2] / "golden"
BASE = f"{CANONICAL}/StructureDefinition/"


def carried(element: Any, path: str) -> Iterator[tuple[str, str, str]]:
    """Name, type and place of every extension of ours in an element."""
    if isinstance(element, list):
        for each in element:
            yield from carried(each, path)
    elif isinstance(element, dict):
        for found in element.get("extension", ()):
            if found["url"].startswith(BASE):
                [value] = [key for key in found if key.startswith("value")]
                yield found["url"].removeprefix(BASE), value.removeprefix("value"), path
        for key, value in element.items():
            name = key.removeprefix("_").replace("effectiveDateTime", "effective[x]")
            yield from carried(value, f"{path}.{name}")


def every() -> Iterator[dict[str, Any]]:
    yield from (json.loads(path.read_text()) for path in sorted(GOLDEN.glob("*/fhir/*.json")))
    unreadable = report(createdAt="soon", signedAt="then", updatedAt="late")
    other = snapshot(referringPhysicianName="Dr. Other", sex="U", mrn="1^^^OTHER^MR")
    yield from mapped(
        unreadable, addendum(snapshotMetadata=other), study=study_json(technologistTechnique="Axial")
    ).output


def test_every_extension_has_the_type_and_the_place_of_its_definition_and_each_occurs() -> None:
    seen = {found for resource in every() for found in carried(resource, resource["resourceType"])}
    for name, kind, place in seen:
        row = OWN_EXTENSIONS[name]
        assert kind.casefold() in {one.casefold() for one in row.types}, name
        assert place in row.contexts, name
    assert {(name, kind.casefold()) for name, kind, _ in seen} == {
        (row.name, kind.casefold()) for row in OWN_EXTENSIONS.values() for kind in row.types
    }
    assert {(name, place) for name, _, place in seen} == {
        (row.name, place) for row in OWN_EXTENSIONS.values() for place in row.contexts
    }


def test_extensions_are_below_the_base_of_the_site() -> None:
    made = mapped(site=replace(SITE, canonical="https://hospital.example/own"))
    urls = [found["url"] for found in one(made, "DiagnosticReport")["extension"]]
    assert "https://hospital.example/own/StructureDefinition/isCritical" in urls
    assert CANONICAL not in json.dumps(made.output)
