"""Whole study as FHIR: its resources, their order, and no lost field of the report (D3, D4, D6)."""

from __future__ import annotations

import json
from typing import Any

import pytest
from fakes.fhir_studies import SNAPSHOT, USERS, addendum, mapped, report
from fakes.upstream_json import study_json, user_json

OTHER: dict[str, Any] = {
    "reportId": "rep_" + "8" * 32,
    "userId": "usr_" + "8" * 32,
    "status": "in_progress",
    "isAddendum": True,
    "isCritical": None,
    "createdAt": "2024-03-15T14:31:00Z",
    "signedAt": "2024-03-15T16:01:00Z",
    "updatedAt": "2024-03-15T16:01:00Z",
    "reportPlainText": "FINDINGS: Normal brain.\nIMPRESSION: Unremarkably so.",
}
OTHER_SNAPSHOT: dict[str, Any] = {
    "age": "39 years",
    "dateOfBirth": "1985-07-21",
    "facilityName": "Elsewhere",
    "height": {"unit": "cm", "value": 166},
    "mrn": "MRN-001235",
    "patientName": "Janet Doe",
    "procedure": "MRI Brain without Contrast",
    "referringPhysicianName": "Dr. Michelle Chen",
    "sex": "male",
    "studyDate": "2024-03-14",
    "studyTime": "14:31",
    "weight": {"unit": "lbs", "value": 62},
}
OTHER_STUDY: dict[str, Any] = {
    "studyDescription": "Brain MRI",
    "severity": "stat",
    "studyReportStatus": "addendum_active",
    "isCancelled": True,
    "expressCustomer": {"expressCustomerId": "cus_2", "expressCustomerName": "Tampa"},
    "clinicalHistory": "Migraine",
    "clinicalIndication": "Headache",
    "technologistTechnique": "Multiplanar",
    "technologistNotes": ["Motion"],
    "externalPatientId": "PAT-1",
    "modality": "CT",
}
OTHER_USER: dict[str, Any] = {
    "email": "other@hospital.example",
    "firstName": "Sara",
    "lastName": "Johnsson",
    "middleName": "M",
    "suffix1": "MD",
    "suffix2": "FACR",
    "npiNumber": "1234567893",
    "phoneNumber": "5551234567",
    "clinicRole": "Nuclear Medicine Physician",
}


def said(*reports: dict[str, Any], study: dict[str, Any] | None = None, users: Any = USERS) -> str:
    return json.dumps(mapped(*reports, study=study, users=users).output)


def test_resources_come_in_the_order_in_which_others_refer_to_them() -> None:
    kinds = [one["resourceType"] for one in mapped(report(), addendum()).output]
    assert kinds == [
        *("Patient", "Organization", "Practitioner", "PractitionerRole", "ServiceRequest", "ImagingStudy"),
        "Provenance",
        *("DiagnosticReport", "Observation", "Observation", "Observation", "Observation"),
        *("DocumentReference", "Provenance"),
        *("DiagnosticReport", "Observation", "DocumentReference", "Provenance"),
    ]


@pytest.mark.parametrize("key", sorted(OTHER))
def test_every_field_of_a_report_moves_something(key: str) -> None:
    assert said(report(**{key: OTHER[key]})) != said(report())


@pytest.mark.parametrize("key", sorted(OTHER_SNAPSHOT))
def test_every_field_of_the_snapshot_moves_something_when_it_changes_and_when_it_goes(key: str) -> None:
    assert OTHER_SNAPSHOT.keys() == SNAPSHOT.keys()
    changed = {**SNAPSHOT, key: OTHER_SNAPSHOT[key]}
    without = {name: value for name, value in SNAPSHOT.items() if name != key}
    outcomes = {said(report(snapshotMetadata=one)) for one in (SNAPSHOT, changed, without)}
    assert len(outcomes) == 3


@pytest.mark.parametrize("key", sorted(OTHER_SNAPSHOT.keys() - {"height", "weight"}))
def test_every_field_of_an_addendums_own_snapshot_moves_something(key: str) -> None:
    changed = {**SNAPSHOT, key: OTHER_SNAPSHOT[key]}
    assert said(report(), addendum(snapshotMetadata=changed)) != said(report(), addendum())


@pytest.mark.parametrize("key", sorted(OTHER_STUDY))
def test_every_field_of_the_study_that_says_something_of_patient_or_order_moves_something(key: str) -> None:
    draft = report(status="in_progress", signedAt=None)
    assert said(draft, study=study_json(**{key: OTHER_STUDY[key]})) != said(draft, study=study_json())


@pytest.mark.parametrize("key", sorted(OTHER_USER))
def test_every_field_of_the_radiologist_moves_something(key: str) -> None:
    assert said(users=(user_json(**{key: OTHER_USER[key]}),)) != said()


def test_an_issue_is_said_once() -> None:
    issues = mapped(report(), report("5"), users=()).issues
    assert len(set(issues)) == len(issues)


def test_what_two_reports_share_is_made_once_and_one_reports_resources_never_change_anothers() -> None:
    alone = {one["id"]: one for one in mapped(report()).output}
    both = {one["id"]: one for one in mapped(report(), report("5", signedAt="2024-03-15T15:00:00Z")).output}
    assert {key: both[key] for key in alone} == alone
