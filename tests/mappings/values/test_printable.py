"""Texts as a terminal may show them (decision D39)."""

from __future__ import annotations

from mappings.values.text import printable


def test_a_lone_surrogate_is_the_byte_that_it_stands_for():
    assert printable(b"caf\xe9".decode("utf-8", "surrogateescape")) == "caf\\xe9"


def test_a_character_that_is_not_printable_is_shown_as_its_number():
    assert printable("\u2028\ud800\x1b[2J") == "\\u2028\\ud800\\x1b[2J"
