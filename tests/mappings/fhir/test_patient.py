"""Patient (https://hl7.org/fhir/R4/patient.html; US Core Patient Profile; D11, D12, D14)."""

from __future__ import annotations

import re

import pytest
from fakes.fhir_studies import addendum, codes, extensions, mapped, one, report, snapshot

from mappings.codes import DATA_ABSENT_REASON_EXTENSION, SID_MRN_UNASSIGNED, SID_STUDY_PATIENT


def patient(**changes):
    return one(mapped(report(snapshotMetadata=snapshot(**changes))), "Patient")


def test_a_full_snapshot_makes_a_full_patient() -> None:
    made = patient()
    assert made["id"].startswith("pat-")
    assert made["identifier"][0]["value"] == "MRN-001234"
    assert made["identifier"][0]["system"] == "urn:oid:1.2.3"
    assert made["identifier"][0]["type"]["coding"][0]["code"] == "MR"
    assert made["name"] == [{"text": "Jane Doe", "family": "Doe", "given": ["Jane"]}]
    assert (made["gender"], made["birthDate"]) == ("female", "1985-07-20")
    assert made["managingOrganization"]["display"] == "City Medical Center"


def test_a_name_without_evidence_stays_whole_and_says_why() -> None:
    made = mapped(report(snapshotMetadata=snapshot(facilityName="Elsewhere")))
    name = one(made, "Patient")["name"][0]
    assert name["text"] == "Jane Doe"
    assert "family" not in name
    assert name["extension"] == [{"url": DATA_ABSENT_REASON_EXTENSION, "valueCode": "unsupported"}]
    assert "name-not-split" in codes(made)


def test_a_nickname_stays_in_the_whole_name_and_is_no_part_of_it() -> None:
    made = mapped(report(snapshotMetadata=snapshot(patientName="Robert (Bob) Smith")))
    assert one(made, "Patient")["name"] == [{"text": "Robert (Bob) Smith", "family": "Smith", "given": ["Robert"]}]
    assert "name-part-unclear" in codes(made)


def test_a_split_of_three_words_is_noted() -> None:
    made = mapped(report(snapshotMetadata=snapshot(patientName="Mary Ann Smith")))
    assert one(made, "Patient")["name"] == [{"text": "Mary Ann Smith", "family": "Smith", "given": ["Mary", "Ann"]}]
    assert [issue.severity for issue in made.issues if issue.code == "name-split-assumed"] == ["information"]


def test_a_patient_without_a_name_still_has_the_element_that_says_so() -> None:
    made = mapped(report(snapshotMetadata=snapshot(patientName=None)))
    name = one(made, "Patient")["name"]
    assert name == [{"extension": [{"url": DATA_ABSENT_REASON_EXTENSION, "valueCode": "unknown"}]}]
    assert "patient-name-absent" in codes(made)


def test_a_sex_that_is_not_said_is_unknown_without_an_issue() -> None:
    made = mapped(report(snapshotMetadata=snapshot(sex=None)))
    assert one(made, "Patient")["gender"] == "unknown"
    assert "sex-unknown-code" not in codes(made)


def test_an_unknown_sex_code_is_unknown_with_the_code_beside_it() -> None:
    made = mapped(report(snapshotMetadata=snapshot(sex="nonbinary")))
    assert one(made, "Patient")["gender"] == "unknown"
    assert one(made, "Patient")["_gender"]["extension"][0]["valueString"] == "nonbinary"
    assert "sex-unknown-code" in codes(made)


def test_a_sex_code_of_control_characters_alone_leaves_nothing_to_show() -> None:
    assert "_gender" not in patient(sex="\x01")


@pytest.mark.parametrize("partial", ["1985", "1985-07"])
def test_a_partial_birth_date_stays_partial(partial: str) -> None:
    assert patient(dateOfBirth=partial)["birthDate"] == partial


def test_an_impossible_birth_date_is_dropped_and_reported() -> None:
    made = mapped(report(snapshotMetadata=snapshot(dateOfBirth="1985-02-30")))
    assert "birthDate" not in one(made, "Patient")
    assert "birth-date-impossible" in codes(made)


def test_a_birth_after_the_study_is_kept_and_reported() -> None:
    made = mapped(report(snapshotMetadata=snapshot(dateOfBirth="2031-01-01")))
    assert one(made, "Patient")["birthDate"] == "2031-01-01"
    assert "birth-date-after-study" in codes(made)


def test_an_mrn_without_a_system_stands_beside_the_study_and_links_to_nobody() -> None:
    made = patient(facilityName="Elsewhere")["identifier"]
    assert made[0]["system"] == SID_STUDY_PATIENT
    assert re.fullmatch(f"{SID_MRN_UNASSIGNED}:[0-9a-f]{{14}}", made[1]["system"])
    assert made[1]["type"]["coding"][0]["code"] == "U"
    assert made[1]["assigner"] == {"display": "Elsewhere"}


def test_an_addendum_with_an_empty_snapshot_is_about_the_originals_patient() -> None:
    made = mapped(report(), addendum(snapshotMetadata={}))
    to_patient = {"reference": f"Patient/{one(made, 'Patient')['id']}"}
    assert one(made, "DiagnosticReport", "4")["subject"] == to_patient
    assert "patient-from-study" in codes(made)


def test_an_addendum_never_moves_the_patient_but_keeps_its_own_snapshot() -> None:
    other = snapshot(dateOfBirth=None, sex=None, patientName="Jane Roe-Doe", referringPhysicianName="Dr. No")
    made = mapped(report(), addendum(snapshotMetadata=other))
    assert one(made, "Patient")["birthDate"] == "1985-07-20"
    own = one(made, "DiagnosticReport", "4")
    assert own["subject"]["display"] == "Jane Roe-Doe"
    assert extensions(own)["referringPhysicianName"] == "Dr. No"


def test_a_report_of_another_mrn_has_a_patient_of_its_own() -> None:
    made = mapped(report(), addendum(snapshotMetadata=snapshot(mrn="MRN-9")))
    patients = {found["id"] for found in made.output if found["resourceType"] == "Patient"}
    subjects = {one(made, "DiagnosticReport", digit)["subject"]["reference"] for digit in "34"}
    assert subjects == {f"Patient/{found}" for found in patients}
    assert len(patients) == 2
    assert "identity-conflict" in codes(made)


def test_unlinked_reports_that_contradict_each_other_never_share_a_patient() -> None:
    nowhere = snapshot(facilityName=None)
    made = mapped(report(snapshotMetadata=nowhere), addendum(snapshotMetadata={**nowhere, "mrn": "MRN-9"}))
    first, second = (one(made, "DiagnosticReport", digit)["subject"]["reference"] for digit in "34")
    assert first != second
    values = {
        found["id"]: {each["value"] for each in found["identifier"]}
        for found in made.output
        if found["resourceType"] == "Patient"
    }
    assert "MRN-9" not in values[first.removeprefix("Patient/")]
    assert "MRN-9" in values[second.removeprefix("Patient/")]


def test_an_mrn_that_only_one_of_two_agreeing_unlinked_reports_says_is_shown_once() -> None:
    nowhere = snapshot(facilityName=None)
    made = mapped(report(snapshotMetadata={**nowhere, "mrn": ""}), addendum(snapshotMetadata=nowhere))
    values = [each["value"] for each in one(made, "Patient")["identifier"]]
    assert values.count("MRN-001234") == 1


def test_a_draft_that_says_nothing_does_not_speak_for_the_patient() -> None:
    draft = report("5", status="in_progress", signedAt=None, createdAt="2024-03-20T00:00:00Z", snapshotMetadata={})
    made = mapped(report(), draft)
    assert one(made, "Patient")["name"][0]["text"] == "Jane Doe"


def test_the_newest_originals_snapshot_speaks_for_the_patient() -> None:
    newer = report("5", signedAt="2024-04-01T00:00:00Z", snapshotMetadata=snapshot(patientName="Jane Married"))
    assert one(mapped(report(), newer), "Patient")["name"][0]["text"] == "Jane Married"


def test_an_mrn_with_another_authority_is_kept_as_text_in_its_report_and_is_no_identifier() -> None:
    """D11: a Patient of the study, whom no number links."""
    written = "4711^^^ELSEWHERE^MR"
    made = mapped(report(snapshotMetadata=snapshot(mrn=written)))
    assert [each["system"] for each in one(made, "Patient")["identifier"]] == [SID_STUDY_PATIENT]
    assert extensions(one(made, "DiagnosticReport"))["mrn"] == written
    assert "mrn-unreadable" in codes(made)
