"""Laws of name splitting: nothing is changed, made up or lost in any text."""

import re
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from mappings.values.names import parse_name

orders = st.sampled_from([None, "given_family", "given_two_families", "family_given", "marked_only"])
tokens = st.sampled_from(
    [
        "Jane",
        "DOE",
        "van",
        "der",
        "DE",
        "la",
        "Md",
        "MD",
        "Dr.",
        "Jr",
        "III",
        "y",
        "O'Neil",
        "O’",
        "Mc",
        "Mac",
        "St.",
        "née",
        "Q.",
        "(Bob)",
        "'Bob'",
        '"Bob',
        "(",
        ")",
        "Văn",
        "太郎",
        "7",
        "-",
        "é",
    ]
)
marks = st.sampled_from([" ", "  ", ", ", ",", "^", "^^", "=", "~"])
name_like = st.lists(st.one_of(tokens, marks), max_size=14).map("".join)
texts = st.one_of(name_like, st.text(st.characters(), max_size=30))


def words(text):
    return Counter(re.split(r"[\s,^=~]+", text))


@given(texts, orders)
def test_the_whole_string_survives_and_no_part_is_made_up(text, order):
    name = parse_name(text, order)
    if name is None:
        assert not text.strip()
        return
    assert name.text == text.strip()
    found = words(" ".join((name.family, *name.given, *name.prefix, *name.suffix)))
    del found[""]
    assert found <= words(text)


@given(texts, orders)
def test_a_name_is_either_split_whole_or_in_doubt(text, order):
    name = parse_name(text, order)
    if name is None:
        return
    if name.doubt == "name-not-split":
        assert (name.family, name.given, name.prefix, name.suffix) == ("", (), (), ())
    else:
        assert name.family or name.given
    if not name.doubt and "=" not in name.text:
        parts = words(" ".join((name.family, *name.given, *name.prefix, *name.suffix)))
        assert set(parts) | {""} == set(words(name.text)) | {""}


@given(texts, orders)
def test_every_part_is_clean_of_marks_and_outer_white_space(text, order):
    name = parse_name(text, order)
    for part in () if name is None else (name.family, *name.given, *name.prefix, *name.suffix):
        assert part == part.strip()
        assert "^" not in part


@given(texts)
def test_only_marked_names_and_evidence_are_split_when_no_order_is_stated(text):
    assert parse_name(text, None) == parse_name(text, "marked_only")


@given(texts, orders)
def test_outer_white_space_changes_nothing(text, order):
    assert parse_name(f"\t {text} \n", order) == parse_name(text, order)


def is_marked(text):
    """True if a comma or a caret stands outside brackets and quotation marks."""
    return bool({"^", ","} & set(re.sub(r"\([^()]*\)|\[[^][]*\]|\"[^\"]*\"|“[^“”]*”|'\w+'", "", text)))


@given(texts, orders)
def test_only_three_words_and_more_are_split_on_the_order_of_the_site_alone(text, order):
    name = parse_name(text, order)
    if name is not None and name.assumed:
        assert order in ("given_family", "given_two_families", "family_given")
        assert not is_marked(text)
        assert len(text.split()) >= 3
        assert (name.assumed == "warning") == (order == "given_two_families")


@given(texts.filter(is_marked), orders, orders)
def test_what_is_marked_is_split_the_same_whatever_the_order(text, one, other):
    assert parse_name(text, one) == parse_name(text, other)
