"""The FHIR package (https://confluence.hl7.org/display/FHIR/NPM+Package+Specification): the same each time."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from gateway.fhir_api.definitions.defined import defined
from gateway.fhir_api.definitions.ig_package import ig_package, main
from mappings.codes import CANONICAL

OTHER = "https://hospital.example/own"


def files(package: bytes) -> dict[str, Any]:
    with tarfile.open(fileobj=io.BytesIO(package), mode="r:gz") as tar:
        return {one.name: json.load(tar.extractfile(one) or io.BytesIO()) for one in tar.getmembers()}


def test_it_has_every_definition_an_index_of_them_and_its_base() -> None:
    found = files(ig_package(OTHER, "1.2.3"))
    resources = [one for every in defined(OTHER).values() for one in every]
    for one in resources:
        assert found[f"package/{one['resourceType']}-{one['id']}.json"] == one
    guide = found["package/ImplementationGuide-autoscribe-gateway.json"]
    assert {one["reference"]["reference"] for one in guide["definition"]["resource"]} == {
        f"{one['resourceType']}/{one['id']}" for one in resources
    }
    index = found["package/.index.json"]
    assert {f"package/{one['filename']}" for one in index["files"]} == found.keys() - {
        "package/package.json",
        "package/.index.json",
    }
    for one in index["files"]:
        held = found[f"package/{one['filename']}"]
        assert all(held[key] == value for key, value in one.items() if key != "filename")
    manifest = found["package/package.json"]
    assert (manifest["canonical"], manifest["version"], manifest["fhirVersions"]) == (OTHER, "1.2.3", ["4.0.1"])
    assert CANONICAL not in json.dumps(found)


def test_the_same_definitions_give_the_same_bytes_and_others_do_not(tmp_path: Path) -> None:
    assert ig_package(CANONICAL, "1.2.3") == ig_package(CANONICAL, "1.2.3")
    assert ig_package(CANONICAL, "1.2.3") != ig_package(OTHER, "1.2.3")
    main(str(tmp_path / "new"), f"{OTHER}/")
    [path] = (tmp_path / "new").iterdir()
    assert files(path.read_bytes())["package/package.json"]["canonical"] == OTHER
    with pytest.raises(ValueError, match="characters"):
        main(str(tmp_path), f"{OTHER}|2")
