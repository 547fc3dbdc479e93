"""Narrative (https://hl7.org/fhir/R4/narrative.html)."""

from __future__ import annotations

from xml.etree import ElementTree

from mappings.fhir.datatypes import narrative


def test_a_narrative_is_well_formed_and_holds_what_it_was_given() -> None:
    made = narrative("A & B", [("Date", "2024"), ("None", None)], "1 < 2\n]]> \"quoted\" 'too'")
    root = ElementTree.fromstring(made["div"])
    assert made["status"] == "generated"
    assert "".join(root.itertext()) == "A & BDate: 20241 < 2\n]]> \"quoted\" 'too'"


def test_rows_stand_on_lines_of_their_own_and_empty_parts_are_left_out() -> None:
    assert "<p>a: 1<br/>b: 2</p>" in narrative("t", [("a", "1"), ("b", "2")])["div"]
    assert narrative("t")["div"] == '<div xmlns="http://www.w3.org/1999/xhtml"><p><b>t</b></p></div>'


def test_an_alert_stands_above_everything_and_long_lines_of_a_text_wrap() -> None:
    made = narrative("t", text="x", alert="CRITICAL RESULT")["div"]
    assert "<p><b>CRITICAL RESULT</b></p><p><b>t</b></p>" in made
    assert '<pre style="white-space: pre-wrap">x</pre>' in made
