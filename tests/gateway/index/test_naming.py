"""Decision D3: studies and reports that a search names can be fetched from AutoScribe."""

from __future__ import annotations

import pytest
from fakes.indexed import BASE, HERE, REPORT, UID

from gateway.index.naming import Name, named
from gateway.index.reading import asked

HEX = "0123456789abcdef" * 2
A_REPORT = Name("report", f"rep_{HEX}")
A_STUDY = Name("study", f"stu_{HEX}")
BY_UID = Name("uid", UID)
ODD = "urn:autoscribe-gateway:study-instance-uid:not-an-oid"


@pytest.mark.parametrize(
    ("resource_type", "name", "value", "expected"),
    [
        (REPORT, "_id", f"rep-{HEX}", {A_REPORT}),
        (REPORT, "_id", f"rep-{HEX},rep-{'9' * 32}", {A_REPORT, Name("report", f"rep_{'9' * 32}")}),
        (REPORT, "_id", "unknown", set()),
        (REPORT, "_id", f"rep-{HEX}0", set()),
        (REPORT, "study", f"stu_{HEX}", {A_STUDY}),
        (REPORT, "study", f"urn:other|stu_{HEX}", set()),
        (REPORT, "imagingStudy", f"stu-{HEX}", {A_STUDY}),
        (REPORT, "imagingStudy", f"{BASE}/ImagingStudy/stu-{HEX}", {A_STUDY}),
        (REPORT, "imagingStudy", f"https://elsewhere.example/ImagingStudy/stu-{HEX}", set()),
        (REPORT, "imagingStudy.identifier", f"urn:dicom:uid|urn:oid:{UID}", {BY_UID}),
        (REPORT, "imagingStudy:identifier", f"urn:oid:{UID}", {BY_UID}),
        (REPORT, "imagingStudy.identifier", UID, {BY_UID}),
        (REPORT, "imagingStudy.identifier", "odd uid", {Name("uid", "odd uid")}),
        (REPORT, "imagingStudy.identifier", f"{ODD}|odd uid", {Name("uid", "odd uid")}),
        (REPORT, "imagingStudy.identifier", f"stu_{HEX}", {A_STUDY}),
        (REPORT, "imagingStudy.identifier", f"|{UID}", set()),
        (REPORT, "imagingStudy.identifier", "urn:acc|A1", set()),
        (REPORT, "imagingStudy.identifier", "1" * 300, set()),
        (REPORT, "imagingStudy.modality", "CT", set()),
        (REPORT, "based-on", f"stu-{HEX}-req2", {A_STUDY}),
        (REPORT, "result", f"rep-{HEX}-s0", {A_REPORT}),
        (REPORT, "patient", "pat-1", set()),
        (REPORT, "patient.identifier", "urn:mrn|1", set()),
        (REPORT, "status:not", "final", set()),
        (REPORT, "result:missing", "true", set()),
        (REPORT, "date", "2024", set()),
        (REPORT, "identifier", "rep_1", set()),
        ("ImagingStudy", "_id", f"stu-{HEX}", {A_STUDY}),
        ("ImagingStudy", "identifier", UID, {BY_UID}),
        ("Observation", "_id", f"rep-{HEX}-height", {A_REPORT}),
        ("DocumentReference", "_id", f"rep-{HEX}-doc", {A_REPORT}),
        ("DocumentReference", "related", f"rep-{HEX}", {A_REPORT}),
        ("ServiceRequest", "_id", f"stu-{HEX}-req", {A_STUDY}),
        ("Provenance", "_id", f"rep-{HEX}-prov", {A_REPORT}),
        ("Provenance", "target", f"DiagnosticReport/rep-{HEX}", {A_REPORT}),
        ("Practitioner", "_id", f"usr-{HEX}", set()),
    ],
)
def test_a_search_names_the_studies_and_reports_whose_resources_it_asks_for(resource_type, name, value, expected):
    assert named(asked(resource_type, name, value, HERE).clauses) == expected


def test_several_clauses_name_what_each_of_them_names():
    both = [*asked(REPORT, "study", f"stu-{HEX}", HERE).clauses, *asked(REPORT, "_id", f"rep-{HEX}", HERE).clauses]
    assert named(both) == {A_STUDY, A_REPORT}
