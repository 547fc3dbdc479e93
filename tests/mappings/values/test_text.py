"""N(text), the normal form, and its issues (D5)."""

from __future__ import annotations

import pytest

from mappings.values.text import character_issues, is_merged, is_said, lines, normal_form, signed_text_issues, utf8


@pytest.mark.parametrize("end", ["\r\n", "\n", "\r", "\v", "\f", "\x85", "\u2028", "\u2029", "\x1c", "\x1d", "\x1e"])
def test_every_line_break_becomes_one_line_feed(end: str) -> None:
    assert normal_form(f"one{end}two{end}{end}three{end}") == "one\ntwo\n\nthree\n"
    assert lines(f"one{end}two{end}") == ["one", "two", ""]


def test_two_breaks_that_are_no_pair_are_two_line_feeds() -> None:
    assert normal_form("a\n\rb\r\v\nc") == "a\n\nb\n\n\nc"


def test_a_tab_becomes_four_spaces_wherever_it_stands() -> None:
    assert normal_form("a\tb\n\tc") == "a    b\n    c"


@pytest.mark.parametrize(
    "character", ["\x00", "\x07", "\x08", "\x0e", "\x1b", "\x1f", "\x7f", "\x80", "\x9f", "\ufffe", "\uffff"]
)
def test_a_control_character_is_removed_and_reported_by_its_code_point(character: str) -> None:
    text = f"secret{character} words{character}"
    assert normal_form(text) == "secret words"
    (issue,) = character_issues(text, "/reports/0/reportPlainText")
    assert (issue.code, issue.severity, issue.pointer) == ("character-removed", "warning", "/reports/0/reportPlainText")
    assert issue.action == f"removed 2 x U+{ord(character):04X}"


def test_a_separator_and_a_lone_surrogate_are_replaced_and_reported() -> None:
    text = "a\x1cb\ud83d\udfffc\x07d"
    assert normal_form(text) == "a\nb\ufffd\ufffdcd"
    assert [(issue.code, issue.action) for issue in character_issues(text, "/x")] == [
        ("character-removed", "removed 1 x U+0007"),
        ("character-replaced", "1 x U+001C became a line break"),
        ("character-replaced", "2 x lone surrogate (U+D800 to U+DFFF) became U+FFFD"),
    ]


@pytest.mark.parametrize(
    "text", ["", "plain", "a\r\nb\tc\x0b", "\ufeff\u00a0\u00ad\u200f\u2067\ufdd0\U0001fffe\U0001f600\ue000"]
)
def test_line_breaks_tabs_and_what_can_be_seen_or_read_need_no_issue(text: str) -> None:
    assert character_issues(text, "/x") == ()


@pytest.mark.parametrize(
    "text",
    ["", " ", "trailing  \n  leading", "\ufeff\u00a0\u00ad\u200f\u2067\ufdd0\U0001fffe\U0001f600\ue000", "|^~\\&"],
)
def test_everything_else_stays(text: str) -> None:
    assert normal_form(text) == text


def test_the_empty_text_is_one_empty_line() -> None:
    assert (normal_form(""), lines("")) == ("", [""])


def test_the_bytes_are_the_texts_own() -> None:
    assert utf8("a\r\n\x00\u00e9\ufeff") == (b"a\r\n\x00\xc3\xa9\xef\xbb\xbf", False)


def test_a_lone_surrogate_in_the_bytes_becomes_the_replacement_character_and_is_told() -> None:
    assert utf8("a\ud800b") == ("a\ufffdb".encode(), True)


@pytest.mark.parametrize("text", ["", "  \n\t", "\x00", " \x01\n"])
def test_a_signed_text_of_which_nothing_is_left_to_read_is_an_error(text):
    codes = [issue.code for issue in signed_text_issues(text, "/reports/0/reportPlainText")]
    assert codes[0] == "report-text-absent"
    assert codes[1:] == [issue.code for issue in character_issues(text, "")]


@pytest.mark.parametrize("text", ["a", "\x00a", "\n.\n"])
def test_a_signed_text_that_says_something_has_the_issues_of_its_characters(text):
    assert signed_text_issues(text, "/x") == character_issues(text, "/x")


@pytest.mark.parametrize("addendum", ["One.\nTwo.", "ADDENDUM:\n\nOne.\r\nTwo.\r\n\nNo more.", "\tOne.\rTwo."])
def test_an_addendum_that_holds_the_whole_report_is_merged(addendum: str) -> None:
    assert is_merged(" One.\r\nTwo.\n", addendum)


@pytest.mark.parametrize(("parent", "addendum"), [("One.\nTwo.", "One."), ("One.", "one."), ("", "One."), (None, None)])
def test_an_addendum_to_nothing_or_with_a_part_of_the_report_is_not_merged(
    parent: str | None, addendum: str | None
) -> None:
    assert not is_merged(parent, addendum)


def test_what_is_blank_or_not_there_is_not_said_and_false_is() -> None:
    assert [is_said(value) for value in (None, "", " \n", "\x00", "\u200b a", 0, False)] == [False] * 4 + [True] * 3
