"""Code of an examination (https://hl7.org/fhir/R4/diagnosticreport-definitions.html#DiagnosticReport.code; D23)."""

from __future__ import annotations

from typing import Any

from fakes.fhir_studies import codes, mapped, one, report, snapshot
from fakes.upstream_json import study_json

from mappings.profile import parse_site

OWN = parse_site(
    '[mapping]\nprocedures = "p.csv"\nprocedure_system = "urn:oid:1.2.9"\n',
    files={"procedures": "procedure,code,system,display,modality\nBrain special,BR7,L,Special brain,\n"},
)


def code(procedure: str | None, **more: Any) -> Any:
    return one(mapped(report(snapshotMetadata=snapshot(procedure=procedure)), **more), "DiagnosticReport")["code"]


def test_the_dictionarys_code_stands_beside_18748_4() -> None:
    assert code("Head CT") == {
        "coding": [
            {"system": "http://loinc.org", "code": "18748-4", "display": "Diagnostic imaging study"},
            {"system": "http://loinc.org", "code": "24725-4", "display": "Head CT"},
        ],
        "text": "Head CT",
    }


def test_a_text_that_no_row_has_exactly_is_text_alone() -> None:
    assert [each["code"] for each in code("Head CT please")["coding"]] == ["18748-4"]


def test_a_sites_own_code_has_the_sites_system() -> None:
    assert code("Brain special", site=OWN)["coding"][1] == {
        "system": "urn:oid:1.2.9",
        "code": "BR7",
        "display": "Special brain",
    }


def test_a_code_of_another_modality_is_not_taken() -> None:
    found = mapped(report(snapshotMetadata=snapshot(procedure="Head CT")), study=study_json(modality="MRI"))
    assert len(one(found, "DiagnosticReport")["code"]["coding"]) == 1
    assert "procedure-modality-differs" in codes(found)
