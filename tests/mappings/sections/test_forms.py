"""Forms in which radiologists write a heading."""

from __future__ import annotations

from time import process_time

import pytest
from fakes.cuts import told

from mappings.sections import cut, heading_words

CLEAR = [("findings", "Clear."), ("impression", "Normal.")]


@pytest.mark.parametrize(
    ("findings", "impression"),
    [
        (">> FINDINGS <<\n", ">> IMPRESSION <<\n"),
        ("-- FINDINGS --\n", "-- IMPRESSION --\n"),
        ("=== FINDINGS: ===\n", "=== IMPRESSION: ===\n"),
        ("=====\nFINDINGS\n=====\n", "=====\nIMPRESSION\n=====\n"),
        ("(FINDINGS)\n", "(IMPRESSION)\n"),
        ("\u25c6 FINDINGS\n", "\u25c6 IMPRESSION\n"),
        ("(1) FINDINGS: ", "(2) IMPRESSION: "),
        ("FINDINGS.- ", "IMPRESSION.- "),
        ("Hallazgos.- ", "Conclusi\u00f3n.- "),
        ("F I N D I N G S : ", "I M P R E S S I O N : "),
        ("FINDINGS\t", "IMPRESSION\t"),
        ("FINDINGS   ", "IMPRESSION   "),
        ("FINDINGS ", "IMPRESSION "),
        ("FINDINGS. ", "IMPRESSION. "),
        ("FINDINGS; ", "IMPRESSION; "),
        ("FINDINGS\u2014", "IMPRESSION\u2014"),
        ("FINDINGS -> ", "IMPRESSION -> "),
        ("FINDINGS\u00a0:\u00a0", "IMPRESSION\u00a0:\u00a0"),
        ("FINDINGS          : ", "IMPRESSION        : "),
        ("Findings...: ", "Impression.: "),
        ("Findings. ", "Impression. "),
        ("Findings; ", "Impression; "),
        ("Findings\t", "Impression\t"),
        ("| FINDINGS | ", "| IMPRESSION | "),
        ("CT CHEST 02/03/2026 FINDINGS: ", "REVISED IMPRESSION: "),
        ("Intraoperative findings: ", "Final Impression\n"),
        ("FINDING(S): ", "IMPRESSION(S): "),
        ("Findings\n", "Impression\n"),
        ("findings: ", "imp: "),
        ("Find.: ", "Impr.: "),
        ("FINDINGS: ", "IMP/REC: "),
        ("FINDINGS (CONTINUED): ", "IMPRESSION #1: "),
        ("PRELIMINARY FINDINGS: ", "RADIOLOGIST'S IMPRESSION: "),
        ("CT ABDOMEN AND PELVIS FINDINGS:\n", "CT ABDOMEN AND PELVIS IMPRESSION:\n"),
        ("FINDINGS OF CT CHEST WITH CONTRAST:\n", "IMPRESSION OF CT CHEST:\n"),
        ("FINDINGS - ABDOMEN:\n", "IMPRESSION - CT ABDOMEN\n"),
        ("TECHNIQUE/FINDINGS: ", "CONCLUSION/RECOMMENDATION: "),
        ("FINDINGS AND RECOMMENDATIONS: ", "Summary and Recommendations: "),
        ("OBSERVATIONS:\n", "OPINION:\n"),
        ("<p><b>FINDINGS:</b> ", "</p>\n<p><b>IMPRESSION:</b> "),
        ("FINDINGS:\\.br\\", "\\.br\\\\.br\\IMPRESSION:\\.br\\"),
    ],
)
def test_a_heading_has_many_forms(findings: str, impression: str) -> None:
    assert told(f"{findings}Clear.\n{impression}Normal.\n") == CLEAR


@pytest.mark.parametrize(
    "text",
    [
        "HISTORY: cough | FINDINGS: Clear. | IMPRESSION: Normal.",
        "Hx: cough / Findings: Clear. / Imp: Normal.",
        "Hx: cough // Findings: Clear. // Imp: Normal.",
        "Hx: cough; findings: Clear. imp: Normal.",
        "Clinical History: Cough. Comparison: None.\nTechnique: PA.\nFindings: Clear. Impression: Normal.",
        "EXAM: CT CHEST\nHistory: Cough.\nTechnique: CT. Findings: Clear. Impression: Normal.\n",
        "HISTORY: Cough for weeks and\nfever now. FINDINGS: Clear.\n IMPRESSION: Normal.",
        "EXAM: CT.\rFINDINGS:\rClear.\rIMPRESSION:\rNormal.\r",
        "CT\x0cFINDINGS: Clear.\x0cIMPRESSION: Normal.",
        "Clinical info: cough\n\u2022 Findings: Clear.\n\u2022 Impression: Normal.",
        "- **Indication:** cough\n- **Findings:** Clear.\n- **Impression:** Normal.",
    ],
)
def test_headings_are_parted_in_many_ways(text: str) -> None:
    assert told(text) == CLEAR


def test_headings_of_a_text_in_one_line_need_no_full_stop_before_them() -> None:
    text = "Clinical History: Cough Findings: The lungs are clear Impression: Normal chest"
    assert told(text) == [("findings", "The lungs are clear"), ("impression", "Normal chest")]


def test_capitals_inside_a_wrapped_line_need_no_full_stop() -> None:
    text = "HISTORY: Cough with\nchills FINDINGS: The lungs are\nclear IMPRESSION: Normal\nchest."
    assert told(text) == [("findings", "The lungs are\nclear"), ("impression", "Normal\nchest.")]


@pytest.mark.parametrize(
    "above", ["The lungs are clear and the heart is of normal size", "- a long item that is no sentence as such"]
)
@pytest.mark.parametrize("heading", ["Impression", "IMPRESSION", "Summary"])
def test_a_heading_alone_on_its_line_needs_no_full_stop_above(above: str, heading: str) -> None:
    assert told(f"Findings\n{above}\n{heading}\n1. Normal.") == [("findings", above), ("impression", "1. Normal.")]


@pytest.mark.parametrize(
    "heading", ["FINDINGS, IMPRESSION AND RECOMMENDATIONS:", "Narrative & Impression", "IMPRESSION & FINDINGS:"]
)
def test_findings_and_impression_in_one_heading_are_one_section(heading: str) -> None:
    assert told(f"{heading}\nNormal.") == [("findings_impression", "Normal.")]


@pytest.mark.parametrize(
    "text",
    [
        "FINDINGS - LUNGS: clear.",
        "IMPRESSION RIGHT lower lobe",
        "FINDINGS ARE FEW",
        "Addendum 1/2/2026 shows more",
        "Impression normal",
    ],
)
def test_words_behind_a_heading_are_not_taken_into_it(text: str) -> None:
    assert "".join(section.heading for section in cut(text)).strip(" -") in ("", "FINDINGS")


def test_tags_are_no_part_of_a_section() -> None:
    sections = cut("<p><b>FINDINGS:</b> Clear.</p>\n<p><b>IMPRESSION:</b> Normal.</p>\n")
    assert [(section.label, section.content) for section in sections] == [*CLEAR, ("", "</p>")]
    assert [heading_words(section.heading) for section in sections] == ["FINDINGS", "IMPRESSION", ""]


@pytest.mark.parametrize(
    "heading", ["FINDINGS:", ">> FINDINGS <<", "[FINDINGS]", "=====\nFINDINGS\n=====", "**FINDINGS:**"]
)
def test_the_words_of_a_heading_are_without_its_decoration(heading: str) -> None:
    assert heading_words(heading) == "FINDINGS"


@pytest.mark.parametrize(
    "piece",
    [
        *(" ", "-", "_", ">", "(", '"', "a", "A ", "1. ", "\n", "-----\n", "| ", "/", "<p>", "</p> ", "</", "\\.br\\"),
        *("FINDINGS", "FINDINGS ", "FINDINGS: ", "FINDINGS:\n", "findings and ", "IMPRESSION - ", "IMPRESSION ("),
        *("CT HEAD ", "left knee ", "ADDENDUM by ", "ADDENDUM 1/2/2026 10:15 ", "CT HEAD\n\nFINDINGS: x\n\n"),
        *(
            "HISTORY: x\nFINDINGS: y\n",
            "COMPARISON: a. IMPRESSION: b. ",
            "REPORT: x\n",
            "F I N D I N G S",
            "E X A M : a\n",
        ),
        *("Dr. Ada Reader, ", "radiologist ", "I have ", "Page 1 of 2\n", "1/2/2026\n", "Electronically signed by X. "),
    ],
)
def test_the_time_to_cut_a_text_grows_with_its_length(piece: str) -> None:
    text = (piece * 60_000)[:60_000]
    started = process_time()
    assert "".join(section.heading + section.body for section in cut(text)) == text
    assert process_time() - started < 2  # seconds; 0.1 where it is linear


def test_a_break_between_an_empty_heading_and_a_closing_is_cut_once() -> None:
    text = "FINDING\\.br\\Dictated by"
    assert "".join(section.heading + section.body for section in cut(text)) == text


def test_a_closing_inside_a_line_ends_the_section() -> None:
    text = "FINDINGS: a\nmore text\nthe lungs are clear. Electronically signed by Dr A Smith"
    assert [section.body for section in cut(text)][-1] == "Electronically signed by Dr A Smith"
    text = "FINDINGS: a\nlungs are clear. Dictated by Dr A Smith\nIMPRESSION: b"
    assert [section.label for section in cut(text)] == ["findings", "", "impression"]
