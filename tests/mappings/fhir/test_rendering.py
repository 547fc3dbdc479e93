"""https://hl7.org/fhir/R4/json.html: one resource gives one text, as the standard library writes it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

import pytest
from fakes.scale import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from mappings.fhir.datatypes import json_bytes

# Numbers that neither library writes with an exponent: of smaller and larger ones the texts differ
NUMBERS = st.floats(1e-4, 1e15, exclude_max=True) | st.floats(-1e15, -1e-4, exclude_min=True) | st.integers()
TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(TEXTS, inner, max_size=5),
    max_leaves=20,
)


def by_the_standard_library(resource) -> bytes:
    return json.dumps(resource, ensure_ascii=False, separators=(",", ":")).encode()


@pytest.mark.full
@settings(max_examples=examples(2_000))
@given(st.dictionaries(TEXTS, VALUES, max_size=8))
def test_it_is_what_the_standard_library_writes(resource):
    assert json_bytes(resource) == by_the_standard_library(resource)


def test_every_character_is_written_as_by_the_standard_library():
    every = {"": "".join(map(chr, [*range(0xD800), *range(0xE000, 0x110000)]))}
    assert json_bytes(every) == by_the_standard_library(every)


def test_a_number_of_more_than_64_bits_and_deep_json_are_written_too():
    deep = {"": 10**40}
    for _ in range(300):
        deep = {"": [deep]}
    assert json_bytes(deep) == by_the_standard_library(deep)


class Status(StrEnum):
    FINAL = "final"


class Text(str):
    __slots__ = ()


@dataclass
class Whole:
    part: str = ""


@pytest.mark.parametrize("value", [Status.FINAL, Text("final"), 0.0, -0.0, None, "null", [None, {"id": "1"}]])
def test_these_are_written_as_by_the_standard_library_too(value):
    assert json_bytes({"": value}) == by_the_standard_library({"": value})


@pytest.mark.parametrize(
    ("value", "error"),
    [
        ("\ud800", UnicodeEncodeError),
        (float("nan"), ValueError),
        (float("-inf"), ValueError),
        (datetime.now(UTC), TypeError),
        (Whole(), TypeError),
        (b"", TypeError),
    ],
)
def test_what_is_no_json_is_refused(value, error):
    with pytest.raises(error):
        json_bytes({"": value})
