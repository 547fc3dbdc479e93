"""Report text cut at its headings: the texts of ../shared/report-texts, and styles seen elsewhere."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mappings.codes import SECTION_LOINC
from mappings.model import Section
from mappings.sections import HEADINGS, cut

TEXTS = Path(__file__).parents[4] / "shared" / "report-texts"
FILES = sorted(TEXTS.glob("*.json"))


def found(text: str) -> list[tuple[str, str]]:
    """(label, content) of every section that is not blank; the sections must add up to the text."""
    sections = cut(text)
    assert "".join(section.heading + section.body for section in sections) == text
    return [(section.label, section.content) for section in sections if section.content]


def labels(text: str) -> list[str]:
    return [section.label for section in cut(text)]


@pytest.mark.skipif(not FILES, reason="needs the report texts in ../shared, which are not here")
def test_the_shared_report_texts_are_there() -> None:
    assert any("expected_sections" in json.loads(file.read_text("utf-8")) for file in FILES)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_shared_report_text_is_cut_as_a_careful_reader_would(file: Path) -> None:
    case: dict[str, Any] = json.loads(file.read_text("utf-8"))
    sections = found(case["text"])
    if "expected_repeated" in case:
        assert [section for section in sections if section[0]] == [tuple(pair) for pair in case["expected_repeated"]]
    elif "expected_sections" in case:
        cuts = [case["expected_sections"], *case.get("expected_alternatives", [])]
        assert [section for section in sections if section[0]] in [list(expected.items()) for expected in cuts]
    unlabelled = [content for label, content in sections if not label]
    assert [
        case[part] for part in ("preamble", "trailer") if part in case
    ] == unlabelled or "expected_sections" not in case


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_shared_report_text_is_cut_at_just_its_headings(file: Path) -> None:
    case: dict[str, Any] = json.loads(file.read_text("utf-8"))
    if "expected_headers" in case:
        headings = [section.heading.strip(" \r\n:") for section in cut(case["text"]) if section.label]
        assert headings == case["expected_headers"]


def test_markdown_headings_repeat_where_the_report_repeats_them() -> None:
    text = "**MRI**\n\n**COMPARISON:**\n None.\n\n**FINDINGS:**   \n\nBrain.\n**COMPARISON**: old\n**FINDINGS** none\n"
    assert found(text) == [
        ("", "**MRI**"),
        ("comparison", "None."),
        ("findings", "Brain."),
        ("comparison", "old"),
        ("findings", "none"),
    ]
    assert cut(text)[1].heading == "**COMPARISON:**"


def test_the_empty_text_has_no_section() -> None:
    assert cut("") == ()


@pytest.mark.parametrize(
    "text", [" \n", "Normal chest.", "Normal chest.\nDictated by: A. Reader, M.D.", "Brain: normal.\nBones: intact."]
)
def test_a_text_without_a_heading_is_one_section_without_a_label(text: str) -> None:
    (section,) = cut(text)
    assert (section.label, section.heading, section.body) == ("", "", text)


@pytest.mark.parametrize(
    "text",
    [
        "<!DOCTYPE html>\n<html><body>\nFINDINGS: clear<br/>\nIMPRESSION: normal</body></html>",
        "\ufeff<?xml version='1.0'?>\n<report>\nFINDINGS: clear\n</report>".lstrip("\ufeff"),
        "{\\rtf1 \nFINDINGS: clear\n}",
    ],
)
def test_a_document_of_markup_is_not_cut(text: str) -> None:
    assert labels(text) == [""]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "FINDINGS: Normal brain MRI. No acute abnormality. IMPRESSION: Unremarkable brain MRI.",
            [("findings", "Normal brain MRI. No acute abnormality."), ("impression", "Unremarkable brain MRI.")],
        ),
        (
            "findings: normal brain. impression: unremarkable.",
            [("findings", "normal brain."), ("impression", "unremarkable.")],
        ),
        (
            "CT NECK   Indication: mass   Technique: axial   Findings:  \tno mass.",
            [("", "CT NECK"), ("indication", "mass"), ("technique", "axial"), ("findings", "no mass.")],
        ),
        (
            "INDICATION: Headache TECHNIQUE: MRI, 3 tesla FINDINGS: Normal IMPRESSION: Normal",
            [
                ("indication", "Headache"),
                ("technique", "MRI, 3 tesla"),
                ("findings", "Normal"),
                ("impression", "Normal"),
            ],
        ),
        ("FINDINGS - Clear. IMPRESSION - Normal.", [("findings", "Clear."), ("impression", "Normal.")]),
        (
            "CT BRAIN\nFindings: Normal. Impression: No bleed. Electronically signed by: A. Reader",
            [
                ("", "CT BRAIN"),
                ("findings", "Normal."),
                ("impression", "No bleed."),
                ("", "Electronically signed by: A. Reader"),
            ],
        ),
        (
            "EXAM: CT chest. TECHNIQUE: Axial.\nFINDINGS: Clear.\nIMPRESSION: Normal.",
            [("examination", "CT chest."), ("technique", "Axial."), ("findings", "Clear."), ("impression", "Normal.")],
        ),
        ("FINDINGS: Clear (all).\tIMPRESSION: Normal", [("findings", "Clear (all)."), ("impression", "Normal")]),
    ],
)
def test_headings_inside_a_line_are_found(text: str, expected: list[tuple[str, str]]) -> None:
    assert found(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "Of the findings: none is new.",
        "We reviewed the old findings: nothing changed. The impression: stable.",
        "Please see the following\nfindings: none is new.",
        "The chest is clear with no\nfindings\nto report.",
        "Correlate with the\nIMPRESSION: as it was dictated.",
        "No acute findings; a technique-related artefact - comparison is limited.",
        "Findings are as follows: none.",
        "Findings concerning for progression.\nComparison with the prior study shows no change.",
        "History of cough: three weeks.\nStudy date: 2026-01-02\nExam limited by motion.",
        "Comparison-based reading\nTechnique/quality: fair",
        "IMAGING FINDINGSX: none",
        "findings - as ever - are few.",
        "History of the left knee: a fall.",
        "Images of a joint replacement IMPRESSION: as discussed",
        "The lungs, the heart and the bones show no new\nFindings\nworth a word.",
        "Impressionen: keine",
        "Technique (as dictated by the resident who was on call that night, at length): axial",
    ],
)
def test_words_of_a_heading_in_prose_cut_nothing(text: str) -> None:
    assert labels(text) == [""]


@pytest.mark.parametrize(
    "body",
    [
        "LINES AND TUBES: None.\nLUNGS AND PLEURA:\nClear.\nBones: intact.\nOther findings: none.",
        "1. No change.\n2. Recommendation: follow-up.\n- Comparison: older study",
        "Stable nodule, which the prior\nimpression: called new, and the\ncomparison\nstudy showed.",
        "Contrast: 50 mL.\nComplications: none.\nPlan: none",
        "Unchanged\tCONTRAST: none.  EXAM: limited.\nBones.\nSoft tissues.",
        "The report was read\nreviewed by: nobody, or was it",
        "A stable nodule whose\nimpression: new, was wrong",
    ],
)
def test_what_may_be_prose_or_a_sub_heading_stays_in_its_section(body: str) -> None:
    assert found("FINDINGS:\n" + body) == [("findings", body)]


def test_capitals_inside_a_sentence_are_no_heading_where_the_first_heading_has_none() -> None:
    assert found("Findings: compare page two IMPRESSION: none") == [("findings", "compare page two IMPRESSION: none")]


def test_an_amendment_that_names_a_section_in_one_line_is_not_that_section() -> None:
    text = "ADDENDUM: Correction to IMPRESSION: no fracture"
    assert found(text) == [("addendum", "Correction to IMPRESSION: no fracture")]


@pytest.mark.parametrize(
    ("heading", "label"),
    [
        ("CONCLUSION:", "impression"),
        ("Opinion:", "impression"),
        ("IMPRESSIONS :", "impression"),
        ("INTERPRETATION:", "impression"),
        ("IMPRESSION AND RECOMMENDATIONS:", "impression"),
        ("REASON FOR EXAM:", "indication"),
        ("Reason for Examination:", "indication"),
        ("REASON FOR STUDY:", "indication"),
        ("CLINICAL INDICATION:", "indication"),
        ("INDICATION/CLINICAL QUESTION:", "indication"),
        ("INDICATION / CLINICAL QUESTION:", "indication"),
        ("CLINICAL HISTORY:", "history"),
        ("Clinical  information:", "history"),
        ("TECHNIQUES:", "technique"),
        ("COMPARISONS:", "comparison"),
        ("COMPARISON (CT of 2 May 10:30):", "comparison"),
        ("FINDINGS ABDOMEN:", "findings"),
        ("Findings CT chest and abdomen/pelvis:", "findings"),
        ("FINDINGS OF THE LEFT KNEE:", "findings"),
        ("FINDINGS AND IMPRESSION:", "findings_impression"),
        ("Findings & Impression:", "findings_impression"),
        ("FINDINGS&IMPRESSION:", "findings_impression"),
        ("FINDINGS/IMPRESSION:", "findings_impression"),
        ("FINDINGS / IMPRESSION:", "findings_impression"),
        ("RECOMMENDATION:", "recommendation"),
        ("ADDENDUM #2:", "addendum"),
        ("ADDENDUM 1 (2 May 2026):", "addendum"),
        ("CRITICAL RESULTS:", "critical_result"),
        ("CRITICAL COMMUNICATION:", "critical_result"),
        ("CRITICAL RESULTS/COMMUNICATION:", "critical_result"),
        ("ESTIMATED BLOOD LOSS:", "estimated_blood_loss"),
        ("EXAM:", "examination"),
        ("STUDY:", "examination"),
        ("PROCEDURE:", "procedure"),
        ("Befund:", "findings"),
        ("Beurteilung:", "impression"),
        ("Technik:", "technique"),
        ("Klinische Angaben:", "history"),
        ("Fragestellung:", "indication"),
        ("Voraufnahmen:", "comparison"),
        ("Hallazgos:", "findings"),
        ("IMPRESIÓN:", "impression"),
        ("IMPRESIO\u0301N:", "impression"),
        ("Técnica:", "technique"),
        ("Indicación:", "indication"),
        ("Comparación:", "comparison"),
        ("Conclusión:", "impression"),
        ("Résultats :", "findings"),
        ("RÉSULTAT\u00a0:", "findings"),
        ("Conclusion :", "impression"),
        ("Motif de l\u2019examen :", "indication"),
        ("Bevindingen:", "findings"),
    ],
)
def test_a_heading_of_the_table_gives_its_label(heading: str, label: str) -> None:
    (section,) = cut(heading + "\nTexto.")
    assert (section.label, section.heading, section.content) == (label, heading, "Texto.")


@pytest.mark.parametrize(
    "heading",
    [
        "FINDINGS:",
        "Findings :",
        "findings:",
        "FINDINGS::",
        "FINDINGS:-",
        "FINDINGS -",
        "FINDINGS --",
        "FINDINGS \u2013",
        "FINDINGS\uff1a",
        "FINDINGS",
        "Findings",
        "findings",
        "  FINDINGS:",
        "\u3000FINDINGS:",
        "**FINDINGS:**",
        "**FINDINGS**:",
        "**Findings**",
        "__Findings:__",
        "## Findings",
        "### FINDINGS ###",
        "*** FINDINGS ***",
        "===FINDINGS===",
        "--- FINDINGS ---",
        "[FINDINGS]",
        "[FINDINGS]:",
        "> FINDINGS:",
        "1. FINDINGS:",
        "2) Findings:",
        "2.1) Findings:",
        "IV. FINDINGS:",
        "**3. FINDINGS:**",
        "- FINDINGS:",
        "\u2022 Findings:",
        "\ufeffFINDINGS:",
        "\u200fFINDINGS\u200e:",
        "FINDINGS:\n---------",
        "FINDINGS\n=========",
    ],
)
def test_a_heading_may_be_decorated(heading: str) -> None:
    (section,) = cut(heading + "\nClear lungs.")
    assert (section.label, section.heading, section.content) == ("findings", heading, "Clear lungs.")


def test_a_rule_below_a_heading_with_text_is_text() -> None:
    assert found("FINDINGS: clear\n-----\nbones") == [("findings", "clear\n-----\nbones")]


def test_a_minus_sign_after_the_colon_is_text() -> None:
    assert found("FINDINGS:-5 HU") == [("findings", "-5 HU")]


def test_decoration_must_close_as_it_opened() -> None:
    assert labels("Findings** none\nImpression] none\n**Findings] none") == [""]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "\v", "\f", "\x85", "\u2028", "\u2029"])
def test_every_line_break_ends_a_line(end: str) -> None:
    text = end.join(["CT", "FINDINGS:", "Clear.", "", "IMPRESSION: Normal.", ""])
    assert found(text) == [("", "CT"), ("findings", "Clear."), ("impression", "Normal.")]


def test_lower_case_headings_follow_a_lower_case_heading() -> None:
    text = "technique: axial\ncomparison: none\nfindings\nare those of the prior\n\nimpression\nnormal"
    assert labels(text) == ["technique", "comparison", "impression"]


def test_bare_headings_under_short_lines_are_headings() -> None:
    text = "Comparison\nNone\nFindings\nClear lungs\nImpression\nNormal"
    assert found(text) == [("comparison", "None"), ("findings", "Clear lungs"), ("impression", "Normal")]


def test_a_minor_heading_of_the_same_case_is_a_heading() -> None:
    text = "Technique: CT.\nContrast: 50 mL.\nFindings: clear."
    assert found(text) == [("technique", "CT."), ("contrast", "50 mL."), ("findings", "clear.")]


def test_numbered_headings_are_headings_where_the_first_is_numbered() -> None:
    text = "1. TECHNIQUE: CT\n2. FINDINGS: clear\n3. IMPRESSION: normal"
    assert found(text) == [("technique", "CT"), ("findings", "clear"), ("impression", "normal")]


def test_white_space_before_the_first_heading_belongs_to_it() -> None:
    (section,) = cut("\n\n  FINDINGS: clear")
    assert section.heading == "\n\n  FINDINGS:"


def test_an_empty_section_is_kept() -> None:
    sections = cut("IMPRESSION:\nFINDINGS AND IMPRESSION:\nNormal.")
    assert [(section.label, section.content) for section in sections] == [
        ("impression", ""),
        ("findings_impression", "Normal."),
    ]


@pytest.mark.parametrize(
    "trailer",
    [
        "Dictated by: A. Reader, M.D.",
        "Signed By: A. Reader\nSigned Date/Time: 02/03/26 7:44 pm",
        "This document has been electronically signed by: A. Reader\non Jan 02",
        "  Electronically signed by A. Reader\nThe patient was calm.",
        "*Finalized Datetime: 2026*",
        "WSN: 12",
        "reviewed by: a. reader",
    ],
)
def test_a_signature_is_no_part_of_the_impression(trailer: str) -> None:
    assert found(f"IMPRESSION: Normal.\n{trailer}") == [("impression", "Normal."), ("", trailer.strip())]


def test_an_addendum_below_the_signature_is_an_addendum() -> None:
    text = "IMPRESSION: Normal.\nSigned by: A\nADDENDUM: A nodule.\nSigned by: B"
    assert [label for label, _ in found(text)] == ["impression", "", "addendum", ""]


def test_text_with_delimiters_bidi_and_other_scripts_is_kept_under_its_headings() -> None:
    text = "FINDINGS: a|b^c~d\\e&f \x0b\x1c\nשלום עולם: תקין\nIMPRESSION: \u2067سليم\u2069 \x07"
    sections = cut(text)
    assert [section.label for section in sections] == ["findings", "impression"]
    assert sections[0].body == " a|b^c~d\\e&f \x0b\x1c\nשלום עולם: תקין\n"


def test_a_long_text_keeps_its_two_headings() -> None:
    prose = "The lungs are clear, the findings: none, of no concern to anyone.\n" * 1000
    assert labels(f"FINDINGS:\n{prose}IMPRESSION: Normal.") == ["findings", "impression"]


def test_every_code_of_a_section_belongs_to_a_label_and_no_phrase_to_two() -> None:
    phrases = [phrase for group in HEADINGS.values() for phrase in group]
    assert set(SECTION_LOINC) <= set(HEADINGS)
    assert len(phrases) == len(set(phrases))
    assert [phrase for phrase in phrases if phrase != phrase.casefold()] == []


@pytest.mark.parametrize(("label", "phrase"), [(label, phrase) for label in HEADINGS for phrase in HEADINGS[label]])
def test_every_phrase_of_the_table_is_found(label: str, phrase: str) -> None:
    assert labels(f"{phrase.upper()}:\nText") == [label]
    assert labels(f"{phrase}: text") == [label]


def test_a_title_with_nothing_below_it_closes_a_section_and_is_no_heading() -> None:
    assert cut("ADDENDUM\nREPORT") == (Section("addendum", "ADDENDUM", "\n"), Section("", "", "REPORT"))


def test_a_list_item_that_is_the_only_heading_of_findings_or_impression_is_one() -> None:
    assert found("HISTORY: Pain.\n1. IMPRESSION: Fine.\n") == [("history", "Pain."), ("impression", "Fine.")]
    assert labels("EXAM: CT\nTECHNIQUE: x\n1. FINDINGS: a\n2. lungs\nIMPRESSION: b") == [
        *("examination", "technique", "findings", "impression"),
    ]
    assert labels("TECHNIQUE: x\nFINDINGS: a\n1. FINDINGS: b\n") == ["technique", "findings"]


def test_page_footers_that_text_follows_close_nothing_and_the_last_one_does() -> None:
    text = "FINDINGS: a\nIMPRESSION: b\nPage 1 of 2\nPage 1 of 2\nmore text\nPage 2 of 2"
    assert found(text) == [
        ("findings", "a"),
        ("impression", "b\nPage 1 of 2\nPage 1 of 2\nmore text"),
        ("", "Page 2 of 2"),
    ]


@pytest.mark.parametrize("words", ["ADDENDUM", "COMPARISON", "FINDINGS", "IMPRESSION", "RECOMMENDATION", "TECHNIQUE"])
def test_a_heading_of_these_sections_may_name_its_subject(words: str) -> None:
    assert labels(f"{words} CT CHEST:\nFine.\n") == [words.lower()]
    assert labels(f"{words} - CT CHEST:\nFine.\n") == [words.lower()]


def test_a_heading_of_another_section_names_no_subject() -> None:
    assert labels("HISTORY CT CHEST:\nFine.\n") == [""]
