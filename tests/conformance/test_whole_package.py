"""https://hl7.org/fhir/R4/structuredefinition.html: our package with snapshots.

HL7's validator loads it and judges by it in test_hapi_validator.py.
"""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import pytest
from conformance import whole_package

from gateway.fhir_api.definitions.ig_package import ig_package
from mappings.codes import CANONICAL
from mappings.fhir.extensions import OWN_EXTENSIONS


@pytest.fixture(scope="module")
def package() -> bytes:
    return ig_package(CANONICAL, "0.0.0", whole_package.snapshots(CANONICAL))


def test_each_structure_definition_of_the_package_has_a_snapshot_with_what_it_says_and_what_r4_says(
    package: bytes,
) -> None:
    with tarfile.open(fileobj=io.BytesIO(package), mode="r:gz") as tar:
        files = {one.name: json.load(tar.extractfile(one) or io.BytesIO()) for one in tar.getmembers()}
    definitions = {one["id"]: one for one in files.values() if one.get("resourceType") == "StructureDefinition"}
    assert definitions.keys() == OWN_EXTENSIONS.keys()
    for name, one in definitions.items():
        elements = {element["id"]: element for element in one["snapshot"]["element"]}
        assert elements["Extension"]["definition"] == OWN_EXTENSIONS[name].meaning
        assert elements["Extension.url"]["fixedUri"] == one["url"]
        assert [kind["code"] for kind in elements["Extension.value[x]"]["type"]] == [*OWN_EXTENSIONS[name].types]
        assert "ele-1" in {rule["key"] for rule in elements["Extension"]["constraint"]}


def test_without_a_jdk_the_package_is_written_without_snapshots_and_it_is_said_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    whole_package.main(str(tmp_path))
    said = capsys.readouterr()
    assert said.err == (
        "The package has no snapshots: make ig needs java and javac and mvn, not installed here. "
        "Who loads the package makes them.\n"
    )
    assert Path(said.out.strip()).is_file()
