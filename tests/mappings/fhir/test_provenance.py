"""Provenance (https://hl7.org/fhir/R4/provenance.html; US Core Provenance Profile; D29)."""

from __future__ import annotations

import pytest
from fakes.fhir_studies import addendum, codes, mapped, one, report, snapshot
from fakes.upstream_json import report_id, study_json

from mappings import decode, to_fhir
from mappings.codes import SID_REPORT, SID_STUDY
from mappings.profile import Site


def provenance(**changes):
    return one(mapped(report(**changes)), "Provenance", "3-prov")


def of_patients(made):
    return [each for each in made.output if each["id"].endswith("-patient-prov")]


def test_the_provenance_names_report_author_gateway_and_source() -> None:
    found = provenance()
    author, transmitter, assembler = found["agent"]
    codes = [each["type"]["coding"][0]["code"] for each in found["agent"]]
    assert codes == ["author", "transmitter", "assembler"]
    assert author["who"]["reference"] == "Practitioner/usr-" + "2" * 32
    assert transmitter["who"]["reference"].startswith("Organization/")
    assert assembler["who"]["display"] == "autoscribe-gateway"
    assert author["onBehalfOf"] == assembler["onBehalfOf"] == transmitter["who"]
    assert found["entity"][0]["role"] == "source"
    assert found["entity"][0]["what"]["identifier"] == {"system": SID_REPORT, "value": report_id("3")}
    assert found["occurredPeriod"] == {"start": "2024-03-15T14:30:00Z", "end": "2024-03-15T16:00:00Z"}


def test_the_provenance_is_of_all_that_was_made_of_the_report() -> None:
    made = mapped(report()).output
    start = next(index for index, each in enumerate(made) if each["resourceType"] == "DiagnosticReport")
    assert made[-1]["target"] == [{"reference": f"{each['resourceType']}/{each['id']}"} for each in made[start:-1]]
    assert {each["resourceType"] for each in made[start:-1]} == {"DiagnosticReport", "Observation", "DocumentReference"}


@pytest.mark.parametrize(
    ("changes", "recorded"),
    [
        ({"updatedAt": "2024-03-17T00:00:00Z"}, "2024-03-17T00:00:00Z"),
        ({"updatedAt": None}, "2024-03-15T16:00:00Z"),
        ({"updatedAt": "?", "signedAt": None}, "2024-03-15T14:30:00Z"),
    ],
)
def test_recorded_is_the_first_of_updated_signed_created(changes, recorded) -> None:
    assert provenance(**changes)["recorded"] == recorded


def test_without_any_moment_there_is_none_and_an_issue() -> None:
    made = mapped(report(updatedAt=None, signedAt=None, createdAt=None))
    assert not [each for each in made.output if each["resourceType"] == "Provenance"]
    assert "provenance-undated" in codes(made)


def test_a_period_that_would_end_before_it_starts_is_not_said() -> None:
    assert "occurredPeriod" not in provenance(createdAt="2024-03-16T00:00:00Z")


def test_without_a_facility_the_us_core_profile_is_not_claimed() -> None:
    found = provenance(snapshotMetadata=snapshot(facilityName=None))
    assert "meta" not in found
    assert "onBehalfOf" not in found["agent"][0]


def test_a_patient_has_a_provenance_of_the_study_that_describes_it() -> None:
    made = mapped(report(), addendum())
    [found] = of_patients(made)
    assert found["id"] == f"stu-{'1' * 32}-patient-prov"
    assert found["target"] == [{"reference": f"Patient/{one(made, 'Patient')['id']}"}]
    codes = [each["type"]["coding"][0]["code"] for each in found["agent"]]
    assert codes == ["author", "transmitter", "assembler"]
    displayed = [each["who"]["display"] for each in found["agent"]]
    assert displayed == ["AutoScribe", "City Medical Center", "autoscribe-gateway"]
    assert found["entity"][0]["what"]["identifier"] == {"system": SID_STUDY, "value": "stu_" + "1" * 32}


def test_the_provenance_of_a_patient_is_recorded_when_the_report_that_speaks_was_changed_last() -> None:
    newer = report("5", signedAt="2024-03-18T16:00:00Z", updatedAt="2024-03-19T00:00:00Z")
    [found] = of_patients(mapped(report(updatedAt="2024-03-25T00:00:00Z"), newer))
    assert found["recorded"] == "2024-03-19T00:00:00Z"


def test_several_patients_of_a_study_have_a_provenance_each() -> None:
    other = {"mrn": "MRN-77", "patientName": "Robert Miller", "dateOfBirth": "1950-03-09", "sex": "male"}
    made = mapped(report(), report("5", snapshotMetadata=snapshot(**other)))
    patients = [f"Patient/{each['id']}" for each in made.output if each["resourceType"] == "Patient"]
    found = of_patients(made)
    assert [each["target"] for each in found] == [[{"reference": one}] for one in patients]
    assert [each["id"] for each in found] == [f"stu-{'1' * 32}-patient-prov", f"rep-{'5' * 32}-patient-prov"]


@pytest.mark.parametrize(
    ("changes", "recorded"),
    [
        ({}, ["2024-03-15T14:00:00Z"]),
        ({"updatedAt": "?"}, ["2024-03-14T09:00:00Z"]),
        ({"createdAt": "?", "updatedAt": "?"}, []),
    ],
)
def test_without_reports_the_study_tells_when_its_patient_was_recorded(changes, recorded) -> None:
    times = {"createdAt": "2024-03-14T09:00:00Z", "updatedAt": "2024-03-15T14:00:00Z"}
    study = study_json(**{**times, **changes})
    wire = {"studyId": study["studyId"], "studyInstanceUid": study["studyInstanceUid"], "reports": []}
    made = to_fhir(decode(study, wire), Site())
    assert [each["recorded"] for each in of_patients(made)] == recorded
    assert ("provenance-undated" in codes(made)) is (not recorded)
