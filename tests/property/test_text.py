"""Laws of N(text), for any string Python can hold."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from mappings.values.text import character_issues, lines, normal_form, utf8

CHARACTERS = st.one_of(
    st.characters(exclude_categories=()),
    st.characters(max_codepoint=0xA0),
    st.sampled_from("\r\n\v\f\t\x85\u2028\u2029\x1c\x1d\x1e\ud800\udfff\ufffe\uffff\ufeff\u00a0"),
)
TEXTS = st.lists(CHARACTERS, max_size=60).map("".join)
FORBIDDEN = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufffe\uffff]")
BREAKS = "\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"


@given(TEXTS)
def test_the_normal_form_is_its_own_normal_form(text: str) -> None:
    form = normal_form(text)
    assert normal_form(form) == form
    assert character_issues(form, "") == ()


@given(TEXTS)
def test_the_line_feed_is_its_only_control_character(text: str) -> None:
    assert not FORBIDDEN.search(normal_form(text))


@given(TEXTS)
def test_its_lines_are_split_at_line_feeds_and_nowhere_else(text: str) -> None:
    assert normal_form(text).split("\n") == lines(text)


@given(TEXTS)
def test_every_other_character_is_kept_in_its_order(text: str) -> None:
    kept = [character for character in text if not FORBIDDEN.match(character) and character not in "\n "]
    assert [character for character in normal_form(text).replace("\ufffd", "") if character not in "\n "] == [
        character for character in kept if character != "\ufffd"
    ]


@given(TEXTS)
def test_it_is_what_its_table_says_character_by_character(text: str) -> None:
    expected = re.sub(f"\r\n|[{BREAKS}]", "\n", text).replace("\t", "    ")
    expected = re.sub("[\ud800-\udfff]", "\ufffd", expected)
    assert normal_form(text) == FORBIDDEN.sub("", expected)


@given(TEXTS, TEXTS)
def test_the_normal_form_of_a_whole_is_that_of_its_parts(one: str, two: str) -> None:
    if not (one.endswith("\r") and two.startswith("\n")):
        assert normal_form(one + two) == normal_form(one) + normal_form(two)


@given(TEXTS)
def test_there_is_one_issue_for_each_kind_of_character_lost(text: str) -> None:
    lost = {c for c in text if FORBIDDEN.match(c) and c not in "\t\r\v\f\x85\u2028\u2029"}
    surrogates = {character for character in lost if "\ud800" <= character <= "\udfff"}
    issues = character_issues(text, "/p")
    assert len(issues) == len(lost - surrogates) + bool(surrogates)
    assert len(set(issues)) == len(issues)


@given(TEXTS)
def test_bytes_decode_to_the_text_but_for_lone_surrogates(text: str) -> None:
    content, replaced = utf8(text)
    assert content.decode() == re.sub("[\ud800-\udfff]", "\ufffd", text)
    assert replaced == any("\ud800" <= character <= "\udfff" for character in text)
