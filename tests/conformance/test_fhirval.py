"""Our resources against R4 4.0.1 and US Core 6.1.0 and 8.0.0 by a validator that is not ours (https://hl7.org/fhir/R4/validation.html).

Needs the packages and the validator in ../shared/conformance, and Node.js; FHIRVAL_HOME may name its cache.
"""

from __future__ import annotations

import json
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest
from fakes.fhir_studies import addendum, mapped, report, snapshot
from fakes.seeded import documents
from fakes.upstream_json import study_json, user_json

from gateway.sandbox.seed import generate
from mappings import decode, to_fhir
from mappings.fhir.datatypes import json_bytes
from mappings.fhir.judge import CLASSES
from mappings.model import Facts, PdfFacts
from mappings.profile import Site, parse_site

Json = dict[str, Any]
HERE = Path(__file__).parent
GOLDEN = HERE.parent / "golden"


def resources() -> list[Json]:
    """Those of a seeded account with all its oddities, of the golden cases' wire, and of some states of our own."""
    site = parse_site((GOLDEN / "site.toml").read_text())
    made: list[Json] = []
    for study, reports, users in documents(generate(seed=7, studies=150)):
        made += to_fhir(decode(study, reports, users), site).output
        made += to_fhir(decode(study, reports), Site()).output
    facts = Facts(pdf={report()["reportId"]: PdfFacts(1000, b"\x01" * 20)}, accession_number="ACC-1")
    full = user_json(npiNumber="1234567893", suffix1="Jr.", suffix2="MD", phoneNumber="5551234567")
    made += mapped(report(isCritical=True), addendum(), users=(full,), facts=facts).output
    made += mapped(report(snapshotMetadata=snapshot(studyDate=None), signedAt=None)).output
    made += mapped(report(status="in_progress", signedAt=None), study=study_json(isCancelled=True)).output
    return made


@pytest.mark.timeout(300)
@pytest.mark.parametrize("us_core", ["610", "800"])
def test_every_resource_is_valid_r4_and_satisfies_the_us_core_profiles_it_claims(
    validator: Path, us_core: str, tmp_path: Path
) -> None:
    lines = {json_bytes(resource) for resource in resources()}
    bundle = tmp_path / "resources.ndjson"
    bundle.write_bytes(b"\n".join(sorted(lines)) + b"\n")
    found = subprocess.run(
        ["bash", validator, "--uscore", us_core, bundle], capture_output=True, text=True, check=False
    )
    assert (found.returncode, found.stdout, found.stderr) == (0, "", "")
    assert len(lines) > 1000


@pytest.mark.timeout(300)
def test_the_validator_finds_a_planted_defect(validator: Path, tmp_path: Path) -> None:
    """Without this, a result without findings would prove nothing."""
    broken = next(one for one in mapped().output if one["resourceType"] == "DiagnosticReport")
    path = tmp_path / "broken.json"
    path.write_text(json.dumps({**broken, "status": "FINAL!!"}))
    found = subprocess.run(["bash", validator, "--uscore", "800", path], capture_output=True, text=True, check=False)
    assert found.returncode == 1
    assert "status" in found.stdout


@pytest.mark.parametrize("resource_type", sorted(CLASSES))
def test_the_r4b_class_that_judges_has_exactly_the_elements_of_r4(shared: Path, resource_type: str) -> None:
    """Trap: there are no R4 classes; R4B is right only while its elements are R4's (hl7.fhir.r4.core 4.0.1)."""
    with tarfile.open(shared / "conformance" / "hl7.fhir.r4.core-4.0.1.tgz") as package:
        member = package.extractfile(f"package/StructureDefinition-{resource_type}.json")
        assert member is not None
        definition = json.load(member)
    defined = {
        name
        for element in definition["snapshot"]["element"]
        if element["path"].count(".") == 1
        for name in _names(element)
    }
    ours = {
        field.alias or name
        for name, field in CLASSES[resource_type].model_fields.items()
        if not (field.alias or name).startswith("_") and name not in ("resource_type", "fhir_comments")
    }
    assert ours - {"resourceType"} == defined


def _names(element: Json) -> list[str]:
    name = element["path"].partition(".")[2]
    if not name.endswith("[x]"):
        return [name]
    return [name[:-3] + kind["code"][0].upper() + kind["code"][1:] for kind in element["type"]]
