"""Lines of a report, each with the label of its section: HL7 v2.5.1 §7.4.2.3, decisions D22, D36."""

from dataclasses import replace

from fakes.oru_example import addendum, study

from mappings.hl7v2.report_text import Stretch, stretches
from mappings.model import Report, Section
from mappings.study.conclusion import passages

REPORT = study(addendum()).reports[0]


def cut_up(report: Report) -> list[Stretch]:
    return stretches(report, passages(report, ()), "impression", is_plain=True)


def test_a_report_whose_sections_were_not_cut_is_of_the_report_as_a_whole() -> None:
    bare = replace(REPORT, sections=(), is_critical=True)
    assert [(stretch.label, stretch.is_critical) for stretch in cut_up(bare)] == [("", True)]


def test_several_sections_in_one_line_keep_it_in_one_piece() -> None:
    parts = (Section("", "", "a "), Section("findings", "F:", " b "), Section("impression", "I:", "\nc\nd"))
    text = "".join(part.heading + part.body for part in parts)
    found = cut_up(replace(REPORT, sections=parts, text=text, is_critical=True, is_addendum=False))
    assert [(one.label, one.is_critical, one.lines) for one in found] == [
        ("", False, ["a F: b I:"]),
        ("impression", True, ["c", "d"]),
    ]
