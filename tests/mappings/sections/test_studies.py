"""Addenda, several examinations in one text, and weak words that head a section only without a plainer heading."""

from __future__ import annotations

import pytest
from fakes.cuts import pieces, told

from mappings.sections import cut

ORIGINAL = [("findings", "clear"), ("impression", "normal")]


@pytest.mark.parametrize(
    "heading",
    [
        "ADDENDUM:",
        "Addendum",
        "ADDENDUM #1",
        "ADDENDUM 2:",
        "ADDENDUM 1 of 2",
        "ADDENDUM 03/02/2026 10:15",
        "ADDENDUM 03/02/2026 10:15 AM:",
        "ADDENDUM - 2 March 2026",
        "ADDENDUM (2/3/2026 8:15 AM):",
        "Addendum by Ada Reader, MD on 2/3/2026 10:15 AM",
        "ADDENDUM #1 by Dr. Ada Reader on 03/02/2026 at 10:15 AM:",
        "ADDENDUM REPORT 03/02/2026:",
        "*** ADDENDUM ***",
        "----- ADDENDUM -----",
        "[ADDENDUM]",
        "Addendum Begins",
        "BEGIN ADDENDUM",
        "AMENDMENT:",
        "SUPPLEMENTARY REPORT:",
    ],
)
def test_an_addendum_is_found_above_and_below_the_original(heading: str) -> None:
    original = "EXAM: CT\nFINDINGS: clear\nIMPRESSION: normal"
    above = pieces(f"{heading}\nThere is a nodule.\n\n{original}")
    assert above[0] == ("addendum", "There is a nodule.")
    assert above[-2:] == ORIGINAL
    below = cut(f"{original}\n\n{heading}\nThere is a nodule.")
    assert [section.label for section in below] == ["examination", "findings", "impression", "addendum"]
    assert (below[3].heading, below[3].content) == (heading, "There is a nodule.")


def test_text_may_follow_the_time_of_an_addendum() -> None:
    text = "IMPRESSION: Normal.\n\nADDENDUM 02/14/2026 08:05 The dose was 310."
    assert pieces(text) == [("impression", "Normal."), ("addendum", "The dose was 310.")]


@pytest.mark.parametrize(
    "end",
    [
        "Addendum Ends",
        "*** END ADDENDUM #2 ***",
        "END OF ADDENDUM",
        "ORIGINAL REPORT",
        "*** ORIGINAL REPORT ***",
        "Original report follows:",
        "FINAL REPORT",
    ],
)
def test_an_addendum_ends_at_the_mark_of_its_end(end: str) -> None:
    text = f"ADDENDUM:\nThere is a nodule.\n{end}\n\nThe lungs are clear.\nIMPRESSION: normal"
    assert pieces(text) == [
        ("addendum", "There is a nodule."),
        ("", f"{end}\n\nThe lungs are clear."),
        ("impression", "normal"),
    ]


def test_headings_behind_an_addendum_are_sections_in_their_order() -> None:
    text = "*** ADDENDUM ***\nLate images.\nIMPRESSION: Bleeding.\n*** END ADDENDUM ***\nFINDINGS: none\nIMPRESSION: no"
    assert [label for label, _ in pieces(text)] == ["addendum", "impression", "", "findings", "impression"]


def test_prose_about_an_addendum_is_none() -> None:
    assert told("FINDINGS: a\nAddendum to the prior report was read.\nIMPRESSION: b")[0][1].startswith("a\nAddendum")


@pytest.mark.parametrize("form", ["IMPRESSION - {}:", "IMPRESSION ({}):", "IMPRESSION {}:", "{} IMPRESSION:"])
def test_several_impressions_keep_their_headings_and_their_order(form: str) -> None:
    head, neck = form.format("CT HEAD"), form.format("LEFT KNEE")
    sections = cut(f"FINDINGS: clear\n{head}\nNo bleed.\n{neck}\nNo tear.")
    assert [(section.heading, section.content) for section in sections[1:]] == [(head, "No bleed."), (neck, "No tear.")]
    assert {section.label for section in sections[1:]} == {"impression"}


@pytest.mark.parametrize(
    "title", ["CT CERVICAL SPINE", "CT of the cervical spine:", "**MRI NECK**", "LEFT ELBOW", "-----\nCT NECK\n-----"]
)
def test_the_title_of_the_next_examination_is_no_part_of_the_impression(title: str) -> None:
    text = f"FINDINGS: clear\nIMPRESSION: No bleed.\n\n{title}\n\nFINDINGS: aligned\nIMPRESSION: No fracture."
    assert told(text) == [
        ("findings", "clear"),
        ("impression", "No bleed."),
        ("findings", "aligned"),
        ("impression", "No fracture."),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "FINDINGS:\nNO MASS\n\nNORMAL HEART\n\nIMPRESSION:\nx",
        "FINDINGS:\nx\n\nCT CHEST: clear\n\nIMPRESSION:\nx",
        "FINDINGS:\nCT HEAD\nclear\n\nCT NECK\nclear\n\nIMPRESSION:\nx",
        "IMPRESSION:\nNormal\n\nCT recommended\n\nRECOMMENDATION: y",
    ],
)
def test_a_line_that_could_be_a_title_stays_where_no_examination_begins(text: str) -> None:
    assert [label for label, _ in pieces(text)] == [
        label for label in ("findings", "impression", "recommendation") if label.upper() in text
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Clinical details: Cough\nReport:\nclear\nConclusion: normal", ORIGINAL),
        ("CLINICAL HISTORY\nCough\n\nREPORT\nclear\n\nCOMMENT\nnormal", ORIGINAL),
        ("EXAM: CT\nFINAL REPORT: clear\nIMPRESSION: normal", ORIGINAL),
        ("EXAM: DXA\nRESULTS:\nclear\nINTERPRETATION: normal", ORIGINAL),
        ("INDICATION: Pain\nINTERPRETATION:\nclear\nIMPRESSION:\nnormal", ORIGINAL),
        ("HX: fall\nFX: clear\nDX: normal", ORIGINAL),
        ("IND: rash\nFINDINGS: clear\nDIAGNOSIS: normal", ORIGINAL),
        ("HISTORY: rash\nFINDINGS: clear\nASSESSMENT: normal\nRECOMMENDATION: none", ORIGINAL),
        ("INDICATION: rash\nFINDINGS: clear\nASSESSMENT AND PLAN: normal", ORIGINAL),
        ("IMPRESSION: normal\n\nDETAILS: clear", ORIGINAL[::-1]),
        ("RADIOLOGY REPORT\n\nHISTORY: cough\nFINDINGS: clear\nIMPRESSION: normal", ORIGINAL),
        ("Result: XR CHEST\nHistory: q\nFindings: clear\nImpression: normal", ORIGINAL),
        ("ULTRASOUND REPORT\nIndication: x\nFindings: clear\nConclusion: normal", ORIGINAL),
        ("HISTORY: x\nDIAGNOSIS: cancer\nTECHNIQUE: CT\nFINDINGS: clear\nIMPRESSION: normal", ORIGINAL),
        ("PREOPERATIVE DIAGNOSIS: x\nPOSTOPERATIVE DIAGNOSIS: y\nFINDINGS: clear\nIMPRESSION: normal", ORIGINAL),
        ("CLINICAL IMPRESSION: x\nTECHNIQUE: CT\nFINDINGS: clear\nIMPRESSION: normal", ORIGINAL),
    ],
)
def test_a_word_of_two_meanings_heads_a_section_where_no_plainer_heading_does(
    text: str, expected: list[tuple[str, str]]
) -> None:
    assert told(text) == expected


@pytest.mark.parametrize(
    "remark", ["ASSESSMENT: BI-RADS 1", "COMMENT: rare", "DIAGNOSIS: cancer", "BI-RADS ASSESSMENT: 2"]
)
def test_below_an_impression_it_is_a_part_of_it(remark: str) -> None:
    assert told(f"FINDINGS: clear\nIMPRESSION: Benign.\n{remark}")[1] == ("impression", f"Benign.\n{remark}")


@pytest.mark.parametrize(
    "part",
    [
        "Comparison: unchanged from prior.",
        "DEVICES: tube",
        "Other findings: none",
        "CHEST FINDINGS: clear",
        "FETAL ASSESSMENT: normal",
        "2. Impression: on the trachea",
        "Comparison is made to the prior.\nImpression upon the cord is mild.",
    ],
)
def test_a_part_of_the_findings_opens_no_section(part: str) -> None:
    assert told(f"FINDINGS:\nLUNGS: clear\n{part}\nIMPRESSION:\nx") == [
        ("findings", f"LUNGS: clear\n{part}"),
        ("impression", "x"),
    ]


def test_the_title_of_what_follows_is_no_part_of_the_section_before_it() -> None:
    text = "IMPRESSION:\nAbscess.\n\nNARRATIVE:\nEXAM: CT\nFINDINGS:\nWall is thick."
    assert told(text) == [("impression", "Abscess."), ("findings", "Wall is thick.")]


def test_a_title_with_a_colon_needs_no_empty_line_before_it() -> None:
    text = "FINDINGS: Mass.\nIMPRESSION: Mass.\nXR HAND RIGHT:\nFINDINGS: Clear.\nIMPRESSION: Normal."
    assert told(text)[1:3] == [("impression", "Mass."), ("findings", "Clear.")]


def test_a_comparison_inside_the_findings_is_a_part_of_them_where_it_had_its_own_section() -> None:
    text = "Comparison: 2025\nFindings: Mass.\nComparison: larger.\nBones: intact.\nImpression: Mass."
    assert told(text) == [("findings", "Mass.\nComparison: larger.\nBones: intact."), ("impression", "Mass.")]


def test_the_only_impression_is_found_inside_a_line_below_headings_in_capitals() -> None:
    text = "INDICATION: Pain\nFINDINGS: Bones: intact.\nSoft tissues: normal. Conclusion: Normal."
    assert told(text) == [("findings", "Bones: intact.\nSoft tissues: normal."), ("impression", "Normal.")]


@pytest.mark.parametrize("item", ["2. Findings: consistent with pneumonia", "Management: Continue screening"])
def test_an_item_of_the_impression_is_no_heading_below_one_in_capitals(item: str) -> None:
    text = f"Comparison: None\n\nIMPRESSION\n1. Nodule.\n{item}"
    assert told(text) == [("impression", f"1. Nodule.\n{item}")]


def test_an_impression_that_an_addendum_quotes_is_none_of_its_own() -> None:
    text = (
        "FINDINGS: a\nIMPRESSION: b\nADDENDUM:\nCOMPARISON: CT before.\nIMPRESSION: Old.\nFINDINGS: c\nIMPRESSION: d\n"
    )
    labels = ["findings", "impression", "addendum", "comparison", "findings", "impression"]
    assert [section.label for section in cut(text)] == labels
