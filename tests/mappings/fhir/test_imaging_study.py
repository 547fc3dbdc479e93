"""ImagingStudy (https://hl7.org/fhir/R4/imagingstudy.html)."""

from __future__ import annotations

import pytest
from fakes.fhir_studies import codes, extensions, mapped, one, report, snapshot
from fakes.upstream_json import STUDY_UID, study_json

from mappings import decode, to_fhir
from mappings.codes import SID_STUDY, SID_STUDY_UID_ODD
from mappings.fhir.judge import judge_all
from mappings.model import Facts
from mappings.profile import Facility, Site, read_site


def test_the_study_uid_is_an_oid_under_dicoms_system() -> None:
    found = one(mapped(facts=Facts(accession_number="A1")), "ImagingStudy")["identifier"]
    assert found[0] == {"system": "urn:dicom:uid", "value": f"urn:oid:{STUDY_UID}"}
    assert found[1] == {"system": SID_STUDY, "value": "stu_" + "1" * 32}
    assert found[2]["value"] == "A1"


def test_a_uid_that_is_no_oid_is_kept_under_a_system_of_our_own() -> None:
    wire = {"studyId": "stu_" + "1" * 32, "studyInstanceUid": "1.02.3", "reports": [report()]}
    found = to_fhir(decode(None, wire), Site())
    assert one(found, "ImagingStudy")["identifier"][0] == {"system": SID_STUDY_UID_ODD, "value": "1.02.3"}
    assert "study-uid-not-an-oid" in codes(found)


def test_a_bare_report_still_has_its_study() -> None:
    found = one(to_fhir(decode(None, [report()]), Site()), "ImagingStudy")
    assert [each["system"] for each in found["identifier"]] == [SID_STUDY]


def test_what_the_order_said_has_its_place() -> None:
    study = study_json(
        modality="MRI",
        clinicalIndication="Headache",
        clinicalHistory="Migraine",
        technologistTechnique="Multiplanar",
        technologistNotes=["Motion"],
        expressCustomer={"expressCustomerId": "cus_1", "expressCustomerName": "Tampa"},
        severity="stat",
    )
    found = one(mapped(study=study), "ImagingStudy")
    assert found["modality"][0]["code"] == "MR"
    assert [each["text"] for each in found["reasonCode"]] == ["Headache", "Migraine"]
    assert [each["text"] for each in found["note"]] == ["Multiplanar", "Motion"]
    assert [extensions(each) for each in found["note"]] == [{"technologistTechnique": True}, {}]
    assert found["description"] == "Brain MRI with Contrast"
    assert found["referrer"] == {"display": "Dr. Michael Chen"}
    assert found["procedureCode"] == [{"text": "MRI Brain with Contrast"}]
    assert extensions(found)["severity"] == "stat"
    assert extensions(found)["expressCustomer"]["assigner"] == {"display": "Tampa"}


def test_an_unknown_modality_is_kept_as_text_without_a_code() -> None:
    found = mapped(study=study_json(modality="Thermography"))
    assert one(found, "ImagingStudy")["modality"] == [{"display": "Thermography"}]
    assert "modality-unknown" in codes(found)


def test_each_of_several_modalities_is_coded_and_one_of_them_is_the_category() -> None:
    for written in ("PT\\CT", "CT+PT", "PET/CT"):
        found = mapped(study=study_json(modality=written))
        assert [each["code"] for each in one(found, "ImagingStudy")["modality"]] == ["PT", "CT"]
        sections = one(found, "DiagnosticReport")["category"]
        assert [each["coding"][0]["code"] for each in sections] == ["LP29684-5", "RAD", "NMS"]


def test_what_is_no_modality_among_several_is_kept_as_text() -> None:
    found = mapped(study=study_json(modality="CT\\SR"))
    assert [each.get("code", each.get("display")) for each in one(found, "ImagingStudy")["modality"]] == ["CT", "SR"]
    assert "modality-unknown" in codes(found)


def test_the_start_is_the_studys_and_never_the_time_of_signing() -> None:
    assert one(mapped(), "ImagingStudy")["started"] == "2024-03-15T14:30:00-04:00"
    assert "started" not in one(mapped(report(snapshotMetadata=snapshot(studyDate=None))), "ImagingStudy")


def test_a_study_without_reports_has_its_patient_and_itself() -> None:
    wire = {"studyId": "stu_" + "1" * 32, "studyInstanceUid": STUDY_UID, "reports": []}
    study = study_json(reportMetadata={"patientName": "DOE^JANE", "facilityName": "City Medical Center"})
    found = to_fhir(decode(study, wire), Site())
    assert [each["resourceType"] for each in found.output] == [
        *("Patient", "Organization", "ServiceRequest", "ImagingStudy", "Provenance"),
    ]
    assert one(found, "Patient")["name"][0]["family"] == "DOE"
    assert "mrn-absent" in codes(found)


NO_FACTS = Facts()
DICOMWEB, VIEWER = "https://pacs.example/dicom-web", "https://viewer.example/?studyUID={studyUID}&patient=no"


def of_facility(facts=NO_FACTS, wire=None, **said):
    """Map a study of a facility with these settings."""
    facility = Facility("City", **said)
    read = wire or {
        "studyId": "stu_" + "1" * 32,
        "studyInstanceUid": STUDY_UID,
        "reports": [report(snapshotMetadata=snapshot(facilityName="City"))],
    }
    return to_fhir(decode(None, read), Site(facilities={"City": facility}), facts)


def test_the_images_and_the_viewer_of_the_facility_are_contained_endpoints() -> None:
    found = one(of_facility(dicomweb=DICOMWEB, viewer=VIEWER), "ImagingStudy")
    assert found["endpoint"] == [{"reference": "#dicomweb"}, {"reference": "#viewer"}]
    kinds = [(each["id"], each["connectionType"]["code"], each["address"]) for each in found["contained"]]
    assert kinds == [
        ("dicomweb", "dicom-wado-rs", DICOMWEB),
        ("viewer", "ihe-iid", f"https://viewer.example/?studyUID={STUDY_UID}&patient=no"),
    ]
    assert not judge_all([found])[0]
    assert found["status"] == "unknown"


def test_without_the_settings_nothing_is_said_of_images() -> None:
    found = one(of_facility(), "ImagingStudy")
    assert {"endpoint", "contained"}.isdisjoint(found)


def test_a_viewer_by_accession_number_needs_the_one_number_of_the_study() -> None:
    by_number = "https://viewer.example/{accessionNumber}"
    found = one(of_facility(Facts(accession_number="A/1 é"), viewer=by_number), "ImagingStudy")
    assert found["contained"][0]["address"] == "https://viewer.example/A%2F1%20%C3%A9"
    without = of_facility(viewer=by_number)
    assert "endpoint" not in one(without, "ImagingStudy")
    assert "images-not-linked" in codes(without)


def test_an_odd_uid_leads_to_no_images() -> None:
    wire = {
        "studyId": "stu_" + "1" * 32,
        "studyInstanceUid": "1.02.3",
        "reports": [report(snapshotMetadata=snapshot(facilityName="City"))],
    }
    found = of_facility(wire=wire, dicomweb=DICOMWEB, viewer=VIEWER)
    assert "endpoint" not in one(found, "ImagingStudy")
    assert "images-not-linked" in codes(found)


def test_only_endpoints_may_be_contained_and_only_by_their_names() -> None:
    found = one(of_facility(dicomweb=DICOMWEB), "ImagingStudy")
    other = {**found, "contained": [{"resourceType": "Patient", "id": "p"}]}
    assert [each.code for each in judge_all([other])[0]] == ["fhir-contained"]
    elsewhere = {**found, "endpoint": [{"reference": "Endpoint/1"}]}
    assert [each.code for each in judge_all([elsewhere])[0]] == ["fhir-reference"]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("dicomweb", "https://u@pacs.example/dicom"),
        ("dicomweb", "https://pacs.example/?a=b"),
        ("dicomweb", "pacs.example"),
        ("dicomweb", "https://pacs.example/"),
        ("viewer", "https://viewer.example/"),
        ("viewer", "https://viewer.example/{patient}/{studyUID}"),
        ("viewer", "javascript:{studyUID}"),
    ],
)
def test_an_address_of_another_form_is_refused(key: str, value: str) -> None:
    _, faults = read_site(f'[[mapping.facilities]]\nname = "City"\n{key} = "{value}"')
    assert [fault.key for fault in faults] == [f"mapping.facilities[0].{key}"]
