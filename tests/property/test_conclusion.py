"""Law of decision D36: no superseded statement stands alone, whatever form the addenda have, in FHIR and HL7 v2.

https://hl7.org/fhir/R4/diagnosticreport-definitions.html#DiagnosticReport.conclusion, HL7 v2.5.1 §7.4.2.3, §7.4.2.8.
Each statement is identified by a word that occurs nowhere else, so that both languages are read back by words alone.
"""

from __future__ import annotations

from typing import Any

from fakes.addenda import Life, life, words_of
from fakes.er7_reader import all_of, unescape
from fakes.oru_example import SITE, sent
from fakes.scale import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from mappings import to_fhir

Json = dict[str, Any]
LIMITS = settings(max_examples=examples(150))


@st.composite
def lives(draw: st.DrawFn) -> Life:
    """Draw a report with up to three addenda."""
    return life(lambda things: draw(st.sampled_from(things)))


def resources(lived: Life, resource_type: str) -> list[Json]:
    return [one for one in to_fhir(lived.study, SITE).output if one["resourceType"] == resource_type]


@LIMITS
@given(lives())
def test_the_conclusion_begins_with_the_newest_addendum_and_has_the_impression_in_fhir(lived: Life) -> None:
    original = resources(lived, "DiagnosticReport")[0]
    assert words_of(original.get("conclusion", "")) == lived.concluded
    for impression in (one for one in resources(lived, "Observation") if "19005-8" in str(one["code"])):
        if original["id"] in impression["id"]:
            assert words_of(impression["valueString"]) == lived.concluded
            assert impression["status"] == ("amended" if lived.addenda else "final")


@LIMITS
@given(lives())
def test_the_conclusion_begins_with_the_newest_addendum_and_has_the_impression_in_hl7_v2(lived: Life) -> None:
    rows = [row for row in all_of(sent(lived.study), "OBX") if row[3].startswith("19005-8")]
    found = words_of("\n".join(unescape(row[5]) for row in rows))
    count = len(lived.addenda)
    assert found[:count] == lived.concluded[:count]
    assert sorted(found[count:]) == sorted(lived.concluded[count:])  # within one text the author's order stays


@LIMITS
@given(lives())
def test_no_conclusion_of_any_report_has_a_superseded_impression_alone(lived: Life) -> None:
    for each in resources(lived, "DiagnosticReport"):
        found = words_of(each.get("conclusion", ""))
        if lived.impression in found and lived.addenda:
            assert found[0].startswith("A")


@LIMITS
@given(lives())
def test_what_is_marked_critical_is_what_a_critical_report_says_itself_and_the_newest_addendum(lived: Life) -> None:
    own = lived.own or lived.impression
    newest = lived.addenda[-1:] if lived.critical else ()
    allowed = {*(own if word == "" else word for word in lived.critical), *newest} - {""}
    lines = "\n".join(unescape(row[5]) for row in all_of(sent(lived.study), "OBX") if len(row) > 8 and row[8] == "AA")
    assert set(words_of(lines)) == allowed
    marked = [one for one in resources(lived, "Observation") if "interpretation" in one]
    first = [words_of(one["valueString"])[:1] for one in marked]
    superseded = [one for one in first if one and one[0] not in allowed and not one[0].startswith("A")]
    assert superseded == []
    assert bool(marked) == bool(lived.critical)
