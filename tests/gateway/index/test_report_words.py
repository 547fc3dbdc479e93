"""The words of a report are those of every text that it presents, and a value of `_content` is read word by word."""

from __future__ import annotations

from base64 import b64encode

import pytest

from gateway.index.criteria import Says
from gateway.index.report_words import LONG, content_clause, said_by
from gateway.runtime.request_errors import BadRequest


def form(text, **more):
    return {"contentType": "text/plain", "data": b64encode(text.encode()).decode(), **more}


def test_case_accents_and_signs_do_not_count_and_addenda_are_there():
    pdf = {"contentType": "application/pdf", "url": "Binary/x-pdf"}
    report = {"presentedForm": [form("ADDENDUM: naïve"), form("Follow-up:\r\n1.5 cm Straße ²"), pdf]}
    assert said_by(report) == "addendum naive follow up 1 5 cm strasse 2"
    assert not said_by({})


def test_a_text_that_repeats_a_word_very_often_is_marked():
    assert LONG not in said_by({"presentedForm": [form("the " * 255)]})
    assert said_by({"presentedForm": [form("the " * 256)]}).endswith(LONG)


@pytest.mark.parametrize(
    ("value", "phrases"),
    [
        ("Embolism", ['"embolism"']),
        ("embolism  Right", ['"embolism" "right"']),
        ("a,b", ['"a"', '"b"']),
        (r"a\,b", [f'"a b" OR "{LONG}" "a" "b"']),
        ('"Deep Vein" x', [f'"deep vein" "x" OR "{LONG}" "deep" "vein" "x"']),
        ("follow-up", [f'"follow up" OR "{LONG}" "follow" "up"']),
        ('"and or not"', [f'"and or not" OR "{LONG}" "and" "or" "not"']),
        ("é", ['"e"']),
        ("x -", ['"x"']),
    ],
)
def test_words_all_occur_and_phrases_stand_together(value, phrases):
    assert content_clause(value) == tuple(map(Says, phrases))


@pytest.mark.parametrize("value", ["-", '"', 'a "b', "(a or b)", "a OR b", "a and b", "embol*", "not a", "a " * 31])
def test_what_is_no_word_or_looks_like_an_operator_is_refused_without_the_value(value):
    with pytest.raises(BadRequest) as refused:
        content_clause(value)
    assert "embol" not in refused.value.detail
