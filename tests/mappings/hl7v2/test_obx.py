"""HL7 v2.5.1 §7.4.2."""

from dataclasses import replace

import pytest
from fakes.er7_reader import all_of, lines
from fakes.oru_example import REPORT_ID, USER, addendum, codes, report, sent, study

from mappings.hl7v2 import receiver
from mappings.text import normal_form


def rows(text: str | None, **changes: object) -> list[list[str]]:
    return all_of(sent(study(report(reportPlainText=text, **changes))), "OBX")


def flags(text: str | None, **changes: object) -> list[str]:
    return [row[8] for row in rows(text, isCritical=True, **changes)]


def test_every_line_is_one_obx_of_type_tx_numbered_from_one() -> None:
    found = rows("a\n\nb")
    assert [row[1:3] for row in found] == [["1", "TX"], ["2", "TX"], ["3", "TX"]]
    assert [row[5] for row in found] == ["a", " ", "b"]


def test_every_line_has_the_status_time_and_signer_of_its_report() -> None:
    for row in rows("a\n\nb"):
        assert row[11] == "F"
        assert row[14] == "20260105163012+0000"
        assert row[16] == "1234567893^SMITH^ALEX^R^^^MD^^NPI^L^^^NPI"


def test_every_line_of_a_correction_is_corrected() -> None:
    assert {row[11] for row in all_of(sent(sent_before=True), "OBX")} == {"C"}


def test_findings_and_impression_have_codes_of_their_own_and_everything_else_is_of_the_report() -> None:
    found = rows("Title\nFINDINGS:\na\nIMPRESSION:\nb\nRECOMMENDATION:\nc")
    assert [(row[3].split("^")[0], row[4]) for row in found] == [
        ("18748-4", "1"),
        ("59776-5", "2"),
        ("59776-5", "2"),
        ("19005-8", "3"),
        ("19005-8", "3"),
        ("18748-4", "4"),
        ("18748-4", "4"),
    ]


def test_a_line_belongs_to_the_section_in_which_it_begins() -> None:
    found = rows("FINDINGS: Clear. IMPRESSION: Normal.\nStill the impression.")
    assert [row[3].split("^")[0] for row in found] == ["59776-5", "19005-8"]
    assert found[0][5] == "FINDINGS: Clear. IMPRESSION: Normal."


def test_a_critical_result_marks_what_the_impression_says() -> None:
    text = "FINDINGS:\nfluid\n\nIMPRESSION:\nbleeding\n\nurgent"
    assert flags(text) == ["", "", "", "", "AA", "", "AA"]


def test_a_heading_and_its_text_on_one_line_are_marked_together() -> None:
    assert flags("FINDINGS: fluid\nIMPRESSION: bleeding\nmore") == ["", "AA", "AA"]


def test_an_impression_that_begins_inside_a_line_marks_that_line() -> None:
    assert flags("FINDINGS: Clear. IMPRESSION: Bleeding.") == ["AA"]
    assert flags("FINDINGS: Clear. IMPRESSION: Bleeding.\nmore") == ["AA", "AA"]


def test_a_combined_heading_counts_as_impression() -> None:
    assert flags("TECHNIQUE:\nCT\n\nFINDINGS AND IMPRESSION:\nbleeding") == ["", "", "", "", "AA"]


def test_an_impression_without_content_leaves_the_mark_to_everything_else() -> None:
    assert flags("FINDINGS: bleeding\nIMPRESSION:\n\n") == ["AA", "AA", "", ""]
    assert flags("FINDINGS:\n\n") == ["AA", "", ""]
    assert flags("IMPRESSION:") == ["AA"]


def test_a_critical_report_without_a_line_to_mark_is_reported() -> None:
    assert flags("\n\n") == ["AA"]


def test_without_an_impression_every_line_that_says_something_is_marked() -> None:
    assert flags("bleeding\n\nurgent") == ["AA", "", "AA"]
    assert flags("FINDINGS:\nbleeding") == ["", "AA"]


@pytest.mark.parametrize("critical", [None, False])
def test_what_is_not_critical_asserts_nothing(critical: bool | None) -> None:
    assert {row[8] for row in rows("IMPRESSION: normal", isCritical=critical)} == {""}


def test_a_receiver_without_a_place_for_it_gets_no_mark() -> None:
    what = study(report(isCritical=True))
    assert {row[8] for row in all_of(sent(what, to=replace(receiver("generic"), critical="none")), "OBX")} == {""}


def test_the_mark_of_a_report_stays_with_that_report() -> None:
    what = study(report(isCritical=True, reportPlainText="bleeding"), addendum())
    marks = {row[5]: row[8] for row in all_of(sent(what), "OBX")}
    assert marks["bleeding"] == "AA"
    assert sum(mark == "AA" for mark in marks.values()) == 1


@pytest.mark.parametrize("text", [None, "", "\x00\x01"])
def test_a_report_without_a_text_is_sent_and_says_so(text: str | None) -> None:
    what = study(report(reportPlainText=text))
    assert [row[5] for row in all_of(sent(what), "OBX")] == ["(AutoScribe sent no report text)"]
    assert codes(what)["report-text-absent"] == "/reports/0/reportPlainText"


def test_characters_that_v2_cannot_hold_are_reported() -> None:
    assert codes(study(report(reportPlainText="a\x1cb\x00")))["character-removed"] == "/reports/0/reportPlainText"


@pytest.mark.parametrize("text", ["a|b^c~d\\e&f", "\\.br\\", "\\E\\", "\\X0D\\", "a\\", "&amp;", "MSH|^~\\&|"])
def test_delimiters_are_escaped_and_read_back(text: str) -> None:
    assert lines(sent(study(report(reportPlainText=text)))) == [text]


def test_a_line_of_two_quotation_marks_is_not_the_null_that_deletes() -> None:
    assert [row[5] for row in rows('a\n""\nb')] == ["a", '"" ', "b"]
    assert [row[5] for row in rows('""\x00')] == ['"" ']


def test_a_text_of_a_megabyte_is_sent_whole() -> None:
    text = "x" * 20_000 + "\r\n" + "line | of text\n" * 70_000
    message = sent(study(report(reportPlainText=text)))
    assert "\n".join(lines(message)) == normal_form(text)
    assert codes(study(report(reportPlainText=text)))["length-exceeded"] == "/reports"


def test_a_line_longer_than_the_standard_has_it_is_sent_whole() -> None:
    what = study(report(reportPlainText="x" * 100_000))
    assert lines(sent(what)) == ["x" * 100_000]
    assert codes(what)["length-exceeded"] == "/reports/0/reportPlainText"


def test_a_signer_without_a_name_is_known_by_his_npi() -> None:
    nameless = {**USER, "firstName": "", "lastName": "", "middleName": "", "suffix1": ""}
    message = sent(study(users=(nameless,)))
    assert all_of(message, "OBX")[0][16] == "1234567893^^^^^^^^NPI^^^^NPI"


def test_a_signer_whose_npi_is_not_known_is_named() -> None:
    message = sent(study(users=({**USER, "npiNumber": ""},)))
    assert all_of(message, "OBX")[0][16] == "^SMITH^ALEX^R^^^MD^^^L"


def test_a_name_longer_than_the_standard_has_it_is_sent_whole() -> None:
    what = study(users=({**USER, "lastName": "S" * 300},))
    assert "S" * 300 in all_of(sent(what, report_id=REPORT_ID), "OBX")[0][16]
    assert codes(what)["length-exceeded"] == "/users/0"
