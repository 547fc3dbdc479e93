"""Decision D19: the line above a restated report."""

from dataclasses import replace
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from fakes.oru_example import addendum, study

from mappings.hl7v2.report_text import header, stretches
from mappings.model import Section
from mappings.profile import Facility

REPORT = study(addendum()).reports[0]


def test_the_time_is_said_in_the_zone_of_the_facility() -> None:
    facility = Facility("x", time_zone=ZoneInfo("Asia/Kolkata"))
    moment = datetime(2026, 1, 5, 20, 0, tzinfo=UTC)
    assert header(REPORT, moment, "A B", facility) == "ADDENDUM (06-Jan-2026 01:30 +0530, A B):"


def test_a_moment_that_the_zone_cannot_hold_is_said_in_utc() -> None:
    facility = Facility("x", time_zone=ZoneInfo("Asia/Kolkata"))
    moment = datetime(9999, 12, 31, 23, 0, tzinfo=UTC)
    assert header(REPORT, moment, "", facility) == "ADDENDUM (31-Dec-9999 23:00 UTC):"


def test_a_signers_name_cannot_break_the_line() -> None:
    assert header(REPORT, None, "A|B\rC", None) == r"ADDENDUM (time of signing not known, A\F\B C):"


def test_a_report_whose_sections_were_not_cut_is_of_the_report_as_a_whole() -> None:
    bare = replace(REPORT, sections=(), is_critical=True)
    assert [stretch.label for stretch in stretches(bare, is_plain=True)] == [""]
    assert stretches(bare, is_plain=True)[0].is_critical


def test_several_sections_in_one_line_keep_it_in_one_piece() -> None:
    parts = (Section("", "", "a "), Section("findings", "F:", " b "), Section("impression", "I:", "\nc\nd"))
    text = "".join(part.heading + part.body for part in parts)
    found = stretches(replace(REPORT, sections=parts, text=text, is_critical=True), is_plain=True)
    assert [(one.label, one.is_critical, one.lines) for one in found] == [
        ("", False, ["a F: b I:"]),
        ("impression", True, ["c", "d"]),
    ]


def test_the_header_of_a_draft_says_that_it_is_not_signed() -> None:
    draft = replace(REPORT, status="in_progress")
    assert header(draft, datetime(2026, 1, 5, 20, 0, tzinfo=UTC), "A B", None) == "ADDENDUM (not signed, A B):"
