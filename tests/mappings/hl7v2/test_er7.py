"""HL7 v2.5.1 §2.5 to §2.7."""

import pytest
from fakes.er7_reader import unescape
from hypothesis import given
from hypothesis import strategies as st

from mappings.hl7v2.er7 import components, escape, is_one_line, layout, repetitions, subcomponents, value


@given(st.text())
def test_what_is_escaped_reads_back(text: str) -> None:
    assert unescape(escape(text)) == text
    assert not set("|^~&") & set(escape(text))


@given(st.text(alphabet=st.characters()))
def test_a_value_never_holds_a_delimiter_or_a_control_character(text: str) -> None:
    made = value(text)
    assert not set("|^~&") & set(made)
    assert not any(ord(character) < 32 or 127 <= ord(character) < 160 for character in made)
    assert made != '""'
    made.encode("utf-8")


@pytest.mark.parametrize(
    ("text", "expected"),
    [(None, ""), ("", ""), (" \t ", ""), (" a ", "a"), ("a\r\nb", "a b"), ("a\tb", "a    b"), ('""', '"" ')],
)
def test_a_value_is_one_line_without_outer_white_space(text: str | None, expected: str) -> None:
    assert value(text) == expected


def test_only_inner_line_breaks_make_several_lines() -> None:
    assert is_one_line("a\n")
    assert not is_one_line("a\x0bb")


def test_empty_parts_at_the_end_are_left_out() -> None:
    assert components("", "a", "", "") == "^a"
    assert subcomponents("a", "", "b", "") == "a&&b"
    assert repetitions(["a", "b"]) == "a~b"


def test_a_layout_writes_constants_and_functions_at_their_positions() -> None:
    table = {1: "1", 3: lambda context: context, 5: "100%", 7: lambda _: ""}
    assert layout(table, "XYZ").render("a") == "XYZ|1||a||100%"
    assert layout(table, first=3).render("a") == "a||100%"


def test_the_fields_of_msh_are_counted_from_its_separator() -> None:
    assert layout({2: "^~\\&", 4: "x"}, "MSH").render(None) == "MSH|^~\\&||x"
