"""Data types (https://hl7.org/fhir/R4/datatypes.html)."""

from __future__ import annotations

import pytest

from mappings.fhir import datatypes


def test_what_is_not_said_leaves_no_element_but_false_and_zero_are_said() -> None:
    element = {"a": None, "b": "", "c": [], "d": {}, "e": False, "f": 0, "g": "x"}
    assert datatypes.without_empty(element) == {"e": False, "f": 0, "g": "x"}


@pytest.mark.parametrize(
    ("text", "line"),
    [(None, None), ("", None), (" \n", None), ("\x00", None), (" a\tb ", "a    b"), ("a\r\nb", "a\nb")],
)
def test_a_line_is_n_of_the_text_without_outer_white_space(text: str | None, line: str | None) -> None:
    assert datatypes.line(text) == line
