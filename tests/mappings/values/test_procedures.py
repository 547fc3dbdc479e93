"""Modality in DICOM codes and table 0074; free text is no code (D23)."""

import pytest

from mappings.codes import DICOM_MODALITY, HL70074, MODALITY_ORDER
from mappings.model import Report, Snapshot, Study
from mappings.profile import ProcedureCode, Site, parse_site
from mappings.values.procedures import (
    diagnostic_service_section,
    dicom_modalities,
    dicom_modality,
    examination,
    modality_issues,
    modality_parts,
)


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


@pytest.mark.parametrize(
    "written", [None, "", "  ", "MRI Brain", "CT angiography", "CT-guided", "Röntgen", "OT", "SR\\KO", "/", "\ud800"]
)
def test_a_modality_that_is_not_in_the_table_has_no_code_and_stays_radiology(written):
    assert dicom_modality(written) is None
    assert dicom_modalities(written) == ()
    assert diagnostic_service_section(written) == "RAD"


@pytest.mark.parametrize(
    ("written", "codes", "section"),
    [
        ("PT\\CT", ("PT", "CT"), "NMS"),
        ("CT\\PT", ("PT", "CT"), "NMS"),
        ("PET/CT", ("PT", "CT"), "NMS"),
        ("CT+PT", ("PT", "CT"), "NMS"),
        ("pet-ct", ("PT", "CT"), "NMS"),
        ("PET CT", ("PT", "CT"), "NMS"),
        ("PET / MRI", ("PT", "MR"), "NMS"),
        ("US, MR", ("MR", "US"), "NMR"),
        ("Ultrasound and Mammography", ("MG", "US"), "RX"),
        ("CT\\CT", ("CT",), "CT"),
        ("X-Ray/CT", ("CT", "DX"), "CT"),
        ("CT\\SR\\KO", ("CT",), "CT"),
        ("CR;DX;XA", ("XA", "DX", "CR"), "RX"),
    ],
)
def test_several_modalities_are_each_known_and_one_of_them_names_the_service(written, codes, section):
    assert dicom_modalities(written) == codes
    assert (dicom_modality(written), diagnostic_service_section(written)) == (codes[0], section)


@pytest.mark.parametrize(
    ("written", "parts"),
    [
        (None, ()),
        (" ", ()),
        ("PET/CT", ("PET", "CT")),
        ("CT\\SR", ("CT", "SR")),
        ("CT/CT", ("CT",)),
        ("Fluoro / C-Arm", ("Fluoro / C-Arm",)),
        ("CT / C-Arm", ("CT", "C-Arm")),
    ],
)
def test_a_text_in_which_no_modality_is_known_stays_whole(written, parts):
    assert modality_parts(written) == parts


def test_the_order_names_every_modality_once_and_function_comes_first():
    assert sorted(MODALITY_ORDER) == sorted(set(DICOM_MODALITY.values()))
    for first, later in (("PT", "CT"), ("PT", "MR"), ("NM", "CT"), ("MR", "US"), ("CT", "DX"), ("MG", "US")):
        assert MODALITY_ORDER.index(first) < MODALITY_ORDER.index(later)


def test_every_dicom_modality_has_a_section_and_pet_is_not_physical_therapy():
    assert set(HL70074) == set(DICOM_MODALITY.values())
    assert "PT" not in HL70074.values()
    assert all(written == written.strip().upper() for written in DICOM_MODALITY)


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("MRI", []),
        ("PET/CT", []),
        ("CT/SR", ["modality-unknown"]),
        ("Fluoro", ["modality-unknown"]),
        (None, ["modality-unknown"]),
    ],
)
def test_a_modality_that_is_not_known_is_said(written, said):
    assert [issue.code for issue in modality_issues(Study("stu_1", (), modality=written))] == said


@pytest.mark.parametrize(
    ("procedure", "description", "text", "said"),
    [
        (" CT Toe ", "CT", "CT Toe", ["procedure-not-coded"]),
        (" ", "CT", "CT", ["procedure-absent", "procedure-not-coded"]),
        (" ", "CT Chest", "CT Chest", ["procedure-absent"]),
        (None, " ", None, ["procedure-absent"]),
    ],
)
def test_the_examination_is_the_procedure_else_the_description_of_the_study(procedure, description, text, said):
    found = _examination(procedure, description=description)
    assert (found.text, [issue.code for issue in found.issues]) == (text, said)
    assert {issue.pointer for issue in found.issues} <= {"/reports/0/snapshotMetadata/procedure", "/studyDescription"}


def test_an_exact_match_has_the_code_of_the_starter_and_the_text_stays_as_it_came():
    found = _examination(" ct  CHEST w contrast")
    assert found.text == "ct  CHEST w contrast"
    assert found.code == ProcedureCode("24628-0", "Chest CT W contrast IV", modality="CT")
    assert (found.fallback, found.issues) == (None, ())


@pytest.mark.parametrize(
    "near", ["CT Chest with contrast.", "CT Thorax with contrast", "Chest with contrast", "CT Chest+"]
)
def test_what_is_only_near_has_no_code(near):
    found = _examination(near)
    assert (found.text, found.code, [issue.code for issue in found.issues]) == (near, None, ["procedure-not-coded"])


def test_the_description_is_looked_up_where_it_stands_for_the_procedure():
    assert _examination(None, description="MRI Brain with Contrast", modality="MRI").code.code == "24589-4"


SITE = Site()
FALLBACKS = '[mapping.procedure_fallbacks]\nCT = "CTGEN"\n'


def test_the_fallback_is_that_of_the_modality_and_only_where_nothing_matches():
    site = parse_site(FALLBACKS)
    assert _examination("CT Toe", site=site).fallback.code == "CTGEN"
    assert _examination("CT Toe", modality="CT\\US", site=site).fallback.code == "CTGEN"
    assert _examination("Toe", modality="PET/CT", site=site).fallback is None
    assert _examination("CT Chest", site=site).fallback is None
    assert _examination("MRI Toe", modality="MRI", site=site).fallback is None
    assert _examination("CT Toe", modality=None, site=site).fallback is None
    assert _examination(None, description=None, site=site).fallback.code == "CTGEN"


ROWS = ["Chest,C1,L,,CT", "Chest,X1,L,,XR", "Chest,X2,L,,CR", "Skull,S1,L,,DX", "Any,A1,L,,"]
CSV = "\n".join(["procedure,code,system,display,modality", *ROWS])


@pytest.mark.parametrize(
    ("procedure", "modality", "code", "said"),
    [
        ("Chest", "CT", "C1", []),
        ("Chest", "X-Ray", "X1", []),
        ("Chest", "CR", "X2", []),
        ("Chest", "MRI", None, ["procedure-modality-differs"]),
        ("Chest", None, None, ["procedure-ambiguous"]),
        ("Chest", "Fluoro", None, ["procedure-ambiguous"]),
        ("Skull", "CR", "S1", []),
        ("Skull", None, "S1", []),
        ("Skull", "CT", None, ["procedure-modality-differs"]),
        ("Any", "MRI", "A1", []),
        ("Chest", "PET/CT", "C1", []),
        ("Chest", "CT\\CR", None, ["procedure-ambiguous"]),
        ("Skull", "MR\\US", None, ["procedure-modality-differs"]),
    ],
)
def test_a_code_is_never_that_of_another_modality_and_cr_and_dx_are_one(procedure, modality, code, said):
    settings = '[mapping]\nprocedures = "p.csv"\nprocedure_system = "urn:oid:1.2"\n'
    found = _examination(procedure, modality=modality, site=parse_site(settings, files={"procedures": CSV}))
    assert (found.code and found.code.code, [issue.code for issue in found.issues]) == (code, said)
    assert found.text == procedure


def test_no_issue_says_the_text():
    for found in (_examination("CANARY"), _examination(None, description="CANARY")):
        assert found.issues
        assert not any("CANARY" in str(issue) for issue in found.issues)


def _examination(procedure, *, description="CT", modality="CT", site=SITE):
    snapshot = Snapshot(procedure=procedure)
    report = Report("rep_1", "stu_1", "usr_1", "completed", False, None, None, None, None, snapshot, None, ())
    study = Study("stu_1", (report,), study_description=description, modality=modality)
    return examination(study, report, site, lambda one: (one or "").strip())
