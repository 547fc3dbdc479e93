"""Whole study as FHIR: its resources, their order, and no lost field of the report (D3, D4, D6)."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from fakes.fhir_studies import SNAPSHOT, USERS, addendum, mapped, report
from fakes.upstream_json import study_json, user_json

import mappings.fhir
from mappings import decode
from mappings.fhir.practitioner import radiologists
from mappings.fhir.report_parts import report_parts
from mappings.fhir.scene import scene
from mappings.model import Facts
from mappings.profile import Site

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


def only(source: Any, *names: str) -> Any:
    """Return an object with these fields of the source, of which nothing else can be read."""
    return SimpleNamespace(**{name: getattr(source, name) for name in names})


@pytest.mark.parametrize("send_drafts", [False, True])
def test_resources_of_a_report_read_no_more_of_the_study_than_what_decides_their_reuse(send_drafts: bool) -> None:
    rows = [report(), addendum(), {**OTHER, "studyId": report()["studyId"], "snapshotMetadata": OTHER_SNAPSHOT}]
    study = decode({**study_json(), **OTHER_STUDY}, rows, USERS)
    made = scene(study, Site(send_drafts=send_drafts), Facts())
    signers = radiologists(made)
    assert radiologists(replace(made, study=only(study, "reports", "users"))) == signers
    of_parts = only(study, "is_cancelled", "completed", "study_description", "modality", "users")
    of_resources = only(study, "study_id", "modality")
    parts = [report_parts(made, one, signers[one.user_id]) for one in study.reports]
    for number, one in enumerate(study.reports):
        assert report_parts(replace(made, study=of_parts), one, signers[one.user_id]) == parts[number]
        found = [
            mappings.fhir._report_resources(replace(made, study=seen), parts[number], parts, ())
            for seen in (study, of_resources)
        ]
        assert found[0] == found[1]
