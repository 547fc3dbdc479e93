"""The modality as DICOM and table 0074 name it; free text is no code (D23)."""

import pytest

from mappings.codes import DICOM_MODALITY, HL70074
from mappings.model import Report, Snapshot, Study
from mappings.procedures import diagnostic_service_section, dicom_modality, examination, modality_issues


@pytest.mark.parametrize(
    ("written", "code", "section"),
    [
        ("MRI", "MR", "NMR"),
        (" ct ", "CT", "CT"),
        ("Ultrasound", "US", "RUS"),
        ("XR", "DX", "RX"),
        ("mammography", "MG", "RX"),
        ("PT", "PT", "NMS"),
        ("PET", "PT", "NMS"),
    ],
)
def test_a_modality_as_people_write_it_has_a_code_in_both_tables(written, code, section):
    assert dicom_modality(written) == code
    assert diagnostic_service_section(written) == section


@pytest.mark.parametrize("written", [None, "", "  ", "PET/CT", "MRI Brain", "Röntgen", "OT", "\ud800"])
def test_a_modality_that_is_not_in_the_table_has_no_code_and_stays_radiology(written):
    assert dicom_modality(written) is None
    assert diagnostic_service_section(written) == "RAD"


def test_every_dicom_modality_has_a_section_and_pet_is_not_physical_therapy():
    assert set(HL70074) == set(DICOM_MODALITY.values())
    assert "PT" not in HL70074.values()
    assert all(written == written.strip().upper() for written in DICOM_MODALITY)


@pytest.mark.parametrize(
    ("written", "said"), [("MRI", []), ("Fluoro", ["modality-unknown"]), (None, ["modality-unknown"])]
)
def test_a_modality_that_is_not_known_is_said(written, said):
    assert [issue.code for issue in modality_issues(Study("stu_1", (), modality=written))] == said


@pytest.mark.parametrize(
    ("procedure", "description", "text", "said"),
    [
        (" CT Chest ", "CT", "CT Chest", []),
        (" ", "CT", "CT", ["procedure-absent"]),
        (None, " ", None, ["procedure-absent"]),
    ],
)
def test_the_examination_is_the_procedure_else_the_description_of_the_study(procedure, description, text, said):
    snapshot = Snapshot(procedure=procedure)
    report = Report("rep_1", "stu_1", "usr_1", "completed", False, None, None, None, None, snapshot, None, ())
    study = Study("stu_1", (report,), study_description=description)
    found, issues = examination(study, report, lambda one: (one or "").strip())
    assert (found, [issue.code for issue in issues]) == (text, said)
    assert {issue.pointer for issue in issues} <= {"/reports/0/snapshotMetadata/procedure"}
