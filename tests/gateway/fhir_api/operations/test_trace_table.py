"""`convert --to trace`: one row per source leaf."""

import json
from datetime import UTC, datetime
from pathlib import Path

from gateway.cli.convert import Request, convert
from gateway.fhir_api.operations.trace_rows import HEAD
from mappings.profile import parse_site, receiver

GOLDEN = Path(__file__).parents[3] / "golden"
SITE = parse_site((GOLDEN / "site.toml").read_text())
AT = datetime(2026, 1, 5, tzinfo=UTC)


def traced(text: bytes, *, pretty: bool = False) -> str:
    return convert(
        text, Request("trace", SITE, "http://127.0.0.1/fhir", receiver("generic"), AT, pretty)
    ).output.decode()


def wire() -> bytes:
    return (GOLDEN / "final-ct" / "wire.json").read_bytes()


def test_the_table_has_a_row_for_every_leaf_of_the_input():
    head, *rows = [line.split("\t") for line in traced(wire()).splitlines()]
    assert tuple(head) == HEAD
    found = {row[0]: row for row in rows}
    birth = found["/reports/0/snapshotMetadata/dateOfBirth"]
    assert birth[1:4] == ["exact", "Patient.birthDate", "PID-7"]
    assert all(len(row) == len(HEAD) for row in rows)


def test_a_pointer_leads_into_the_input_wherever_the_study_stands_in_it():
    rows = traced(b"[" + wire() + b"]").splitlines()
    assert any(row.startswith("/0/reports/0/signedAt\t") for row in rows)


def test_a_response_without_its_study_is_traced_too():
    reports = json.loads(wire())["reports"]
    bare = {"studyId": reports[0]["studyId"], "studyInstanceUid": "1.2.3", "reports": reports}
    assert any(
        row.startswith("/reports/0/reportPlainText\texact") for row in traced(json.dumps(bare).encode()).splitlines()
    )


def test_the_pretty_form_says_a_leaf_with_what_it_moves_below():
    assert "/reports/0/snapshotMetadata/sex  [exact]\n    FHIR: Patient.gender\n    HL7 v2: PID-8\n" in traced(
        wire(), pretty=True
    )


def test_no_value_of_the_source_stands_in_the_table():
    table = traced(wire())
    snapshot = json.loads(wire())["reports"][0]["snapshotMetadata"]
    assert not any(snapshot[key] in table for key in ("patientName", "mrn", "dateOfBirth"))
