"""https://hl7.org/fhir/R4/search.html#string, #token: the forms in which terms stand in the index."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.index import terms
from gateway.index.keys import SEPARATOR, folded

UNFIT = re.compile("[\x00\x1e\ud800-\udfff]")
TEXTS = st.text(st.one_of(st.sampled_from("\x00\x1e\x1f\ud800 é\u0301-'^"), st.characters(exclude_categories=())))


@pytest.mark.parametrize(
    ("text", "starts"),
    [
        ("Jane Doe", {"jane doe", "doe"}),
        ("DOE^JANE", {"doe^jane", "jane"}),
        ("O'Neil", {"o'neil", "neil"}),
        ("Müller-Lüdenscheidt", {"muller-ludenscheidt", "ludenscheidt"}),
        ("(Doe) Ann", {"(doe) ann", "doe) ann", "ann"}),
        ("佐藤 花子", {"佐藤 花子", "花子"}),
        ("a -b", {"a -b", "-b", "b"}),
        ("\u0301", {"\u0301"}),
        ("", {""}),
    ],
)
def test_a_string_stands_from_the_start_of_each_of_its_words(text, starts):
    assert set(terms.word_starts(text)) == starts


@given(st.lists(st.text(min_size=1, max_size=20), min_size=1, max_size=6), st.data())
def test_a_string_is_found_from_any_of_its_words_on_and_by_any_beginning_of_that(words, data):
    text = " ".join(words)
    rest = " ".join(words[data.draw(st.integers(0, len(words) - 1)) :])
    beginning = rest[: data.draw(st.integers(1, len(rest)))]
    if folded(beginning):
        assert any(start.startswith(terms.words(beginning)) for start in terms.word_starts(text))


@given(TEXTS)
def test_no_term_holds_what_a_database_cannot_hold_or_what_parts_terms(text):
    for term in (terms.words(text), *terms.word_starts(text)):
        assert not UNFIT.search(term)
        assert SEPARATOR not in term
    assert terms.code_term(text, text).count(SEPARATOR) == 1
    assert not UNFIT.search(terms.exact(text[:100]))


@given(TEXTS, TEXTS)
def test_a_code_term_starts_with_its_code_and_ends_with_its_system(code, system):
    term = terms.code_term(code, system)
    assert term.startswith(terms.code_start(code))
    assert term.endswith(terms.system_end(system))


def test_codes_that_begin_alike_are_told_apart_however_long_they_are():
    long = "1" * 300
    assert not terms.code_term(long + "2").startswith(terms.code_start(long))
    assert not terms.code_term("12").startswith(terms.code_start("1"))
    assert len(terms.code_term(long, long)) < 500


def test_the_type_of_an_identifier_tells_its_terms_apart():
    assert terms.typed_term("1", "sys", "MR") != terms.typed_term("1", "sys", "PI")
    assert terms.typed_term("1", "sys", "MR") == terms.code_term("1", "sys|MR")
