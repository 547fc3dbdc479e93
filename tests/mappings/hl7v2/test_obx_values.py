r"""HL7 v2.5.1 §2.A.79 (TX), §2.7.6 (FT), decision D34: the styles of the report's text."""

from dataclasses import replace

import pytest
from fakes.er7_reader import all_of
from fakes.oru_example import addendum, codes, report, sent, study

from mappings.hl7v2.obx_values import OBX_3
from mappings.profile import receiver

GENERIC = receiver("generic")
TEXT = "Title\n\nFINDINGS:\na | b\n\nIMPRESSION:\nc\nd"
WHOLE = "18748-4^Diagnostic imaging study^LN"
FINDINGS = "59776-5^Procedure findings Narrative^LN"
IMPRESSION = "19005-8^Radiology Imaging study [Impression] (narrative)^LN"


def rows(said: str = TEXT, /, **switches: str) -> list[list[str]]:
    """OBX-2 to OBX-5 of a report."""
    return [
        row[2:6] for row in all_of(sent(study(report(reportPlainText=said)), to=replace(GENERIC, **switches)), "OBX")
    ]


def test_a_line_of_strings_is_as_one_of_text() -> None:
    assert [["TX", *row[1:]] for row in rows(text="st_lines")] == rows()
    assert {row[0] for row in rows(text="st_lines")} == {"ST"}


def test_a_section_is_one_obx_whose_repetitions_are_its_lines() -> None:
    assert rows("EXAM:\nt\n\nINDICATION: i\nFINDINGS:\na | b\n\nIMPRESSION:\nc\nd", text="tx_sections") == [
        ["TX", WHOLE, "1", "EXAM:~t~ "],
        ["TX", WHOLE, "2", "INDICATION: i"],
        ["TX", FINDINGS, "3", r"FINDINGS:~a \F\ b~ "],
        ["TX", IMPRESSION, "4", "IMPRESSION:~c~d"],
    ]


def test_a_report_is_one_obx_whose_repetitions_are_its_lines() -> None:
    assert rows(text="tx_repeat") == [["TX", WHOLE, "1", r"Title~ ~FINDINGS:~a \F\ b~ ~IMPRESSION:~c~d"]]


def test_a_report_is_one_formatted_text_as_example_v1b() -> None:
    value = r"Title\.br\\.br\FINDINGS:\.br\a \F\ b\.br\\.br\IMPRESSION:\.br\c\.br\d"
    assert rows(text="ft") == [["FT", WHOLE, "1", value]]


@pytest.mark.parametrize("text", ["ft", "tx_repeat"])
def test_a_report_that_is_all_impression_has_its_code(text: str) -> None:
    assert [row[1] for row in rows("IMPRESSION:\nc", text=text)] == [IMPRESSION]


@pytest.mark.parametrize("text", ["ft", "tx_repeat"])
def test_a_report_that_begins_with_a_section_is_of_the_report_as_a_whole(text: str) -> None:
    assert [row[1] for row in rows("FINDINGS:\na\nIMPRESSION:\nb", text=text)] == [WHOLE]


@pytest.mark.parametrize("text", ["ft", "tx_repeat"])
@pytest.mark.parametrize("style", ["gdt_imp", "va"])
def test_a_receiver_that_tells_the_impression_by_its_code_gets_it_apart(text: str, style: str) -> None:
    assert [row[1:3] for row in rows(text=text, obx3_style=style)] == [
        [OBX_3[style][""], "1"],
        [OBX_3[style]["impression"], "2"],
    ]


def test_suffixes_are_sub_components() -> None:
    codes_of = [row[1] for row in rows("a\nFINDINGS:\nb\nIMPRESSION:\nc", obx3_style="gdt_imp")]
    gdt = "18748-4&GDT^Diagnostic imaging study^LN"
    assert codes_of == [gdt] * 3 + ["19005-8&IMP^Radiology Imaging study [Impression] (narrative)^LN"] * 2


def test_vista_has_codes_of_its_own() -> None:
    found = [row[1] for row in rows("a\nFINDINGS:\nb\nIMPRESSION:\nc", obx3_style="va")]
    assert found == ["R^REPORT^L"] * 3 + ["I^IMPRESSION^L"] * 2


@pytest.mark.parametrize(
    ("blank_line", "values"), [("space", ["a", " ", " ", "b"]), ("empty", ["a", "", "", "b"]), ("omit", ["a", "b"])]
)
def test_an_empty_line_is_as_the_receiver_wants_it(blank_line: str, values: list[str]) -> None:
    assert [row[3] for row in rows("a\n\n\nb", blank_line=blank_line)] == values


@pytest.mark.parametrize(("blank_line", "value"), [("space", "a~ ~b"), ("empty", "a~~b"), ("omit", "a~b")])
def test_an_empty_repetition_is_as_the_receiver_wants_it(blank_line: str, value: str) -> None:
    assert [row[3] for row in rows("a\n\nb", blank_line=blank_line, text="tx_repeat")] == [value]


def test_empty_lines_that_are_left_out_are_counted_once_in_a_message() -> None:
    what = study(report(reportPlainText="a\n\n  \nb"), addendum(reportPlainText="c\n\nd"))
    to = replace(GENERIC, blank_line="omit")
    assert codes(what, to=to)["blank-lines-omitted"] == "/reports"
    assert codes(what).get("blank-lines-omitted") is None
    values = [row[5] for row in all_of(sent(what, to=to), "OBX")]
    assert [value for value in values if not value.endswith(":")] == ["c", "d", "a", "b"]


def test_a_section_of_empty_lines_alone_is_left_out_whole() -> None:
    assert [row[3] for row in rows("\n\nIMPRESSION:\nc", blank_line="omit")] == ["IMPRESSION:", "c"]


@pytest.mark.parametrize("width", ["75", "80"])
def test_no_line_is_longer_than_the_receiver_has_it(width: str) -> None:
    found = rows("word " * 60 + "\n\nx", wrap=width)
    lengths = [len(row[3]) for row in found]
    assert max(lengths) <= int(width)
    assert [row[3] for row in found][-2:] == [" ", "x"]
    assert "".join(row[3] for row in found[:-2]) == "word " * 60


def test_wrapped_lines_are_repetitions_or_formatted_lines_where_the_text_is() -> None:
    text = "x" * 80
    assert rows(text, wrap="75", text="ft")[0][3] == "x" * 75 + r"\.br\xxxxx"
    assert rows(text, wrap="75", text="tx_repeat")[0][3] == "x" * 75 + "~xxxxx"


def test_lines_are_wrapped_as_the_character_set_spells_them() -> None:
    values = [row[3] for row in rows("\u2026" * 30, wrap="75", charset="ASCII")]
    assert values == ["." * 75, "." * 15]


@pytest.mark.parametrize("text", ["tx_sections", "tx_repeat", "ft"])
def test_a_value_that_is_critical_in_part_is_marked(text: str) -> None:
    what = study(report(reportPlainText=TEXT, isCritical=True))
    marks = [row[8] for row in all_of(sent(what, to=replace(GENERIC, text=text)), "OBX")]
    assert marks == (["", "", "AA"] if text == "tx_sections" else ["AA"])


def test_a_section_of_empty_lines_alone_is_never_marked() -> None:
    what = study(report(reportPlainText="FINDINGS: Clear. IMPRESSION:\n\n\nRECOMMENDATION: call", isCritical=True))
    marks = [row[8] for row in all_of(sent(what, to=replace(GENERIC, text="tx_sections")), "OBX")]
    assert marks == ["AA", "", "AA"]


def test_reports_restated_together_have_a_value_each() -> None:
    what = study(report(reportPlainText="a"), addendum(reportPlainText="b"))
    found = all_of(sent(what, to=replace(GENERIC, text="ft")), "OBX")
    assert [(row[4], row[5].split("\\.br\\")[1:]) for row in found] == [("1", ["b", ""]), ("2", ["a"])]
