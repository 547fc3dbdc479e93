"""Law of decision D36: no passage of a signed text that corrects another is outside the conclusion; and its converse.

A correction is made of form, stem, place, language, critical flag and history. Each statement is identified by a word
that occurs nowhere else. https://hl7.org/fhir/R4/diagnosticreport-definitions.html#DiagnosticReport.conclusion, HL7
v2.5.1 §7.4.2.3, §7.4.2.8.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from fakes.addenda import words_of
from fakes.corrections import (
    CUSTOMARY,
    HINTED,
    INSIDE,
    LABELS,
    NEGATED,
    NOUNS,
    OTHERS,
    PLACES,
    REMARKED,
    REPORTS,
    SENTENCES,
    UNCLEAR,
    WHOLE_LABELS,
    placed,
)
from fakes.er7_reader import all_of, unescape
from fakes.oru_example import REPORT_ID, SITE, addendum, report, sent, study
from fakes.scale import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from mappings import to_fhir
from mappings.model import Facts, Study
from mappings.sections import cut

Json = dict[str, Any]
LIMITS = settings(max_examples=examples(300))
CORRECTED, IMPRESSION = "A1new", "O1old"
OUTSIDE = ("above", "below a title", "behind the signature")  # under no heading
HEADER = "REPORT (05-Jan"  # the line above the report
LANGUAGES = st.sampled_from(sorted(NOUNS))


@dataclass(frozen=True)
class Case:
    """A signed text, its study as first signed or changed later, and an addendum of its own if it has one."""

    study: Study
    facts: Facts
    text: str
    is_critical: bool
    has_addendum: bool

    @property
    def resources(self) -> list[Json]:
        made: list[Json] = to_fhir(self.study, SITE, self.facts).output
        own = REPORT_ID.replace("_", "-")
        return [one for one in made if one["id"].startswith(own)]

    @property
    def conclusion(self) -> str:
        found = next(one for one in self.resources if one["resourceType"] == "DiagnosticReport").get("conclusion", "")
        return found.partition(HEADER)[2] if self.has_addendum else found

    @property
    def rows(self) -> list[list[str]]:
        later = {"kind": "corrected", "content_version": "2", "sent_before": True} if self.facts.corrected else {}
        found = all_of(sent(self.study, **later), "OBX")
        headed = [place for place, row in enumerate(found) if row[5].startswith(HEADER)]
        return found[headed[0] :] if headed else found


def flagged(case: Case) -> list[str]:
    """Words of the lines that are marked in HL7 v2."""
    rows = [unescape(row[5]) for row in case.rows if len(row) > 8 and row[8] == "AA"]
    return words_of("\n".join(rows))


def flagged_in_fhir(case: Case) -> list[str]:
    """First words of the Observations that are marked in FHIR."""
    found = [one for one in case.resources if one["resourceType"] == "Observation" and "interpretation" in one]
    return [word for one in found for word in words_of(one.get("valueString", ""))[:1]]


def concluded(case: Case) -> list[str]:
    rows = [unescape(row[5]) for row in case.rows if row[3].startswith("19005-8")]
    return words_of("\n".join(rows))


@st.composite
def cases(draw: st.DrawFn, passages: st.SearchStrategy[str], places: tuple[str, ...] = PLACES) -> Case:
    """Draw a text with a passage, and its history."""
    text = placed(draw(passages), draw(LANGUAGES), draw(st.sampled_from(places)), IMPRESSION)
    is_critical = draw(st.booleans())
    own = report(reportPlainText=text, isCritical=is_critical)
    is_changed, has_addendum = draw(st.booleans()), draw(st.booleans())
    added = [addendum(reportPlainText="Comparison is available.", isCritical=False)] if has_addendum else []
    facts = Facts(corrected=frozenset({REPORT_ID})) if is_changed else Facts()
    return Case(study(own, *added), facts, text, is_critical, has_addendum)


@st.composite
def corrections(draw: st.DrawFn) -> str:
    """Draw a passage that corrects a report explicitly: a label or a sentence, in one of the languages."""
    language = draw(LANGUAGES)
    said = f"{CORRECTED} is an artefact."
    if draw(st.integers(0, 4)) == 0:
        return f"{SENTENCES[language]} {said}"
    if draw(st.integers(0, 3)) == 0:
        return draw(st.sampled_from(WHOLE_LABELS)) + said
    words = draw(st.sampled_from((*NOUNS[language], *REPORTS[language])))
    spelled = draw(st.sampled_from((words.upper(), words[0].upper() + words[1:])))
    return draw(st.sampled_from(LABELS)).format(spelled) + said


def _said(form: str) -> str:
    return f"{form.format(CORRECTED)} new."


@LIMITS
@given(cases(corrections()))
def test_no_passage_that_corrects_another_is_outside_the_conclusion(case: Case) -> None:
    found = words_of(case.conclusion)
    assert found == [CORRECTED, IMPRESSION], case.text
    assert sorted(concluded(case)) == [CORRECTED, IMPRESSION], case.text
    assert (CORRECTED in flagged(case)) == (CORRECTED in flagged_in_fhir(case)) == case.is_critical, case.text


@LIMITS
@given(cases(corrections(), ("above", "below a title", "below", "behind the signature")))
def test_no_flag_stands_on_what_an_explicit_correction_takes_back(case: Case) -> None:
    assert flagged(case) == flagged_in_fhir(case) == ([CORRECTED] if case.is_critical else []), case.text


@LIMITS
@given(cases(st.sampled_from(UNCLEAR).map(lambda form: form.format(CORRECTED)), ("above", "below a title")))
def test_what_might_correct_joins_the_conclusion_and_moves_no_flag(case: Case) -> None:
    assert words_of(case.conclusion) == [CORRECTED, IMPRESSION]
    assert concluded(case) == [CORRECTED, IMPRESSION]
    both = [CORRECTED, IMPRESSION] if case.is_critical else []
    assert flagged(case) == both
    assert len(flagged_in_fhir(case)) == len(both)
    issues = to_fhir(case.study, SITE, case.facts).issues
    assert "correction-unclear" in {issue.code for issue in issues}
    if not case.has_addendum and not case.facts.corrected:
        observations = [one for one in case.resources if one["resourceType"] == "Observation"]
        assert {one["status"] for one in observations if "valueString" in one} == {"final"}


@LIMITS
@given(cases(st.sampled_from(HINTED).map(_said), OUTSIDE))
def test_a_sentence_under_a_label_that_might_be_of_a_correction_joins_the_conclusion(case: Case) -> None:
    both = [CORRECTED, IMPRESSION]
    assert words_of(case.conclusion) == sorted(concluded(case)) == both
    assert sorted(flagged(case)) == (both if case.is_critical else [])
    assert len(flagged_in_fhir(case)) == (len(both) if case.is_critical else 0)
    assert "correction-unclear" in {issue.code for issue in to_fhir(case.study, SITE, case.facts).issues}


@LIMITS
@given(
    cases(st.sampled_from((*REMARKED, *INSIDE)).map(_said), ("above", "below a title"))
    | cases(st.sampled_from(INSIDE).map(_said), ("between",))
)
def test_a_sentence_under_a_label_of_no_custom_joins_the_conclusion(case: Case) -> None:
    assert words_of(case.conclusion) == sorted(concluded(case)) == [CORRECTED, IMPRESSION], case.text
    assert flagged(case) == ([CORRECTED, IMPRESSION] if case.is_critical else []), case.text
    assert "correction-unclear" in {issue.code for issue in to_fhir(case.study, SITE, case.facts).issues}


@LIMITS
@given(st.sampled_from((*OTHERS, *CUSTOMARY)), LANGUAGES, st.sampled_from(PLACES), st.booleans())
def test_a_text_without_a_correction_is_cut_and_concluded_with_as_without_the_words(
    other: str, language: str, place: str, is_critical: bool
) -> None:
    neutral = "Image quality is good."
    cuts, conclusions = [], []
    for sentence in (other, neutral):
        text = placed(sentence, language, place, IMPRESSION)
        case = Case(study(report(reportPlainText=text, isCritical=is_critical)), Facts(), text, is_critical, False)
        cuts.append([replace(one, body=one.body.replace(sentence, "")) for one in cut(text)])
        conclusions.append((case.conclusion.replace(sentence, ""), flagged(case), flagged_in_fhir(case)))
    assert cuts[0] == cuts[1]
    assert conclusions[0] == conclusions[1]


@LIMITS
@given(cases(st.sampled_from(NEGATED)))
def test_an_addendum_section_that_says_none_takes_no_flag_and_is_not_concluded_with(case: Case) -> None:
    assert "none" not in case.conclusion.lower() and "ddend" not in case.conclusion.lower().partition("report (")[0]
    assert words_of(case.conclusion) == [IMPRESSION]
    assert flagged(case) == flagged_in_fhir(case) == ([IMPRESSION] if case.is_critical else [])
    rows = "\n".join(row[5] for row in case.rows if row[3].startswith("19005-8"))
    assert "ddend" not in rows.lower()
