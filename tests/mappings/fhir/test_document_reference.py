"""DocumentReference (https://hl7.org/fhir/R4/documentreference.html; US Core DocumentReference; D5, D17, D28)."""

from __future__ import annotations

from typing import Any

import pytest
from fakes.fhir_studies import addendum, mapped, one, report, snapshot
from fakes.upstream_json import report_id, study_json

from mappings.codes import SID_REPORT
from mappings.model import Facts, PdfFacts
from mappings.profile import Site, parse_site

WITHDRAWS = parse_site('[mapping]\non_cancelled_after_sign = "withdraw"\n')
DRAFTS = parse_site("[mapping]\nsend_drafts = true\n")
ID = "rep-" + "3" * 32


def document(**changes: Any) -> Any:
    return one(mapped(report(**changes)), "DocumentReference")


def test_a_signed_report_is_a_clinical_note() -> None:
    found = document()
    assert found["id"] == f"{ID}-doc"
    assert (found["status"], found["docStatus"]) == ("current", "final")
    assert found["type"]["coding"][0]["code"] == "18748-4"
    assert found["category"][0]["coding"][0]["code"] == "clinical-note"
    assert found["identifier"] == [{"system": SID_REPORT, "value": report_id("3")}]
    assert found["date"] == "2024-03-15T16:00:00Z"
    assert found["author"][0]["reference"] == "Practitioner/usr-" + "2" * 32
    assert found["custodian"]["display"] == "City Medical Center"
    assert found["context"] == {
        "period": {"start": "2024-03-15T14:30:00-04:00", "end": "2024-03-15T14:30:00-04:00"},
        "related": [{"reference": f"DiagnosticReport/{ID}"}],
    }


def test_the_attachments_are_those_of_the_report_and_only_the_bytes_are_not_said_twice() -> None:
    facts = Facts(pdf={report_id("3"): PdfFacts(1234, b"\x01" * 20)})
    found = mapped(facts=facts)
    forms = one(found, "DiagnosticReport")["presentedForm"]
    attachments = [each["attachment"] for each in one(found, "DocumentReference")["content"]]
    assert [each["url"] for each in attachments] == [f"Binary/{ID}-text", f"Binary/{ID}-pdf"]
    assert attachments == [{key: value for key, value in form.items() if key != "data"} for form in forms]
    assert "data" in forms[0]
    assert {each["format"]["code"] for each in one(found, "DocumentReference")["content"]} == {
        "urn:ihe:iti:xds:2017:mimeTypeSufficient"
    }


def test_an_addendum_is_a_document_that_appends_its_reports() -> None:
    found = mapped(report(), addendum())
    own, parent = one(found, "DocumentReference", "4-doc"), one(found, "DocumentReference", "3-doc")
    assert own["relatesTo"] == [{"code": "appends", "target": {"reference": f"DocumentReference/{parent['id']}"}}]
    assert own["description"] == "Addendum, signed 2024-03-16T09:00:00Z"
    assert (parent["docStatus"], "relatesTo" in parent) == ("amended", False)
    titles = [content["attachment"]["title"] for content in parent["content"]]
    added = "Addendum, signed 2024-03-16T09:00:00Z"
    assert titles == [added, f"{added} (PDF)", "Radiology report", "Radiology report (PDF)"]


def test_an_addendum_of_two_originals_appends_none() -> None:
    found = mapped(report(), report("5"), addendum())
    assert "relatesTo" not in one(found, "DocumentReference", "4-doc")


def test_an_addendum_about_another_patient_appends_no_document() -> None:
    theirs = snapshot(patientName="Rick Roe", mrn="OTHER-1", sex="male", dateOfBirth="1950-01-01")
    found = one(mapped(report(), addendum(snapshotMetadata=theirs)), "DocumentReference", "4-doc")
    assert "relatesTo" not in found
    both = mapped(report(), report("5", snapshotMetadata=theirs), addendum("6", snapshotMetadata=theirs))
    (link,) = one(both, "DocumentReference", "6-doc")["relatesTo"]
    assert link["target"]["reference"].endswith("5-doc")


def test_a_corrected_report_is_an_amended_document() -> None:
    found = one(mapped(facts=Facts(corrected=frozenset({report_id("3")}))), "DocumentReference")
    assert (found["status"], found["docStatus"]) == ("current", "amended")


def test_a_withdrawn_report_is_a_document_entered_in_error_with_its_content_kept() -> None:
    found = one(mapped(study=study_json(isCancelled=True), site=WITHDRAWS), "DocumentReference")
    assert (found["status"], found["docStatus"]) == ("entered-in-error", "entered-in-error")
    assert len(found["content"]) == 2


def test_a_draft_is_no_document_unless_the_site_lets_drafts_out() -> None:
    draft = report(status="in_progress", signedAt=None, isCritical=None)
    for site in (Site(), DRAFTS):
        made = [each for each in mapped(draft, site=site).output if each["resourceType"] == "DocumentReference"]
        assert len(made) == (site is DRAFTS)
    assert made[0]["docStatus"] == "preliminary"
    assert made[0]["description"] == "Radiology report, NOT SIGNED"
    assert [each["attachment"]["url"] for each in made[0]["content"]] == [f"Binary/{ID}-text"]


@pytest.mark.parametrize(
    ("changes", "date"),
    [
        ({"signedAt": None, "updatedAt": "2024-03-17T00:00:00Z"}, "2024-03-17T00:00:00Z"),
        ({"signedAt": None, "updatedAt": None}, "2024-03-15T14:30:00Z"),
    ],
)
def test_without_a_time_of_signing_the_date_is_the_last_that_is_known(changes: Any, date: str) -> None:
    assert document(**changes)["date"] == date


def test_the_time_of_signing_is_never_said_to_be_the_examinations() -> None:
    assert "period" not in document(snapshotMetadata=snapshot(studyDate=None))["context"]
