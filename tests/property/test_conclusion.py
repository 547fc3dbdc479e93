"""The law of decision D36: no superseded statement stands alone, whatever form the addenda have, in FHIR and HL7 v2.

https://hl7.org/fhir/R4/diagnosticreport-definitions.html#DiagnosticReport.conclusion, HL7 v2.5.1 §7.4.2.3, §7.4.2.8.
Each statement says whose it is by a word that stands nowhere else, so that both languages are read back by words alone.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from fakes.er7_reader import all_of, unescape
from fakes.oru_example import SITE, addendum, report, sent, study
from hypothesis import given, settings
from hypothesis import strategies as st

from mappings import to_fhir
from mappings.model import Study

Json = dict[str, Any]
LIMITS = settings(max_examples=150, deadline=timedelta(seconds=5))
WORD = re.compile(r"[AO]\d+[a-z]+")
BODIES = ("", "Lungs are clear.", "TECHNIQUE: CT.\nFINDINGS: Lungs are clear.", "HISTORY: Fall.")
SIGNATURE = "\nElectronically signed by ALEX SMITH MD"


@dataclass(frozen=True)
class Life:
    """An original and its addenda as they are signed, with the word of what each says; `own`: of its own addendum."""

    study: Study
    impression: str
    own: str
    addenda: tuple[str, ...]
    critical: tuple[str, ...]


def _original(draw: st.DrawFn) -> tuple[str, str, str]:
    """A report's text, the word of its impression and of its own ADDENDUM section, "" for what it has not."""
    body = draw(st.sampled_from(BODIES))
    impression = draw(st.sampled_from(("", "O0imp")))
    own = draw(st.sampled_from(("", "O0own"))) if body or impression else ""
    parts = [body, f"IMPRESSION: {impression} is stable." if impression else ""]
    added = f"ADDENDUM: {own} is new." if own else ""
    parts = [added, *parts] if draw(st.booleans()) and "FINDINGS" in body else [*parts, added]
    text = "\n\n".join(part for part in parts if part) or "Lungs are clear."
    return text + draw(st.sampled_from(("", SIGNATURE))), impression, own


def _addendum(draw: st.DrawFn, number: int, original: str) -> tuple[str, str]:
    """An addendum's text in one of the three forms, and the word of what it says."""
    word = f"A{number}add"
    said = draw(
        st.sampled_from((f"{word} is seen.", f"ADDENDUM: {word} is seen.", f"*** ADDENDUM ***\n{word} is seen."))
    )
    plain = original.removesuffix(SIGNATURE)
    forms = [
        said,
        f"FINDINGS: Reviewed again.\nIMPRESSION: {word} is seen.",
        f"{said}\n\n{original}",
        f"{original}\n\n{said}",
    ]
    if "ADDENDUM" in said and "ADDENDUM" not in plain and "FINDINGS" in plain:
        edited = plain.replace("Lungs are", "The lungs are")
        forms += [f"{said}\n\n{edited}", f"{edited}\n\n{said}"]
    return draw(st.sampled_from(forms)), word


@st.composite
def lives(draw: st.DrawFn) -> Life:
    """An original with up to three addenda."""
    flags = st.sampled_from((True, False, None))
    original, impression, own = _original(draw)
    reports = [report(reportPlainText=original, isCritical=draw(flags))]
    words: list[str] = []
    for number in range(1, draw(st.integers(0, 3)) + 1):
        text, word = _addendum(draw, number, original)
        signed = {"signedAt": f"2026-01-0{5 + number}T17:45:00Z", "reportId": f"rep_{number:032x}"}
        reports.append(addendum(**signed, reportPlainText=text, isCritical=draw(flags)))
        words.append(word)
    critical = [one for one, each in zip(("", *words), reports, strict=True) if each["isCritical"]]
    return Life(study(*reports), impression, own, tuple(words), tuple(critical))


def words_of(text: str) -> list[str]:
    """The words that say whose a statement is, each at its first place."""
    return list(dict.fromkeys(WORD.findall(text)))


def resources(life: Life, resource_type: str) -> list[Json]:
    return [one for one in to_fhir(life.study, SITE).output if one["resourceType"] == resource_type]


def meant(life: Life) -> list[str]:
    """The words of the conclusion: each addendum, the newest first, then what the report itself says."""
    return [*reversed(life.addenda), *filter(None, (life.own, life.impression))]


@LIMITS
@given(lives())
def test_the_conclusion_begins_with_the_newest_addendum_and_has_the_impression_in_fhir(life: Life) -> None:
    original = resources(life, "DiagnosticReport")[0]
    assert words_of(original.get("conclusion", "")) == meant(life)
    for impression in (one for one in resources(life, "Observation") if "19005-8" in str(one["code"])):
        if original["id"] in impression["id"]:
            assert words_of(impression["valueString"]) == meant(life)
            assert impression["status"] == ("amended" if life.addenda else "final")


@LIMITS
@given(lives())
def test_the_conclusion_begins_with_the_newest_addendum_and_has_the_impression_in_hl7_v2(life: Life) -> None:
    rows = [row for row in all_of(sent(life.study), "OBX") if row[3].startswith("19005-8")]
    found = words_of("\n".join(unescape(row[5]) for row in rows))
    count = len(life.addenda)
    assert found[:count] == meant(life)[:count]
    assert sorted(found[count:]) == sorted(meant(life)[count:])  # inside one text the author's order stays


@LIMITS
@given(lives())
def test_no_conclusion_of_any_report_has_a_superseded_impression_alone(life: Life) -> None:
    for each in resources(life, "DiagnosticReport"):
        found = words_of(each.get("conclusion", ""))
        if life.impression in found and life.addenda:
            assert found[0].startswith("A")


@LIMITS
@given(lives())
def test_what_is_marked_critical_is_what_a_critical_report_says_itself(life: Life) -> None:
    own = life.own or life.impression
    allowed = {own if word == "" else word for word in life.critical} - {""}
    lines = "\n".join(unescape(row[5]) for row in all_of(sent(life.study), "OBX") if len(row) > 8 and row[8] == "AA")
    assert set(words_of(lines)) == allowed
    marked = [one for one in resources(life, "Observation") if "interpretation" in one]
    first = [words_of(one["valueString"])[:1] for one in marked]
    superseded = [one for one in first if one and one[0] not in allowed and not one[0].startswith("A")]
    assert superseded == []
    assert bool(marked) == bool(life.critical)
