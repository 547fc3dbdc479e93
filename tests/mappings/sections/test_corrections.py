"""Labels and sentences that correct a report are told from those about something else (D36)."""

from __future__ import annotations

import pytest
from fakes.corrections import CUSTOMARY, OTHERS

from mappings.sections import cut
from mappings.sections.corrections import (
    EARLIER,
    REVISED,
    USUAL,
    certainty,
    correction_label,
    is_hinted,
    is_negated,
    is_remarked,
    rank,
    title_rank,
)


@pytest.mark.parametrize(
    ("line", "label"),
    [
        ("***ADDENDUM 1/6/2026*** It is new.", "***ADDENDUM 1/6/2026***"),
        ("AMENDED REPORT 1/6/2026: It is new.", "AMENDED REPORT 1/6/2026:"),
        ("<<ADDENDUM>> It is new.", "<<ADDENDUM>>"),
        ("[ADDENDUM 1/6/2026]: It is new.", "[ADDENDUM 1/6/2026]:"),
        ("ADDENDUM It is new.", "ADDENDUM"),
        ("ADDENDUM 1/6/2026 No embolus.", "ADDENDUM 1/6/2026"),
        ("Addendum. It is new.", "Addendum."),
        ("Addendum - It is new.", "Addendum -"),
        ("ADDENDUM - 2 March 2026", "ADDENDUM - 2 March 2026"),
        ("2. Nachtrag vom 6. Januar 2026: Neu.", "2. Nachtrag vom 6. Januar 2026:"),
        ("Befundkorrektur: Neu.", "Befundkorrektur:"),
        ("Correção no laudo: Novo.", "Correção no laudo:"),
        ("Report (corrected): It is new.", "Report (corrected):"),
        (
            "Addendum #2 by Dr. A. Smith on 1/6/2026 at 10:15 AM: It is new.",
            "Addendum #2 by Dr. A. Smith on 1/6/2026 at",
        ),
        ("Corrected on 1/6/2026 by Dr. Smith. It is new.", "Corrected on 1/6/2026 by Dr. Smith."),
        ("This report has been amended. It is new.", "This report has been amended."),
        ("Please note the following correction: It is new.", "Please note the following correction:"),
        ("//ADDENDUM// It is new.", "//ADDENDUM//"),
        ("\u2022 ADDENDUM: It is new.", "\u2022 ADDENDUM:"),
        ("ADDENDUM>>> It is new.", "ADDENDUM>>>"),
        ("Note: correction to report of 1/6/2026: It is new.", "Note: correction to report of 1/6/2026:"),
        ("ADDENDUM; It is new.", "ADDENDUM;"),
        ("Erratum It is new.", "Erratum"),
    ],
)
def test_a_label_ends_at_its_colon_its_marks_or_before_its_text(line: str, label: str) -> None:
    found = correction_label(line)
    assert found is not None and line[: found.end].rstrip().startswith(label)
    assert "new" not in line[: found.end].lower() and not found.is_end


@pytest.mark.parametrize(
    "line",
    [
        *(
            "Corrected QT: 440",
            "Retracted tendon: 3 cm",
            "Amended order: new",
            "Scoliosis correction: done",
            "Corrected: 440",
        ),
        *("Retraction: nipple, left.", "Complement: C3 low.", "Precision: 0.5 mm.", "Corrección: quirúrgica en 2010."),
        *(
            "Attenuation correction: CT",
            "In addition: a CT",
            "Contrast added: yes",
            "No correction: x",
            "Final report: x",
        ),
        *("addendum to what was said before: x", 'ADDENDUM "x"', "ADDENDUM + x", "Correction factor: 3"),
        *("See addendum: below", "Correction\u2009" + "of the report " * 20, "AMENDED REPORT x2y: y"),
    ],
)
def test_a_line_about_something_else_has_no_label(line: str) -> None:
    assert correction_label(line) is None


@pytest.mark.parametrize("line", ["*** END OF ADDENDUM ***", "Ende des Nachtrags", "FIN DEL ADENDUM", "Addendum ends"])
def test_the_end_of_a_correction_is_none_of_its_own(line: str) -> None:
    found = correction_label(line)
    assert found is not None and found.is_end


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("I amend my report of yesterday to say that there is no embolus.", "explicit"),
        ("The impression of the prior report is retracted. No embolus.", "explicit"),
        ("Dieser Befund ersetzt den Befund vom 5.1.2026. Keine Embolie.", "explicit"),
        ("Ce compte rendu annule et remplace le précédent. Pas d'embolie.", "explicit"),
        ("The report of the CT was amended to exclude embolism.", "explicit"),
        ("Amended 1/6/2026. There is no embolus.", "explicit"),
        ("This report has been amended.", "doubtful"),
        ("AMENDED REPORT\n\nCT CHEST", "doubtful"),
        ("Amended after discussion with Dr. Smith.", "doubtful"),
        ("Amended to read as follows.", "doubtful"),
        ("See addendum below.", "doubtful"),
        ("The outside report was amended on 1/6/2026.", ""),
        ("The above report is incorrect and is retracted. No embolus.", "explicit"),
        ("Der Befund wird wie folgt korrigiert: Keine Embolie.", "explicit"),
        ("Corrections: none FINDINGS: Clear.", ""),
        ("The lungs are clear.", ""),
        *((sentence, "") for sentence in OTHERS),
    ],
)
def test_the_object_of_the_word_decides_what_a_sentence_corrects(text: str, expected: str) -> None:
    assert certainty(text) == expected


def test_below_the_first_heading_only_sentences_about_this_very_report_count() -> None:
    assert certainty("Seen again. This report is amended to exclude embolism.", is_own=True) == "explicit"
    assert certainty("The prior report was amended to exclude embolism.", is_own=True) == ""
    assert certainty("Errors in this dictation may not have been corrected.", is_own=True) == ""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        *(
            ("CT CHEST\nDiscrepancy: The embolus is new.", True),
            ("PS:\nNo embolus.", True),
            ("Withdrawn: Embolus.", False),
        ),
        *(("Additional information 1/6/2026: It is new.", True), ("Additional information: It is old.", False)),
        *(("Corr. 1/6/26: No embolus.", True), ("For clarification: There is no embolus.", True)),
        *(("Discrepancy: Yes, the ward was told.", False), ("Discrepancy: none.", False), ("PS: 5/5.", False)),
        *(("Updated: 1/6/2026 10:15", False), ("Leg length discrepancy: The left is longer.", False)),
        *(("Outside discrepancy: The CT is old.", False), ("Discrepancy: leg length, 1 cm.", False)),
    ],
)
def test_a_label_that_might_be_of_a_correction_has_a_sentence_and_no_other_subject(text: str, expected: bool) -> None:
    assert is_hinted(text) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        *(("Changed impression: The embolus is new.", True), ("Discrepancy 1/6/2026: There is no embolus.", True)),
        *(("Error: There is no embolus.", True), ("Please disregard the above: No embolus.", True)),
        *(("Additional comment by Dr. A: The embolus is new.", True), ("Post-read note: No embolus.", True)),
        *(("Please see the following correction: No embolus.", True), ("Motion correction: It is good.", False)),
        *(("Discrepancy: The left leg is longer.", False), ("Change 2.3 cm: The mass is larger.", False)),
        *(("Interval change: The mass is larger.", False), ("Additional findings: There is a cyst.", False)),
    ],
)
def test_inside_a_section_such_a_label_names_a_correction_an_error_an_author_a_report_or_a_date(
    text: str, expected: bool
) -> None:
    assert is_hinted(text, is_own=True) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        *(("CT CHEST\nSecond look: The embolus is new.", True), ("[Second look]\nThere is no embolus.", True)),
        *(("Zornblatt 14:20: There is no embolus.", True), ("Lungs [image 3] The embolus is new.", False)),
        *(("Motion correction: It was used.", False), ("Revised Atlanta classification: It is mild.", False)),
        *(("Second look: embolus", False), ("Second look: The patient was moved.", False)),
        *((one, False) for one in ("Referring physician: Dr. A. Jones, M.D.", *CUSTOMARY)),
    ],
)
def test_a_label_of_no_custom_has_a_sentence_that_is_not_about_the_patient(text: str, expected: bool) -> None:
    assert is_remarked(text) is expected


@pytest.mark.parametrize("line", ["Retraction: The embolus.", "RETRACTION: nipple", "Retraction: is not seen."])
def test_a_retraction_that_may_be_of_a_statement_has_a_label(line: str) -> None:
    assert correction_label(line) is not None


@pytest.mark.parametrize(
    "content", ["none.", "N/A", "-", "No addendum to this report.", "keine", "not applicable", "None\n\nCT CHEST"]
)
def test_nothing_is_said_by_a_negation(content: str) -> None:
    assert is_negated(content)


@pytest.mark.parametrize(
    "content", ["No embolus.", "None of the emboli is new.", "", "none.\nThe embolus is an artefact."]
)
def test_a_statement_is_more_than_a_negation(content: str) -> None:
    assert not is_negated(content)


@pytest.mark.parametrize(
    ("heading", "expected"),
    [
        *(("PRELIMINARY IMPRESSION:", EARLIER), ("IMPRESSION:", USUAL), ("REVISED IMPRESSION:", REVISED)),
        *(
            ("IMPRESSION (UPDATED):", REVISED),
            ("IMPRESSION (see addendum below):", USUAL),
            ("Ursprünglicher Befund:", EARLIER),
        ),
    ],
)
def test_a_heading_has_a_rank(heading: str, expected: int) -> None:
    assert rank(heading) == expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        *(("PREVIOUS REPORT:", EARLIER), ("*** FINAL REPORT ***", USUAL), ("REVISED REPORT 1/6/2026", REVISED)),
        *(("IMPRESSION:", None), ("CT CHEST", None), ("The previous report is not available.", None)),
    ],
)
def test_a_title_says_how_new_the_report_under_it_is(line: str, expected: int | None) -> None:
    assert title_rank(line) == expected


def test_a_label_without_a_text_is_the_title_of_the_report() -> None:
    text = "IMPRESSION: Old.\n\nREVISED REPORT\n\nFINDINGS: Clear.\nIMPRESSION: New."
    assert [(one.label, one.heading) for one in cut(text)] == [
        *(("impression", "IMPRESSION:"), ("", ""), ("findings", "FINDINGS:"), ("impression", "IMPRESSION:")),
    ]


@pytest.mark.parametrize("item", ["Amendment to impression: there is a nodule.", "Correction to IMPRESSION: clear."])
def test_an_amendment_inside_the_findings_is_a_section_of_its_own(item: str) -> None:
    assert [one.label for one in cut(f"FINDINGS:\nLungs clear.\n{item}")] == ["findings", "addendum"]


def test_marks_around_a_correction_in_one_line_set_it_apart() -> None:
    text = "***ADDENDUM 1/6/2026*** It is new. ***END OF ADDENDUM*** FINDINGS: Clear. IMPRESSION: Old."
    assert [(one.label, one.body.strip()) for one in cut(text)] == [
        ("addendum", "It is new."),
        ("", "***END OF ADDENDUM***"),
        ("findings", "Clear."),
        ("impression", "Old."),
    ]
