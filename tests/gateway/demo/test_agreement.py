"""The demo's comparison detects every kind of difference between the three forms of a report."""

from __future__ import annotations

import copy
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gateway.demo.agreement import compare
from mappings import decode, to_fhir, to_oru
from mappings.model import Cause
from mappings.profile import parse_site, receiver

GOLDEN = Path(__file__).parents[2] / "golden"
SITE = parse_site((GOLDEN / "site.toml").read_text())
AT = datetime(2026, 1, 5, 20, 30, 14, tzinfo=UTC)


def three_forms(case: str) -> tuple[dict, dict, dict, bytes]:
    wire = json.loads((GOLDEN / case / "wire.json").read_text())
    reports, users = wire.pop("reports"), wire.pop("users")
    study = decode(wire, reports, users)
    resources = to_fhir(study, SITE).output
    by_type = {resource["resourceType"]: resource for resource in reversed(resources)}
    cause = Cause(study.completed[-1].report_id)
    message = to_oru(study, cause, SITE, receiver("generic"), control_id="X", at=AT).output
    return reports[0], by_type["DiagnosticReport"], by_type["Patient"], message


def disagreements(report: dict, diagnostic_report: dict, patient: dict, message: bytes) -> list[str]:
    return [row.what for row in compare(report, diagnostic_report, patient, message) if not row.agrees]


@pytest.mark.parametrize(
    "case",
    [
        "final-ct",
        "no-mrn",
        "name-cjk",
        "name-caret",
        "delimiters",
        "sex-other",
        "empty-snapshot",
        "no-headings",
        "signed-at-null",
    ],
)
def test_the_three_forms_of_one_report_agree(case: str) -> None:
    assert disagreements(*three_forms(case)) == []


@pytest.mark.parametrize(
    ("what", "old", "new"),
    [
        ("report id", b"5jGpfFbwsu09YpTG6C2TCP", b"5jGpfFbwsu09YpTG6C2TCQ"),
        ("study id", b"4hJkAZuGGJKW1DS4dzz33p", b"4hJkAZuGGJKW1DS4dzz33q"),
        ("patient id", b"00412345", b"00412346"),
        ("born", b"19710214", b"19710215"),
        ("sex", b"|F\rPV1", b"|M\rPV1"),
        ("status", b"|CT|F|", b"|CT|C|"),
        ("signed", b"|20260105153012-0500||CT", b"|20260105153013-0500||CT"),
        ("signed", b"|20260105153012-0500||CT", b"|20260105153012+0000||CT"),
        ("text", b"No right heart strain", b"No left heart strain"),
    ],
)
def test_a_message_that_says_something_else_is_seen(what: str, old: bytes, new: bytes) -> None:
    report, diagnostic_report, patient, message = three_forms("final-ct")
    assert old in message
    assert disagreements(report, diagnostic_report, patient, message.replace(old, new)) == [what]


@pytest.mark.parametrize(
    ("what", "change"),
    [
        ("patient id", lambda report, resource, patient: patient["identifier"].clear()),
        ("patient name", lambda report, resource, patient: patient["name"][0].update(given=["Joan"])),
        ("born", lambda report, resource, patient: patient.update(birthDate="1971-02-15")),
        ("sex", lambda report, resource, patient: patient.update(gender="male")),
        ("status", lambda report, resource, patient: resource.update(status="preliminary")),
        ("text", lambda report, resource, patient: resource["presentedForm"][0].update(data="QQ==")),
        ("text", lambda report, resource, patient: report.update(reportPlainText="other")),
    ],
)
def test_fhir_that_says_something_else_is_seen(what: str, change) -> None:
    report, diagnostic_report, patient, message = copy.deepcopy(three_forms("final-ct"))
    change(report, diagnostic_report, patient)
    assert disagreements(report, diagnostic_report, patient, message) == [what]
