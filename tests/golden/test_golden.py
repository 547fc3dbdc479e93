"""Golden cases: AutoScribe's JSON (wire.json), and its mapping to FHIR (fhir/*.json) and HL7 v2 (oru.hl7)."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gateway.cli.convert import Request, convert, read
from mappings.profile import parse_site, receiver

HERE = Path(__file__).parent
CASES = sorted(path.parent.name for path in HERE.glob("*/wire.json"))
AT = datetime(2026, 1, 5, 20, 30, 14, tzinfo=UTC)
SITE = parse_site((HERE / "site.toml").read_text())


def outputs(case: str) -> dict[str, str]:
    """Map a case to all its files, by path below the case's folder."""
    text = (HERE / case / "wire.json").read_bytes()
    to_fhir = Request("fhir", SITE, "http://127.0.0.1:8800/fhir", receiver("generic"), AT)
    to_hl7v2 = Request("hl7v2", SITE, "http://127.0.0.1:8800/fhir", receiver("generic"), AT, pretty=True)
    fhir, hl7v2 = convert(text, to_fhir), convert(text, to_hl7v2)
    files = {"oru.hl7": hl7v2.output.decode()} if hl7v2.output else {}
    for entry in json.loads(fhir.output)["entry"]:
        resource = entry["resource"]
        name = f"fhir/{resource['resourceType']}-{resource['id']}.json"
        files[name] = json.dumps(resource, indent=1, ensure_ascii=False) + "\n"
    issues = sorted({str(issue) for issue in (*fhir.issues, *hl7v2.issues)})
    files["issues.txt"] = "".join(f"{line}\n" for line in issues)
    return files


def held(case: str) -> dict[str, str]:
    kept = [path for path in (HERE / case).rglob("*") if path.is_file() and not _is_of_others(path.name)]
    return {str(path.relative_to(HERE / case)): path.read_bytes().decode() for path in kept}


def _is_of_others(name: str) -> bool:
    """True for input files, and for files checked by tests/golden/test_receivers.py."""
    return name in ("wire.json", "README.md", "receivers.txt") or name.startswith("to-")


@pytest.mark.parametrize("case", CASES)
def test_a_case_maps_to_exactly_the_files_it_holds(case: str, request: pytest.FixtureRequest) -> None:
    made = outputs(case)
    if request.config.getoption("--update-golden"):
        for name in held(case).keys() - made.keys():
            (HERE / case / name).unlink()
        for name, text in made.items():
            path = HERE / case / name
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(text.encode())
    assert held(case) == made


@pytest.mark.parametrize("case", CASES)
def test_a_judge_finds_no_fault_with_what_a_case_maps_to(case: str) -> None:
    text = (HERE / case / "wire.json").read_bytes()
    for to in ("fhir", "hl7v2"):
        request = Request(to, SITE, "http://127.0.0.1:8800/fhir", receiver("generic"), AT, validate=True)
        assert [str(fault) for fault in convert(text, request).faults] == []


@pytest.mark.parametrize("case", CASES)
def test_a_case_says_in_one_line_what_is_special(case: str) -> None:
    assert (HERE / case / "README.md").read_text().count("\n") == 1
    assert len(read((HERE / case / "wire.json").read_bytes())) == 1


def test_there_are_at_least_25_cases() -> None:
    assert len(CASES) >= 25
