"""Headings in a quoted report open no section."""

from __future__ import annotations

import pytest
from fakes.cuts import pieces, told

OWN = "FINDINGS: Nodule is 6 mm.\nIMPRESSION: Growth."
SAID = [("findings", "Nodule is 6 mm."), ("impression", "Growth.")]


@pytest.mark.parametrize(
    "quoting",
    [
        "COMPARISON: CT of 2 May 2025. IMPRESSION: 4 mm nodule, stable.",
        "COMPARISON: CT of 2 May 2025. FINDINGS: 4 mm nodule. IMPRESSION: Stable.",
        "COMPARISON: CT of 2 May 2025. Impression: 4 mm nodule.",
        "COMPARISON: CT of 2 May 2025 (IMPRESSION: nodule). FINDINGS on that were few.",
        "COMPARISON: CT of 2 May 2025\nIMPRESSION: 4 mm nodule.",
        "HISTORY: Outside report reads:\nFINDINGS: mass.\nIMPRESSION: cancer.\n\nTECHNIQUE: CT",
        "HISTORY: Previous report (2023):\n\n    FINDINGS: nodule.\n    IMPRESSION: benign.\n\nTECHNIQUE: CT",
        "HISTORY: Fall\n> FINDINGS: old fracture\n> IMPRESSION: old",
        'COMPARISON: MRI 2024\n"FINDINGS: lesion.\nIMPRESSION: MS."\n',
        "HISTORY: He said \u201cthe\nIMPRESSION: cancer\u201d.",
        "INDICATION: Nodule. The report read:\nCONCLUSION: benign",
    ],
)
def test_a_heading_in_the_history_or_the_comparison_before_the_findings_opens_none(quoting: str) -> None:
    assert told(f"EXAM: CT CHEST\n{quoting}\n{OWN}") == SAID


@pytest.mark.parametrize(
    "text",
    [
        "HISTORY: MRI impression: MS. FINDINGS: Nodule is 6 mm. IMPRESSION: Growth.",
        "HISTORY: CT, findings: nodule, impression: benign. FINDINGS: Nodule is 6 mm. IMPRESSION: Growth.",
        'HISTORY: CT said "IMPRESSION: possible mass", sent here. FINDINGS: Nodule is 6 mm. IMPRESSION: Growth.',
    ],
)
def test_so_it_is_in_a_text_of_one_line(text: str) -> None:
    assert told(text) == SAID


def test_an_impression_that_comes_once_and_first_is_the_impression() -> None:
    text = "INDICATION: Cough\nIMPRESSION:\nPneumonia.\n\nFINDINGS:\nOpacity."
    assert told(text) == [("impression", "Pneumonia."), ("findings", "Opacity.")]


def test_headings_of_an_indented_report_that_come_once_are_its_own() -> None:
    text = "HISTORY: Cough\n    FINDINGS: Opacity.\n    IMPRESSION: Pneumonia."
    assert told(text) == [("findings", "Opacity."), ("impression", "Pneumonia.")]


def test_a_report_that_is_quoted_inside_or_behind_the_sections_opens_none() -> None:
    quoted = "The report of 2024 reads:\n> Findings: Disc.\n> Impression: Stenosis.\nThe disc is smaller."
    assert told(f"Findings: {quoted}\nImpression: Better.") == [("findings", quoted), ("impression", "Better.")]
    text = "FINDINGS: a\nIMPRESSION: b\n\nPRIOR REPORTS:\n    CT 2024\n    FINDINGS: c\n    IMPRESSION: d"
    assert told(text) == [("findings", "a"), ("impression", "b")]


def test_a_quotation_mark_that_is_never_closed_hides_no_heading() -> None:
    text = 'HISTORY: Patient says "pain.\nFINDINGS: The "target sign" is seen, 4" tube.\nIMPRESSION: Mass.'
    assert told(text) == [("findings", 'The "target sign" is seen, 4" tube.'), ("impression", "Mass.")]


def test_a_text_that_is_quoted_as_a_whole_is_cut() -> None:
    assert told('"HISTORY: Cough. FINDINGS: Clear. IMPRESSION: Normal."')[0] == ("findings", "Clear.")


def test_an_amended_impression_in_quotation_marks_is_part_of_the_addendum() -> None:
    text = 'FINDINGS: a\nIMPRESSION: b\n\nADDENDUM: It should read:\n"IMPRESSION: PE"'
    assert pieces(text)[-1] == ("addendum", 'It should read:\n"IMPRESSION: PE"')
