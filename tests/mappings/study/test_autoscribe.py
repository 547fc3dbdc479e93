"""AutoScribe's JSON becomes a Study: every field in its place, reports in reading order, two studies never one."""

import copy

import pytest
from fakes.upstream_json import (
    STUDY_ID,
    STUDY_UID,
    USER_ID,
    report_id,
    report_json,
    response_json,
    study_json,
    user_json,
)

from mappings.issues import WireError
from mappings.model import ExpressCustomer, Measurement, Snapshot, User
from mappings.study.autoscribe import decode

SNAPSHOT = {
    "age": "38 years",
    "dateOfBirth": "1985-07-20",
    "facilityName": "City Medical Center",
    "height": {"unit": "cm", "value": 165},
    "mrn": "MRN-2024-001234",
    "patientName": "Jane Doe",
    "procedure": "MRI Brain with Contrast",
    "referringPhysicianName": "Dr. Michael Chen",
    "sex": "female",
    "studyDate": "2024-03-15",
    "studyTime": "14:30",
    "weight": {"unit": "kg", "value": 62.5},
}
SAID = Snapshot(
    age="38 years",
    date_of_birth="1985-07-20",
    facility_name="City Medical Center",
    height=Measurement("cm", 165),
    mrn="MRN-2024-001234",
    patient_name="Jane Doe",
    procedure="MRI Brain with Contrast",
    referring_physician_name="Dr. Michael Chen",
    sex="female",
    study_date="2024-03-15",
    study_time="14:30",
    weight=Measurement("kg", 62.5),
)
DRAFT = {"status": "in_progress", "signedAt": None, "isCritical": None}


def codes(study):
    return [(issue.code, issue.pointer) for issue in study.issues]


def order(*rows):
    return [(report.report_id[4], report.pointer) for report in decode(None, list(rows)).reports]


def test_every_field_of_a_report_has_its_place():
    row = report_json("3", isCritical=True, snapshotMetadata=SNAPSHOT, reportPlainText="FINDINGS: Normal.\r\n")
    (report,) = decode(None, response_json(row)).reports
    assert (report.report_id, report.study_id, report.user_id) == (report_id("3"), STUDY_ID, USER_ID)
    assert (report.status, report.is_addendum, report.is_critical) == ("completed", False, True)
    assert (report.created_at, report.signed_at) == ("2024-03-15T14:30:00Z", "2024-03-15T16:00:00Z")
    assert report.updated_at == "2024-03-15T16:00:00Z"
    assert report.snapshot == SAID
    assert report.text == "FINDINGS: Normal.\r\n"
    assert "".join(section.heading + section.body for section in report.sections) == report.text
    assert report.pointer == "/reports/0"


def test_every_field_of_a_study_that_the_model_has_has_its_place():
    given = study_json(
        severity="stat",
        studyType="standard",
        isCancelled=True,
        cancelledAt="2024-03-15T15:00:00Z",
        reportMetadata=SNAPSHOT,
        expressCustomer={"expressCustomerId": "cus_1", "expressCustomerName": "South Tampa Imaging"},
        externalPatientId="PAT-7731",
        modality="MRI",
        clinicalHistory="Hypertension",
        clinicalIndication="Headaches",
        technologistTechnique="Multiplanar",
        technologistNotes=["one", "two"],
        metadata={"department": "radiology"},
    )
    study = decode(given, response_json(report_json()), [user_json(npiNumber="1234567893", suffix1="MD")])
    assert (study.study_id, study.study_instance_uid) == (STUDY_ID, STUDY_UID)
    assert (study.study_description, study.severity, study.study_type) == (
        "Brain MRI with Contrast",
        "stat",
        "standard",
    )
    assert (study.study_report_status, study.is_cancelled) == ("completed", True)
    assert (study.created_at, study.updated_at) == ("2024-03-15T10:30:00Z", "2024-03-15T14:20:00Z")
    assert study.cancelled_at == "2024-03-15T15:00:00Z"
    assert study.metadata_snapshot == SAID
    assert study.express_customer == ExpressCustomer("cus_1", "South Tampa Imaging")
    assert (study.external_patient_id, study.modality) == ("PAT-7731", "MRI")
    assert (study.clinical_history, study.clinical_indication) == ("Hypertension", "Headaches")
    assert (study.technologist_technique, study.technologist_notes) == ("Multiplanar", ("one", "two"))
    assert study.metadata == {"department": "radiology"}
    assert study.users == {
        USER_ID: User(
            USER_ID,
            email="dr.johnson@hospital.example",
            first_name="Sarah",
            last_name="Johnson",
            suffix1="MD",
            npi_number="1234567893",
            clinic_role="Radiologist",
        )
    }
    assert study.issues == ()


def test_what_a_bare_response_does_not_say_is_not_known():
    study = decode(None, response_json(report_json()))
    assert (study.study_id, study.study_instance_uid) == (STUDY_ID, STUDY_UID)
    assert (study.is_cancelled, study.severity, study.metadata_snapshot) == (None, None, None)
    assert (study.technologist_notes, study.metadata, study.users) == ((), {}, {})


def test_reports_come_as_a_response_a_list_or_a_tuple():
    row = report_json()
    assert decode(None, [row]).reports == decode(None, (row,)).reports == decode(None, response_json(row)).reports
    assert decode(None, [row]).study_instance_uid is None
    assert decode(study_json(), [], (user_json(),)).users == decode(study_json(), [], [user_json()]).users


def test_decoding_leaves_its_input_as_it_was_and_copies_what_could_change():
    given = study_json(metadata={"a": "b"}, technologistNotes=["x"])
    rows = response_json(report_json("4"), report_json("3"))
    before = copy.deepcopy((given, rows))
    study = decode(given, rows)
    assert (given, rows) == before
    given["metadata"]["a"] = "c"
    assert study.metadata == {"a": "b"}


@pytest.mark.parametrize(
    ("key", "value", "issue"),
    [
        ("isCritical", None, []),
        ("updatedAt", None, []),
        ("reportPlainText", None, [("null-value", "/reports/0/reportPlainText")]),
        ("parentReportId", "rep_x", [("unknown-key", "/reports/0/parentReportId")]),
        ("status", "draft", [("unknown-code", "/reports/0/status")]),
    ],
)
def test_what_the_contract_leaves_open_is_taken_with_an_issue(key, value, issue):
    study = decode(None, [report_json(**{key: value})])
    assert codes(study) == issue
    assert len(study.reports) == 1


def test_an_absent_key_that_may_be_null_is_taken_as_null_with_an_issue():
    row = report_json()
    del row["isCritical"]
    study = decode(study_json(), response_json(row))
    assert study.reports[0].is_critical is None
    assert codes(study) == [("key-absent", "/reports/0/isCritical")]


def test_a_moment_that_cannot_be_read_stays_as_it_came_for_the_encoders_to_judge():
    study = decode(study_json(createdAt="yesterday", cancelledAt=""), [report_json(signedAt="2024-03-15T16:00:00")])
    assert (study.created_at, study.cancelled_at) == ("yesterday", "")
    assert study.reports[0].signed_at == "2024-03-15T16:00:00"
    assert study.issues == ()


def test_originals_come_first_then_addenda_each_by_time_and_pointers_stay():
    assert order(
        report_json("a", isAddendum=True, signedAt="2024-01-02T00:00:00Z"),
        report_json("b", signedAt="2024-01-04T00:00:00Z"),
        report_json("c", isAddendum=True, signedAt="2024-01-01T00:00:00Z"),
        report_json("d", signedAt="2024-01-03T00:00:00Z"),
    ) == [("d", "/reports/3"), ("b", "/reports/1"), ("c", "/reports/2"), ("a", "/reports/0")]


def test_the_time_is_signed_at_else_updated_at_else_created_at_as_far_as_they_can_be_read():
    found = order(
        report_json("1", signedAt="2024-01-05T00:00:00Z", updatedAt="2024-01-01T00:00:00Z"),
        report_json("2", signedAt=None, updatedAt="2024-01-04T00:00:00Z", createdAt="2024-01-09T00:00:00Z"),
        report_json("3", signedAt="soon", updatedAt="2024-01-03T00:00:00Z"),
        report_json("4", signedAt="2024-01-09T00:00:00", updatedAt="", createdAt="2024-01-02T00:00:00Z"),
        report_json("5", signedAt=None, updatedAt=None, createdAt=None),
        report_json("6", signedAt="x", updatedAt="y", createdAt="z"),
        report_json("7", isAddendum=True, signedAt="2023-01-01T00:00:00Z"),
    )
    assert "".join(digit for digit, _ in found) == "4321567"


def test_times_are_compared_as_moments_and_equal_ones_by_id():
    found = order(
        report_json("c", signedAt="2024-01-01T10:00:00+02:00"),
        report_json("b", signedAt="2024-01-01T09:00:00Z"),
        report_json("a", signedAt="2024-01-01T03:00:00-05:00"),
        report_json("d", signedAt="2024-01-01T08:00:00.001Z"),
    )
    assert "".join(digit for digit, _ in found) == "acdb"


def test_a_report_sent_twice_is_taken_once_with_an_issue():
    row = report_json("3", reportPlainText="Clear.")
    for twin in (row, copy.deepcopy(row)):
        study = decode(None, [report_json("4"), row, twin])
        assert [(report.report_id, report.pointer) for report in study.reports] == [
            (report_id("3"), "/reports/1"),
            (report_id("4"), "/reports/0"),
        ]
        assert codes(study) == [("report-repeated", "/reports/2")]


@pytest.mark.parametrize(
    "change", [{"reportPlainText": "Mass."}, DRAFT, {"isAddendum": True}, {"snapshotMetadata": {"mrn": "1"}}]
)
def test_two_different_reports_of_one_id_are_refused(change):
    with pytest.raises(WireError) as caught:
        decode(None, [report_json("4"), report_json("3"), report_json("3", **change)])
    assert caught.value.pointer == "/reports/2/reportId"
    assert "3" * 32 not in str(caught.value)


def test_a_user_sent_twice_is_one_and_two_of_one_id_are_refused():
    assert len(decode(study_json(), [], [user_json(), user_json()]).users) == 1
    with pytest.raises(WireError) as caught:
        decode(study_json(), [], [user_json(), user_json(lastName="Smith")])
    assert caught.value.pointer == "/users/1/userId"


OTHER = "stu_" + "9" * 32


@pytest.mark.parametrize(
    ("study", "reports", "pointer"),
    [
        (None, [report_json("3"), report_json("4", studyId=OTHER)], "/reports/1/studyId"),
        (None, response_json(report_json("4", studyId=OTHER)), "/reports/0/studyId"),
        (study_json(), [report_json("4", studyId=OTHER)], "/reports/0/studyId"),
        (study_json(studyId=OTHER), response_json(), "/studyId"),
        (study_json(studyInstanceUid="1.2.3"), response_json(), "/studyInstanceUid"),
    ],
)
def test_reports_of_another_study_are_refused(study, reports, pointer):
    with pytest.raises(WireError) as caught:
        decode(study, reports)
    assert caught.value.pointer == pointer


@pytest.mark.parametrize(
    ("study", "reports", "users", "pointer"),
    [
        (None, [], (), "/reports"),
        (None, (), (), "/reports"),
        (None, None, (), "/reports"),
        (None, "", (), "/reports"),
        (None, 5, (), "/reports"),
        (None, {}, (), "/reports"),
        (None, {"reports": 5}, (), "/reports"),
        (None, [5], (), "/reports/0"),
        ([], [report_json()], (), ""),
        (None, [report_json()], None, "/users"),
        (None, [report_json()], user_json(), "/users"),
        (None, [report_json()], [None], "/users/0"),
        (None, [report_json(snapshotMetadata=None)], (), "/reports/0/snapshotMetadata"),
        (None, [report_json(isAddendum="no")], (), "/reports/0/isAddendum"),
        (study_json(reportMetadata={"height": {"unit": "cm"}}), [], (), "/reportMetadata/height/value"),
    ],
)
def test_what_is_not_of_the_contract_is_refused_with_its_place(study, reports, users, pointer):
    with pytest.raises(WireError) as caught:
        decode(study, reports, users)
    assert caught.value.pointer == pointer


def test_a_response_speaks_for_its_study_only_through_its_ids():
    keys = {"reportMetadata": 5, "expressCustomer": "x", "technologistNotes": 5, "metadata": [1], "severity": 9}
    study = decode(None, {**response_json(report_json()), **keys})
    assert (study.metadata_snapshot, study.express_customer, study.severity) == (None, None, None)
    assert (study.technologist_notes, study.metadata) == ((), {})
    assert codes(study) == [("unknown-key", f"/{key}") for key in keys]


def test_a_study_whose_optional_objects_are_null_has_none():
    study = decode(study_json(expressCustomer=None, technologistNotes=None, metadata=None), [])
    assert (study.express_customer, study.technologist_notes, study.metadata) == (None, (), {})
    assert codes(study) == [("null-value", "/metadata"), ("null-value", "/technologistNotes")]


def test_a_lone_surrogate_survives():
    row = report_json(reportPlainText="a\ud800b", snapshotMetadata={"patientName": "\udfff"})
    (report,) = decode(None, [row]).reports
    assert (report.text, report.snapshot.patient_name) == ("a\ud800b", "\udfff")
    assert "".join(section.heading + section.body for section in report.sections) == report.text


def test_a_report_that_the_study_names_and_that_did_not_come_is_an_issue():
    named = [{"reportId": report_id(digit), "status": status, "isCritical": None} for digit, status in NAMED]
    found = decode(study_json(reportIds=named), [report_json("3")])
    said = {issue.pointer: (issue.code, issue.severity) for issue in found.issues if issue.code == "report-missing"}
    assert said == {"/reportIds/1": ("report-missing", "error"), "/reportIds/2": ("report-missing", "warning")}


NAMED = (("3", "completed"), ("4", "completed"), ("5", "in_progress"))


def test_a_critical_flag_that_the_reports_do_not_bear_out_is_an_issue():
    named = [{"reportId": report_id("3"), "status": "completed", "isCritical": True}]
    for flag, expected in ((None, ["/reportIds/0/isCritical", "/isCritical"]), (True, [])):
        found = decode(study_json(isCritical=True, reportIds=named), [report_json("3", isCritical=flag)])
        assert [issue.pointer for issue in found.issues if issue.code == "critical-disagrees"] == expected
