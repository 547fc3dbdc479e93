"""HL7 v2.5.1 §4.5.3 and §7.4.1."""

from dataclasses import replace

import pytest
from fakes.er7_reader import field
from fakes.oru_example import ADDENDUM_ID, SITE, USER, addendum, codes, profile, report, send, sent, study

from mappings.patient.identifiers import short_id
from mappings.profile import ProcedureCode, Site


def obr(number: int, **changes: object) -> str:
    snapshot = changes.pop("snapshot", {})
    return field(sent(study(report(snapshot=snapshot), **changes)), f"OBR-{number}")


def test_a_procedure_of_the_dictionary_is_sent_with_its_code_and_as_it_was_written() -> None:
    assert obr(4) == obr(44) == "24628-0^CT CHEST WITH CONTRAST^LN"


def test_any_other_procedure_is_sent_as_text_and_no_code_is_made_up() -> None:
    assert obr(4, snapshot={"procedure": "CT CHEST, SORT OF"}) == "^CT CHEST, SORT OF"


def test_the_sites_code_for_a_modality_stands_where_no_text_matches() -> None:
    site = replace(SITE, procedure_fallbacks={"CT": ProcedureCode("CT|1", coding_system="L")})
    what = study(report(snapshot={"procedure": "CT CHEST, SORT OF"}))
    assert field(sent(what, site=site), "OBR-4") == r"CT\F\1^CT CHEST, SORT OF^L"
    assert field(sent(site=site), "OBR-4") == "24628-0^CT CHEST WITH CONTRAST^LN"


def test_without_a_procedure_the_description_of_the_study_stands_for_it() -> None:
    assert obr(4, snapshot={"procedure": None}) == "24627-2^CT chest^LN"
    assert "procedure-absent" in codes(study(report(snapshot={"procedure": " "})))


def test_without_either_the_required_field_says_any_diagnostic_imaging_study() -> None:
    assert obr(4, snapshot={"procedure": None}, studyDescription="") == "18748-4^Diagnostic imaging study^LN"


@pytest.mark.parametrize(("severity", "code"), [("normal", "R"), ("high", "A"), ("stat", "S")])
def test_the_priority_is_the_severity_of_the_study(severity: str, code: str) -> None:
    message = sent(study(severity=severity))
    assert field(message, "OBR-5") == code
    assert field(message, "OBR-27") == f"^^^^^{code}"
    assert field(message, "TQ1-9").startswith(f"{code}^")


def test_a_critical_finding_is_no_priority() -> None:
    assert field(sent(study(report(isCritical=True), severity="normal")), "OBR-5") == "R"


def test_the_examination_has_its_time_only_in_a_known_zone() -> None:
    assert obr(7) == "20260105142000-0500"
    assert field(sent(site=Site()), "OBR-7") == "20260105"


def test_without_a_study_date_the_day_of_the_signature_stands_for_it_and_says_so() -> None:
    assert obr(7, snapshot={"studyDate": None}) == "20260105"
    assert "study-date-absent" in codes(study(report(snapshot={"studyDate": None})))


def test_an_indication_of_300_characters_stands_in_obr_13_and_obr_31() -> None:
    assert obr(13, clinicalIndication="x" * 300) == "x" * 300
    assert obr(31, clinicalIndication="x" * 249) == "^" + "x" * 249


def test_a_longer_indication_stands_in_obr_31_alone_and_whole() -> None:
    what = study(clinicalIndication="x" * 301)
    assert field(sent(what), "OBR-13") == ""
    assert field(sent(what), "OBR-31") == "^" + "x" * 301
    assert codes(what)["length-exceeded"] == "/clinicalIndication"


def test_the_length_of_an_indication_counts_its_escapes() -> None:
    assert obr(13, clinicalIndication="x" * 298 + "|") == ""


def test_an_indication_of_several_lines_is_joined_into_one() -> None:
    assert obr(13, clinicalIndication="Cough.\r\nFever.\n") == "Cough. Fever."
    assert codes(study(clinicalIndication="Cough.\nFever."))["lines-joined"] == "/clinicalIndication"
    assert "lines-joined" not in codes(study(clinicalIndication="Cough.\n"))


def test_the_accession_number_stands_in_obr_18() -> None:
    assert field(sent(accession="A|7"), "OBR-18") == r"A\F\7"
    assert field(sent(), "OBR-18") == ""


@pytest.mark.parametrize(("switch", "filled"), [("18", 18), ("20", 20)])
def test_the_accession_number_stands_where_the_receiver_files_by_it(switch: str, filled: int) -> None:
    message = sent(accession="A|7", to=profile(accession_field=switch))
    assert [number for number in (18, 20) if field(message, f"OBR-{number}")] == [filled]
    assert field(message, f"OBR-{filled}") == r"A\F\7"


def test_a_clinical_history_is_the_relevant_clinical_information() -> None:
    message = sent(study(clinicalHistory="Smoker.\n30 pack years."))
    assert field(message, "OBR-13") == "Smoker. 30 pack years."
    assert field(message, "OBR-31") == r"^Shortness of breath \T\ pleuritic pain; R/O PE."
    assert codes(study(clinicalHistory="Smoker.\n30 pack years."))["lines-joined"] == "/clinicalHistory"


def test_a_clinical_history_that_does_not_fit_there_is_a_second_reason_and_whole() -> None:
    what = study(clinicalHistory="h" * 301, clinicalIndication="Cough")
    message = sent(what)
    assert field(message, "OBR-13") == "Cough"
    assert field(message, "OBR-31") == "^Cough~^" + "h" * 301
    assert codes(what)["length-exceeded"] == "/clinicalHistory"
    assert field(sent(what, to=profile(version="2.7")), "OBR-13") == "h" * 301


def test_a_long_clinical_history_without_an_indication_is_the_only_reason() -> None:
    message = sent(study(clinicalHistory="h" * 301, clinicalIndication=None))
    assert field(message, "OBR-13") == ""
    assert field(message, "OBR-31") == "^" + "h" * 301


def test_obr_21_names_the_report_that_caused_the_message() -> None:
    what = study(report(), addendum())
    assert field(sent(what), "OBR-21") == "0q7CEKJEfPH4C86NS9l66J"
    assert field(sent(what, report_id=ADDENDUM_ID), "OBR-21") == short_id(ADDENDUM_ID)


def test_obr_22_is_the_newest_time_of_signing() -> None:
    assert field(sent(study(report(), addendum())), "OBR-22") == "20260105124500-0500"


def test_a_time_of_signing_that_is_none_is_left_out_and_reported() -> None:
    what = study(report(signedAt="yesterday"))
    assert field(sent(what), "OBR-22") == field(sent(what, to=profile(obx14="signed")), "OBX-14") == ""
    assert codes(what)["instant-unreadable"] == "/reports/0/signedAt"
    assert "signed-at-absent" in codes(study(report(signedAt=None)))


@pytest.mark.parametrize(
    ("modality", "code"),
    [("PT\\CT", "NMS"), ("US+MR", "NMR"), ("MRI", "NMR"), ("PET", "NMS"), ("xr", "RX"), ("US", "RUS"), (None, "RAD")],
)
def test_the_section_is_of_table_0074(modality: str | None, code: str) -> None:
    assert obr(24, modality=modality) == code
    assert ("modality-unknown" in codes(study(modality=modality))) is (code == "RAD")


@pytest.mark.parametrize(
    ("table", "modality", "code"),
    [
        ("dicom", "CT\\PT", "PT"),
        ("dicom", "MRI", "MR"),
        ("dicom", "PET", "PT"),
        ("dicom", "Fluoro", "RAD"),
        ("hl70074", "MRI", "NMR"),
    ],
)
def test_the_section_is_of_the_table_that_the_receiver_reads(table: str, modality: str, code: str) -> None:
    assert field(sent(study(modality=modality), to=profile(modality_table=table)), "OBR-24") == code


def test_a_receiver_of_one_section_gets_no_modality() -> None:
    assert field(sent(study(modality="MRI"), to=profile(modality_table="RAD")), "OBR-24") == "RAD"
    assert "modality-unknown" not in codes(study(modality="Fluoro"), to=profile(modality_table="RAD"))
    assert "modality-unknown" in codes(study(modality="Fluoro"), to=profile(modality_table="dicom"))


def test_the_first_message_is_final_and_each_later_one_corrects() -> None:
    assert field(sent(), "OBR-25") == "F"
    assert field(sent(sent_before=True), "OBR-25") == "C"
    assert field(sent(study(report(), addendum())), "OBR-25") == "F"


def test_a_study_cancelled_after_signing_is_said_in_an_issue() -> None:
    assert "cancelled-after-sign" in codes(study(isCancelled=True))


def test_the_interpreter_is_the_user_who_signed() -> None:
    assert obr(32) == "1234567893&SMITH&ALEX&R&&&MD&&NPI"


def test_a_number_that_is_no_npi_is_not_sent_as_one() -> None:
    what = study(users=({**USER, "npiNumber": "1234567890"},))
    assert field(sent(what), "OBR-32") == "&SMITH&ALEX&R&&&MD"
    assert codes(what)["npi-invalid"] == "/users/0/npiNumber"


def test_a_generation_is_a_suffix_and_anything_else_a_degree() -> None:
    what = study(users=({**USER, "suffix1": "Jr.", "suffix2": "MD"},))
    assert field(sent(what), "OBR-32") == "1234567893&SMITH&ALEX&R&Jr.&&MD&&NPI"


def test_a_signer_who_is_not_known_leaves_the_field_empty_and_is_reported() -> None:
    mapped = send(study(users=()))
    assert mapped.output is not None
    assert field(mapped.output, "OBR-32") == ""
    assert [issue.code for issue in mapped.issues] == ["user-unknown"]
