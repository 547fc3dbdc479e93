"""HL7 v2.5.1 §7.4.2."""

from dataclasses import replace

import pytest
from fakes.er7_reader import all_of, lines
from fakes.oru_example import ADDENDUM_ID, SITE, TEXT, addendum, codes, report, sent, study

from mappings.model import Study
from mappings.profile import receiver
from mappings.values.text import normal_form


def rows(text: str | None, **changes: object) -> list[list[str]]:
    return all_of(sent(study(report(reportPlainText=text, **changes))), "OBX")


def flags(text: str | None, **changes: object) -> list[str]:
    return [row[8] for row in rows(text, isCritical=True, **changes)]


def test_every_line_is_one_obx_of_type_tx_numbered_from_one() -> None:
    found = rows("a\n\nb")
    assert [row[1:3] for row in found] == [["1", "TX"], ["2", "TX"], ["3", "TX"]]
    assert [row[5] for row in found] == ["a", " ", "b"]


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


def test_a_line_belongs_to_the_section_in_which_it_begins_but_to_the_conclusion_if_any_of_it_does() -> None:
    found = rows("HISTORY: Fall. FINDINGS: Clear.\nFINDINGS: Clear. IMPRESSION: Normal.\nStill the impression.")
    assert [row[3].split("^")[0] for row in found] == ["18748-4", "19005-8", "19005-8"]
    assert found[1][5] == "FINDINGS: Clear. IMPRESSION: Normal."


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
    assert flags("FINDINGS: bleeding\nIMPRESSION:\n\n") == ["AA", "", "", ""]
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


CODED = "AA^Critical abnormal^HL70078"
RID = "RID49480^Category 1 Emergent Actionable Finding^RadLex"


@pytest.mark.parametrize(
    ("critical", "code", "producer"),
    [("none", "", ""), ("obx8_is", "AA", ""), ("obx8_ce", CODED, ""), ("obx15_rid", CODED, RID), ("nte", "", "")],
)
def test_a_critical_result_is_marked_as_the_receiver_reads_it(critical: str, code: str, producer: str) -> None:
    to = replace(receiver("generic"), critical=critical, critical_code=RID)
    what = study(report(reportPlainText="FINDINGS: a\nIMPRESSION: b", isCritical=True))
    assert [(row[8], row[15]) for row in all_of(sent(what, to=to), "OBX")] == [("", ""), (code, producer)]


def test_the_code_of_a_profile_cannot_break_its_segment() -> None:
    to = replace(receiver("generic"), critical="obx15_rid", critical_code="a\r|b^c&d")
    what = study(report(reportPlainText="a", isCritical=True))
    assert all_of(sent(what, to=to), "OBX")[0][15] == r"a \F\b^c\T\d"


SECOND = report(reportId="rep_" + "4" * 32, signedAt="2026-01-05T18:00:00Z", reportPlainText="normal")
FLAG = "CRITICAL FLAG OF REPORT (05-Jan-2026 11:30 -0500, ALEX R SMITH MD):"


def marks(what: Study, **switches: str) -> list[tuple[str, str]]:
    """Each line of a message with its OBX-8, without the lines above the reports."""
    found = all_of(sent(what, to=replace(receiver("generic"), **switches)), "OBX")
    return [(row[5], row[8]) for row in found if row[5].strip() and not row[5].startswith(("ADDENDUM (", "REPORT ("))]


def test_the_mark_of_a_report_stands_also_on_its_addendum_under_a_line_that_says_whose_it_is() -> None:
    what = study(report(isCritical=True, reportPlainText="bleeding"), addendum(reportPlainText="an artefact"))
    assert marks(what) == [(FLAG, ""), ("an artefact", "AA"), ("bleeding", "AA")]
    assert marks(what, critical="none") == [("an artefact", ""), ("bleeding", "")]


def test_the_mark_of_a_report_stands_on_no_addendum_that_may_be_of_another() -> None:
    what = study(report(isCritical=True, reportPlainText="bleeding"), SECOND, addendum(reportPlainText="an artefact"))
    assert marks(what) == [("an artefact", ""), ("bleeding", "AA"), ("normal", "")]


def test_the_mark_of_an_addendum_stands_on_a_later_one_and_not_on_its_report() -> None:
    later = addendum(reportId="rep_" + "6" * 32, signedAt="2026-01-06T10:00:00Z", reportPlainText="an artefact")
    what = study(report(reportPlainText="normal"), addendum(reportPlainText="bleeding", isCritical=True), later)
    flag = "CRITICAL FLAG OF ADDENDUM (05-Jan-2026 12:45 -0500, ALEX R SMITH MD):"
    assert marks(what) == [(flag, ""), ("an artefact", "AA"), ("bleeding", "AA"), ("normal", "")]


def test_a_report_whose_text_changed_after_its_addendum_stands_first_with_its_own_mark() -> None:
    reports = study(report(isCritical=True, reportPlainText="bleeding"), addendum(reportPlainText="normal")).reports
    changed = replace(reports[0], text_changed_at="2026-01-07T10:00:00Z")
    what = replace(study(), reports=(changed, *reports[1:]))
    assert marks(what) == [("bleeding", "AA"), ("normal", "")]
    rows = all_of(sent(what), "OBX")
    header = "REPORT (05-Jan-2026 11:30 -0500, text changed 07-Jan-2026 05:00 -0500, ALEX R SMITH MD):"
    assert rows[0][5] == header
    assert codes(what)["text-changed-after-addendum"] == "/reports/0/reportPlainText"


def test_an_addendum_sent_apart_shows_the_mark_of_its_report() -> None:
    what = study(report(isCritical=True, reportPlainText="bleeding"), addendum(reportPlainText="an artefact"))
    for layout, is_sent in (("append", True), ("new_order", False)):
        to = replace(receiver("generic"), addendum=layout)
        found = all_of(sent(what, to=to, report_id=ADDENDUM_ID, kind="addendum_signed", sent_before=is_sent), "OBX")
        assert [(row[5], row[8]) for row in found][1:] == [(FLAG, ""), ("an artefact", "AA")]


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


@pytest.mark.full
def test_a_text_of_a_megabyte_is_sent_whole() -> None:
    text = "x" * 20_000 + "\r\n" + "line | of text\n" * 70_000
    message = sent(study(report(reportPlainText=text)))
    assert "\n".join(lines(message)) == normal_form(text)
    assert codes(study(report(reportPlainText=text)))["length-exceeded"] == "/reports"


def test_a_line_longer_than_the_standard_has_it_is_sent_whole() -> None:
    what = study(report(reportPlainText="x" * 100_000))
    assert lines(sent(what)) == ["x" * 100_000]
    assert codes(what)["length-exceeded"] == "/reports/0/reportPlainText"


DRAFTS = (replace(SITE, send_drafts=True), replace(receiver("generic"), send_drafts="on"))
DRAFT = study(report(status="in_progress", signedAt=None, updatedAt="2026-01-05T16:00:00Z", isCritical=True))


def test_a_draft_says_first_that_it_is_not_signed() -> None:
    site, to = DRAFTS
    found = all_of(sent(DRAFT, site=site, to=to, kind="draft"), "OBX")
    assert [row[5] for row in found] == ["PRELIMINARY REPORT - NOT SIGNED", *[row[5] for row in rows(TEXT)]]
    assert {(row[8], row[11], row[14]) for row in found} == {("", "P", "20260105142000-0500")}
    assert {row[16] for row in found} == {"1234567893^SMITH^ALEX^R^^^MD^^NPI^L^^^NPI"}


def test_a_draft_of_characters_that_v2_cannot_hold_is_not_called_signed() -> None:
    site, to = DRAFTS
    what = study(report(status="in_progress", signedAt=None, reportPlainText="\x00"))
    found = codes(what, site=site, to=to, kind="draft")
    assert "character-removed" in found
    assert "report-text-absent" not in found


WITHDRAWN = study(report(isCritical=True), isCancelled=True)
WITHDRAWING = replace(SITE, on_cancelled_after_sign="withdraw")


def test_a_receiver_that_refuses_w_is_sent_a_text_that_says_so() -> None:
    to = replace(receiver("generic"), status_map=(("W", "void"),))
    options = {"site": WITHDRAWING, "to": to, "kind": "withdrawn", "sent_before": True}
    found = all_of(sent(WITHDRAWN, **options), "OBX")
    assert [(row[5], row[8], row[11]) for row in found] == [("VOID - THIS REPORT WAS WITHDRAWN", "", "C")]
    assert codes(WITHDRAWN, **options)["report-void"] == "/reports/0/reportPlainText"


def test_an_addendum_that_is_gone_is_withdrawn_by_a_line_that_says_so() -> None:
    to = replace(receiver("generic"), addendum="new_order")
    gone = study(addendum()).reports
    found = all_of(sent(report_id=ADDENDUM_ID, to=to, kind="addendum_cancelled", sent_before=True, gone=gone), "OBX")
    assert [row[5] for row in found] == ["VOID - THIS REPORT WAS WITHDRAWN"]
    assert {row[11] for row in found} == {"W"}
    assert {len(row) for row in found} == {12}
