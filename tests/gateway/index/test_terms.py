"""https://hl7.org/fhir/R4/search.html#string, #token: the forms in which terms stand in the index."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.index import terms
from gateway.index.keys import SEPARATOR, folded
from mappings.codes import LOINC

UNFIT = re.compile("[\x00\x1e\ud800-\udfff]")
TEXTS = st.text(st.one_of(st.sampled_from("\x00\x1e\x1f\ud800 é\u0301-'^"), st.characters(exclude_categories=())))


@pytest.mark.parametrize(
    ("text", "term"),
    [
        ("Jane  Doe", "jane doe"),
        ("DOE^JANE", "doe^jane"),
        ("Müller-Lüdenscheidt", "muller-ludenscheidt"),
        ("佐藤 花子", "佐藤 花子"),
        ("\u0301", "\u0301"),
        ("", ""),
    ],
)
def test_a_string_stands_once_without_case_and_accents(text, term):
    assert terms.words(text) == term


@given(st.text(min_size=1, max_size=60), st.data())
def test_a_string_is_found_by_any_beginning_of_it(text, data):
    beginning = text[: data.draw(st.integers(1, len(text)))]
    if folded(beginning):
        assert terms.words(text).startswith(terms.words(beginning))


def test_the_case_of_a_code_counts_except_in_loinc():
    assert terms.code_term("lp29684-5", "http://loinc.org") == terms.code_term("LP29684-5", "http://loinc.org")
    assert terms.code_term("rad", "urn:s") != terms.code_term("RAD", "urn:s")
    assert terms.code_term("lp29684-5") != terms.code_term("LP29684-5")


@given(TEXTS)
def test_no_term_holds_what_a_database_cannot_hold_or_what_parts_terms(text):
    assert not UNFIT.search(terms.words(text))
    assert SEPARATOR not in terms.words(text)
    assert terms.code_term(text, text).count(SEPARATOR) == 1
    assert not UNFIT.search(terms.exact(text[:100]))


@given(TEXTS, TEXTS)
def test_a_code_term_starts_with_its_code_and_ends_with_its_system(code, system):
    term = terms.code_term(code, system)
    if system != LOINC:
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
