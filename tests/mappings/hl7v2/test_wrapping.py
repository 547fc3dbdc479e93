"""Decision D34, `wrap`: lines that a receiver can show."""

import re

import pytest
from fakes.er7_reader import unescape
from hypothesis import given
from hypothesis import strategies as st

from mappings.hl7v2.er7 import escape
from mappings.hl7v2.obx_values import wrapped

WOMAN = "\U0001f469\u200d\u2695\ufe0f"
THUMB = "\U0001f44d\U0001f3fd"


@pytest.mark.parametrize(
    ("row", "lines"),
    [
        ("", [""]),
        ("short", ["short"]),
        ("The quick brown fox jumps", ["The quick ", "brown fox ", "jumps"]),
        ("x" * 15 + " yyyy", ["x" * 10, "xxxxx yyyy"]),
        ("          abc", [" " * 10, "abc"]),
        ("  " + "x" * 12, ["  " + "x" * 8, "x" * 4]),
        ("a bbbbbbbbbbbb", ["a ", "b" * 10, "bb"]),
    ],
)
def test_a_line_ends_behind_a_blank_where_there_is_one(row: str, lines: list[str]) -> None:
    assert wrapped(row, 10, "utf-8") == lines


def test_characters_are_counted_before_they_are_escaped_and_no_sequence_is_cut() -> None:
    assert wrapped(escape("|" * 12), 10, "utf-8") == ["\\F\\" * 10, "\\F\\" * 2]


@pytest.mark.parametrize("grapheme", ["e\u0301", "\u0915\u093f", WOMAN, THUMB, "a\u200d|"])
def test_what_a_reader_sees_as_one_is_never_cut(grapheme: str) -> None:
    row = escape(grapheme * 8)
    for width in (7, 9, 10):
        assert {len(line) % len(escape(grapheme)) for line in wrapped(row, width, "utf-8")} == {0}


def test_a_grapheme_longer_than_a_line_stays_whole() -> None:
    assert wrapped("ab" + "e" + "\u0301" * 12 + "c", 10, "utf-8") == ["ab", "e" + "\u0301" * 12, "c"]


def test_characters_are_counted_as_the_receivers_character_set_spells_them() -> None:
    assert wrapped("\u2026" * 4, 10, "ascii") == ["\u2026" * 3, "\u2026"]
    assert wrapped("\u2026" * 4, 10, "utf-8") == ["\u2026" * 4]


def test_no_line_becomes_the_null_that_deletes() -> None:
    assert wrapped("x" * 10 + '""', 10, "utf-8") == ["x" * 10, '"" ']


@given(st.text(alphabet=st.one_of(st.characters(), st.sampled_from(" |\\\u0301\u200d")), max_size=300))
def test_put_together_again_the_lines_are_the_row(text: str) -> None:
    row = escape(text)
    lines = wrapped(row, 20, "utf-8")
    assert "".join(line if line != '"" ' else '""' for line in lines) == row
    for line in lines:
        assert not set("|^~&") & set(line)
        assert len(unescape(line)) <= 20 or re.search("[\u0300-\uffff]", line[1:]) or not line.isascii()
