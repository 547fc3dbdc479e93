r"""https://hl7.org/fhir/R4/search.html#escaping."""

from __future__ import annotations

import pytest
from fakes.indexed import escaped
from hypothesis import given
from hypothesis import strategies as st

from gateway.index.escaping import alternatives, parts, token, unescaped

TEXTS = st.text(st.one_of(st.sampled_from("\\,|$ab\n"), st.characters()), max_size=12)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("a", ["a"]),
        ("a,b", ["a", "b"]),
        (r"a\,b,c", [r"a\,b", "c"]),
        (r"a\\,b", [r"a\\", "b"]),
        (",a,,", ["a"]),
        ("a\\", ["a\\"]),
        (",", []),
        ("", []),
    ],
)
def test_alternatives_are_parted_at_commas_that_are_not_escaped(value, expected):
    assert alternatives(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("code", (None, "code")),
        ("sys|code", ("sys", "code")),
        ("|code", ("", "code")),
        ("sys|", ("sys", "")),
        (r"a\|b", (None, "a|b")),
        (r"a\|b|c\,d", ("a|b", "c,d")),
        ("sys|a|b", ("sys", "a|b")),
        ("a\\", (None, "a\\")),
        ("a|b\\", ("a", "b\\")),
    ],
)
def test_a_token_is_parted_at_the_first_bar_that_is_not_escaped(value, expected):
    assert token(value) == expected


def test_the_last_of_several_parts_keeps_the_bars_that_are_left():
    assert parts("a|b|c|d", 3) == ["a", "b", "c|d"]
    assert parts("a|b", 3) == ["a", "b"]


def test_what_is_escaped_stands_for_itself():
    assert unescaped(r"\,\|\$\\x") == r",|$\x"


@given(st.lists(TEXTS.filter(bool), min_size=1, max_size=4))
def test_texts_that_are_escaped_and_joined_come_apart_as_they_were(texts):
    assert [unescaped(one) for one in alternatives(",".join(map(escaped, texts)))] == texts
    assert parts("|".join(map(escaped, texts)), len(texts)) == texts
    assert token(f"{escaped(texts[0])}|{escaped(texts[-1])}") == (texts[0], texts[-1])
