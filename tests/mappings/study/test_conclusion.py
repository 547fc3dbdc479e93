"""Conclusion of a report (decision D36): no superseded statement stands alone, in FHIR and in HL7 v2 alike.

https://hl7.org/fhir/R4/diagnosticreport-definitions.html#DiagnosticReport.conclusion, HL7 v2.5.1 §7.1.3, §7.4.2.8.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from fakes.er7_reader import all_of, unescape
from fakes.oru_example import ADDENDUM_ID, SITE, addendum, report, sent, study

from mappings import to_fhir
from mappings.model import Report, Study
from mappings.profile import Receiver, receiver
from mappings.study.conclusion import ABSENT, concluding_text, header, passages

GENERIC = receiver("generic")
ORIGINAL = "FINDINGS: Lungs clear.\nIMPRESSION: No acute disease."
REPORT = study(addendum()).reports[0]


def roles(text: str, original: str | None = None, *, is_addendum: bool = False) -> list[tuple[str, str]]:
    """Text of each passage with its role; blank passages are left out."""
    parts = [report(reportPlainText=original)] if original is not None else []
    parts.append((addendum if is_addendum else report)(reportPlainText=text))
    found = study(*parts)
    own = next(one for one in found.reports if one.is_addendum is is_addendum)
    return [(part.text, part.role) for part in passages(own, found.reports) if part.text]


def conclusion(what: Study, report_id: str = "") -> str:
    found = [one for one in to_fhir(what, SITE).output if one["resourceType"] == "DiagnosticReport"]
    return next(one["conclusion"] for one in found if one["id"].endswith(report_id.removeprefix("rep_")))


def observations(what: Study) -> dict[str, list[str]]:
    """Values of the Observations of each report; those marked critical begin with `AA `."""
    made: dict[str, list[str]] = {}
    for one in to_fhir(what, SITE).output:
        if one["resourceType"] == "Observation" and "valueString" in one:
            mark = "AA " if "interpretation" in one else ""
            made.setdefault(one["id"].rpartition("-")[0], []).append(mark + one["valueString"])
    return made


def coded(what: Study, code: str = "19005-8", to: Receiver = GENERIC) -> list[str]:
    """Lines under an observation identifier."""
    return [unescape(row[5]) for row in all_of(sent(what, to=to), "OBX") if row[3].startswith(code) and row[5] != " "]


def marked(what: Study) -> list[str]:
    """Lines marked critical."""
    return [unescape(row[5]) for row in all_of(sent(what), "OBX") if len(row) > 8 and row[8] == "AA"]


def test_the_addendum_section_of_a_report_is_concluded_with_before_its_impression() -> None:
    what = study(report(reportPlainText=f"{ORIGINAL}\nADDENDUM: Large pulmonary embolus.", isCritical=True))
    assert conclusion(what) == "ADDENDUM: Large pulmonary embolus.\n\nIMPRESSION: No acute disease."
    assert coded(what) == ["IMPRESSION: No acute disease.", "ADDENDUM: Large pulmonary embolus."]
    assert marked(what) == ["ADDENDUM: Large pulmonary embolus."]
    (found,) = observations(what).values()
    assert found == [
        "Lungs clear.",
        "Large pulmonary embolus.\n\nIMPRESSION: No acute disease.",
        "AA Large pulmonary embolus.",
    ]


def test_a_critical_addendum_section_is_marked_where_there_is_no_impression() -> None:
    what = study(report(reportPlainText="ADDENDUM: Large embolus.\nFINDINGS: Lungs clear.", isCritical=True))
    assert marked(what) == ["ADDENDUM: Large embolus."]
    (found,) = observations(what).values()
    assert found == ["AA Large embolus.", "Lungs clear."]
    assert conclusion(what) == "Large embolus."


@pytest.mark.parametrize("text", [f"ADDENDUM: Large embolus.\n\n{ORIGINAL}", f"{ORIGINAL}\n\nADDENDUM: Large embolus."])
def test_an_addendum_that_contains_its_report_is_what_it_adds(text: str) -> None:
    what = study(report(reportPlainText=ORIGINAL), addendum(reportPlainText=text, isCritical=True))
    assert marked(what) == ["ADDENDUM: Large embolus."]
    assert [line for line in coded(what) if not line.endswith("):")] == [
        "ADDENDUM: Large embolus.",
        "IMPRESSION: No acute disease.",
    ]
    original, added = (conclusion(what, one.report_id) for one in what.reports)
    assert [line for line in original.split("\n") if line and not line.endswith("):")] == [
        "Large embolus.",
        "No acute disease.",
    ]
    assert added == "ADDENDUM: Large embolus.\n\nIMPRESSION: No acute disease."


def test_what_an_addendum_adds_under_no_heading_has_an_observation_of_its_own() -> None:
    text = f"Large embolus in retrospect.\n\n{ORIGINAL}"
    what = study(report(reportPlainText=ORIGINAL), addendum(reportPlainText=text, isCritical=True))
    added = observations(what)[f"rep-{what.reports[1].report_id[4:]}"]
    assert added[0] == "AA Large embolus in retrospect."
    assert added[2].startswith("Large embolus in retrospect.")
    assert [one.startswith("AA") for one in added] == [True, False, False]


def test_both_languages_conclude_with_the_newest_addendum_first_and_the_impression_last() -> None:
    what = study(
        report(reportPlainText=ORIGINAL),
        addendum(reportPlainText="Comparison CT is now available."),
        addendum(
            reportId="rep_" + "5" * 32,
            signedAt="2026-01-06T17:45:00Z",
            reportPlainText="HISTORY: Fall.\nIMPRESSION: Large embolus.",
        ),
    )
    meant = [
        "ADDENDUM (06-Jan-2026 12:45 -0500, ALEX R SMITH MD):",
        "Large embolus.",
        "ADDENDUM (05-Jan-2026 12:45 -0500, ALEX R SMITH MD):",
        "Comparison CT is now available.",
        "REPORT (05-Jan-2026 11:30 -0500, ALEX R SMITH MD):",
        "No acute disease.",
    ]
    assert [line for line in conclusion(what, what.reports[0].report_id).split("\n") if line] == meant
    assert [line.removeprefix("IMPRESSION: ") for line in coded(what)] == meant


def test_the_flag_of_an_addendum_marks_nothing_of_its_report_and_that_of_a_report_marks_its_addendum_too() -> None:
    what = study(report(reportPlainText=ORIGINAL), addendum(reportPlainText="Large embolus.", isCritical=True))
    assert marked(what) == ["Large embolus."]
    original, added = observations(what).values()
    assert not any(one.startswith("AA") for one in original)
    assert added == ["AA Large embolus."]
    other = study(report(reportPlainText=ORIGINAL, isCritical=True), addendum(reportPlainText="No change."))
    assert marked(other) == ["No change.", "IMPRESSION: No acute disease."]


def test_a_switch_gives_what_an_addendum_says_the_identifier_of_an_addendum() -> None:
    what = study(report(reportPlainText=ORIGINAL), addendum(reportPlainText="Large embolus."))
    to = replace(GENERIC, addendum_obx3="addendum")
    assert coded(what, "55107-7^", to) == ["ADDENDUM (05-Jan-2026 12:45 -0500, ALEX R SMITH MD):", "Large embolus."]
    assert coded(what, "19005-8^", to)[-1] == "IMPRESSION: No acute disease."
    suffixed = replace(to, obx3_style="gdt_imp")
    assert coded(what, "55107-7&ADT^", suffixed)[-1] == "Large embolus."


def test_a_combined_heading_is_a_conclusion_in_both_languages() -> None:
    what = study(report(reportPlainText="FINDINGS AND IMPRESSION: Normal."))
    assert (conclusion(what), coded(what)) == ("Normal.", ["FINDINGS AND IMPRESSION: Normal."])


def test_several_impressions_keep_their_headings_and_their_order() -> None:
    text = "FINDINGS: a\nIMPRESSION HEAD: No bleeding.\nIMPRESSION NECK: No fracture."
    assert conclusion(study(report(reportPlainText=text))) == (
        "IMPRESSION HEAD: No bleeding.\n\nIMPRESSION NECK: No fracture."
    )


def test_a_report_without_an_impression_has_no_conclusion_and_no_header_in_one() -> None:
    what = study(report(reportPlainText="Lungs clear."), addendum(reportPlainText="Large embolus."))
    assert coded(what) == ["ADDENDUM (05-Jan-2026 12:45 -0500, ALEX R SMITH MD):", "Large embolus."]
    assert conclusion(what, what.reports[0].report_id).endswith("Large embolus.")
    (alone,) = [
        one
        for one in to_fhir(study(report(reportPlainText="Lungs clear.")), SITE).output
        if one["resourceType"] == "DiagnosticReport"
    ]
    assert "conclusion" not in alone


def test_sections_below_an_addendum_heading_are_the_addendums_where_the_report_stands_above() -> None:
    assert roles(f"{ORIGINAL}\nADDENDUM:\nFINDINGS: Embolus.") == [
        ("FINDINGS: Lungs clear.", ""),
        ("IMPRESSION: No acute disease.", "impression"),
        ("ADDENDUM:", "addendum"),
        ("FINDINGS: Embolus.", "addendum"),
    ]
    below = roles(f"{ORIGINAL}\nADDENDUM:\nFINDINGS: b\nIMPRESSION: Embolus.")
    assert [role for _, role in below] == ["", "impression", "addendum", "", "addendum"]


def test_an_addendum_heading_without_a_text_above_a_report_heads_what_follows_up_to_the_first_of_two_impressions() -> (
    None
):
    found = roles(f"ADDENDUM:\nIMPRESSION: Embolus.\n{ORIGINAL}")
    assert [role for _, role in found] == ["addendum", "addendum", "", "impression"]


def test_an_addendum_that_cannot_be_told_from_the_report_below_it_is_the_whole_text() -> None:
    assert {role for _, role in roles(f"ADDENDUM:\n{ORIGINAL}")} == {"addendum"}


def test_an_addendum_with_headings_alone_is_its_impression() -> None:
    found = roles("FINDINGS: Filling defect.\nIMPRESSION: Embolus.", ORIGINAL, is_addendum=True)
    assert found == [("FINDINGS: Filling defect.", ""), ("IMPRESSION: Embolus.", "addendum")]


@pytest.mark.parametrize(
    "text",
    [
        "Embolus.\nFINDINGS: Lungs clear now.\nIMPRESSION: No acute disease.",
        "FINDINGS: PE.\nIMPRESSION: no acute  disease.",
    ],
)
def test_an_impression_that_repeats_the_reports_is_not_what_an_addendum_says_alone(text: str) -> None:
    assert {role for _, role in roles(text, ORIGINAL, is_addendum=True)} == {"addendum"}


def test_an_addendum_that_edits_the_report_it_contains_is_its_addendum_section() -> None:
    edited = "FINDINGS: Lungs are clear.\nIMPRESSION: No acute findings.\nADDENDUM: Embolus."
    assert [role for _, role in roles(edited, ORIGINAL, is_addendum=True)] == ["", "copy", "addendum"]
    above = "ADDENDUM: Comparison is available.\nIMPRESSION: Benign nodule."
    assert [role for _, role in roles(above, ORIGINAL, is_addendum=True)] == ["addendum", "addendum"]


def test_an_addendum_whose_report_is_not_known_keeps_the_impression_that_stands_above_it() -> None:
    text = f"{ORIGINAL}\nADDENDUM: Embolus."
    assert [role for _, role in roles(text, is_addendum=True)] == ["", "impression", "addendum"]


def test_an_addendum_that_repeats_its_report_and_adds_nothing_is_the_whole_text() -> None:
    assert {role for _, role in roles(f"----\n{ORIGINAL}\n", ORIGINAL, is_addendum=True)} == {"addendum"}


def test_a_draft_of_an_addendum_is_not_known_to_add_anything() -> None:
    draft = replace(REPORT, status="in_progress")
    assert {part.role for part in passages(draft, ())} == {""}
    assert concluding_text(passages(draft, ())) == ""


def test_the_time_in_a_header_is_said_in_the_zone_of_the_facility() -> None:
    moment = datetime(2026, 1, 5, 20, 0, tzinfo=UTC)
    found = header(REPORT, moment, "A B", ZoneInfo("Asia/Kolkata"))
    assert found == "ADDENDUM (06-Jan-2026 01:30 +0530, A B):"


def test_a_moment_that_the_zone_cannot_hold_is_said_in_utc() -> None:
    moment = datetime(9999, 12, 31, 23, 0, tzinfo=UTC)
    assert header(REPORT, moment, "", ZoneInfo("Asia/Kolkata")) == "ADDENDUM (31-Dec-9999 23:00 UTC):"


def test_the_header_of_a_draft_says_that_it_is_not_signed() -> None:
    draft: Report = replace(REPORT, status="in_progress")
    assert header(draft, datetime(2026, 1, 5, 20, 0, tzinfo=UTC), "A B", None) == "ADDENDUM (not signed, A B):"


@pytest.mark.parametrize("text", [None, "", " ", "\n\n"])
def test_an_addendum_without_a_text_is_concluded_with_too(text: str | None) -> None:
    what = study(report(reportPlainText=ORIGINAL), addendum(reportPlainText=text, isCritical=True))
    above = "ADDENDUM (05-Jan-2026 12:45 -0500, ALEX R SMITH MD):"
    assert conclusion(what, what.reports[0].report_id).startswith(f"{above}\n{ABSENT}\n\nREPORT (")
    assert coded(what)[:2] == [above, ABSENT]
    assert marked(what) == [ABSENT]
    impression = next(one for one in to_fhir(what, SITE).output if one["id"].endswith("f7-s1"))
    assert (impression["status"], impression["valueString"].split("\n")[1]) == ("amended", ABSENT)


def test_what_stands_under_an_addendum_up_to_the_line_that_ends_it_is_its_own() -> None:
    text = f"ADDENDUM: Discussed with Dr. Jones.\nIMPRESSION: Large embolus.\n\nORIGINAL REPORT\n{ORIGINAL}"
    assert [role for label, role in roles(text)] == ["addendum", "addendum", "", "", "impression"]
    what = study(report(reportPlainText=text, isCritical=True))
    assert marked(what) == ["ADDENDUM: Discussed with Dr. Jones.", "IMPRESSION: Large embolus."]
    without_line = text.replace("ORIGINAL REPORT\n", "")
    assert [role for _, role in roles(without_line)] == ["addendum", "addendum", "", "impression"]


def test_an_addendum_that_contains_an_earlier_one_is_what_it_adds() -> None:
    second = {"reportId": "rep_" + "5" * 32, "signedAt": "2026-01-06T17:45:00Z"}
    what = study(
        report(reportPlainText=ORIGINAL),
        addendum(reportPlainText=f"{ORIGINAL}\n\nADDENDUM: Comparison available."),
        addendum(**second, reportPlainText=f"{ORIGINAL}\n\nADDENDUM: Comparison available.\n\nLarge embolus."),
    )
    lines = [line for line in conclusion(what, what.reports[0].report_id).split("\n") if line]
    assert lines[1] == "Large embolus."
    assert [line for line in coded(what) if not line.endswith("):")] == [
        *("Large embolus.", "ADDENDUM: Comparison available.", "IMPRESSION: No acute disease."),
    ]


def test_a_short_earlier_addendum_within_a_sentence_is_no_copy() -> None:
    second = {"reportId": "rep_" + "5" * 32, "signedAt": "2026-01-06T17:45:00Z"}
    what = study(
        report(reportPlainText=ORIGINAL),
        addendum(reportPlainText="No change."),
        addendum(**second, reportPlainText="No change. But a large embolus."),
    )
    assert conclusion(what, what.reports[0].report_id).split("\n")[1] == "No change. But a large embolus."


@pytest.mark.parametrize("heading", ["ADDENDUM IMPRESSION", "Revised impression", "CORRECTED IMPRESSION", "CORRECTION"])
def test_a_revised_impression_is_an_addendum_wherever_it_stands(heading: str) -> None:
    for text in (f"{ORIGINAL}\n\n{heading}: Large embolus.", f"{heading}: Large embolus.\n\n{ORIGINAL}"):
        what = study(report(reportPlainText=text, isCritical=True))
        assert conclusion(what) == f"{heading}: Large embolus.\n\nIMPRESSION: No acute disease."
        assert marked(what) == [f"{heading}: Large embolus."]


PRELIMINARY = "PRELIMINARY IMPRESSION: Large embolus.\n\nFINAL FINDINGS: Clear.\n\nFINAL IMPRESSION: No embolus."


@pytest.mark.parametrize(
    ("text", "new", "old"),
    [
        (PRELIMINARY, "FINAL IMPRESSION: No embolus.", "PRELIMINARY IMPRESSION: Large embolus."),
        (
            "REVISED REPORT:\nFINDINGS: a\nIMPRESSION: No embolus.\n\n"
            "PREVIOUS REPORT:\nFINDINGS: b\nIMPRESSION: Large embolus.",
            "IMPRESSION: No embolus.",
            "IMPRESSION: Large embolus.",
        ),
        (
            "PRELIMINARY REPORT\n\nFINDINGS: a\nIMPRESSION: Large embolus.\n\n"
            "FINAL REPORT\n\nFINDINGS: b\nIMPRESSION: No embolus.",
            "IMPRESSION: No embolus.",
            "IMPRESSION: Large embolus.",
        ),
        (
            "IMPRESSION: Large embolus.\n\nREVISED IMPRESSION: No embolus.",
            "REVISED IMPRESSION: No embolus.",
            "IMPRESSION: Large embolus.",
        ),
    ],
)
def test_a_superseding_impression_leads_and_is_flagged_and_the_other_is_never_final(
    text: str, new: str, old: str
) -> None:
    what = study(report(reportPlainText=text, isCritical=True))
    said = conclusion(what)
    assert said.index("No embolus.") < said.index("Large embolus.")
    impressions = [
        one
        for one in to_fhir(what, SITE).output
        if one["resourceType"] == "Observation" and "19005-8" in str(one["code"])
    ]
    status = {one["valueString"].rpartition("IMPRESSION: ")[2]: one["status"] for one in impressions}
    assert status == {"No embolus.": "final", "Large embolus.": "amended"}
    assert [one["valueString"].partition("\n")[0] for one in impressions if "interpretation" in one] == ["No embolus."]
    assert "IMPRESSION: Large embolus." not in marked(what) and new in marked(what)
    rows = [unescape(row[5]) for row in all_of(sent(what), "OBX") if row[3].startswith("19005-8") and row[5] != " "]
    whole = [line for line in text.split("\n") if line]
    first, last = sorted((whole.index(new), whole.index(old)))
    assert rows[-(last - first + 1) :] == whole[first : last + 1]


@pytest.mark.parametrize("findings", ["", "FINDINGS: Filling defect.\n"])
@pytest.mark.parametrize("title", ["PREVIOUS REPORT", "*** ORIGINAL REPORT ***"])
def test_an_earlier_report_in_an_addendum_is_superseded_whole_from_its_title_on(findings: str, title: str) -> None:
    new, old = "REVISED REPORT\nIMPRESSION: No embolus.", f"{title}\n{findings}IMPRESSION: Large embolus."
    what = study(report(), addendum(reportPlainText=f"{new}\n\n{old}", isCritical=True))
    said = conclusion(what, ADDENDUM_ID)
    assert said.index("No embolus.") < said.index(title) < said.index("Large embolus.")
    parts = passages(what.reports[1], what.reports)
    assert {one.role for one in parts if one.text and one.text in old} == {"superseded"}
    assert {one.role for one in parts if one.text and one.text in new} == {"addendum"}
    assert not {*old.split("\n")} & {*marked(what)}
    for one in to_fhir(what, SITE).output:
        if one["resourceType"] == "Observation" and ADDENDUM_ID[4:] in one["id"]:
            told = one["valueString"]
            assert ("Large" in told or "defect" in told) is (one["status"] == "amended")
            assert "interpretation" not in one or title not in told
            assert "Large" not in told or told.index("No embolus.") < told.index("Large")


@pytest.mark.parametrize("label", ["Second look", "Overread"])
def test_a_remark_beside_the_title_of_the_newer_report_stays_in_the_conclusion(label: str) -> None:
    text = f"FINAL REPORT\n{label}: The embolus is new.\nFINDINGS: a\nIMPRESSION: b\n\nPREVIOUS REPORT\nIMPRESSION: c"
    assert f"{label}: The embolus is new." in conclusion(study(report(reportPlainText=text)))


def test_impressions_of_different_examinations_stay_apart() -> None:
    text = "PRELIMINARY IMPRESSION CHEST: Embolus.\nFINAL IMPRESSION ABDOMEN: Normal."
    assert [role for _, role in roles(text)] == ["impression", "impression"]
    titled = "CT HEAD\n\nFINDINGS: a\nPRELIMINARY IMPRESSION: x\n\nCT NECK\n\nFINDINGS: b\nFINAL IMPRESSION: y"
    assert "superseded" not in {role for _, role in roles(titled)}


def test_an_addendum_with_two_impressions_says_the_newer_one_first() -> None:
    what = study(report(reportPlainText=ORIGINAL), addendum(reportPlainText=PRELIMINARY, isCritical=True))
    assert marked(what) == ["FINAL IMPRESSION: No embolus."]
    said = conclusion(what, what.reports[0].report_id)
    assert said.index("No embolus.") < said.index("Large embolus.") < said.index("No acute disease.")


def observed(text: str) -> dict[str, tuple[str, bool]]:
    """Status of the addenda's Observations of a critical report by their texts, and True if flagged."""
    made = to_fhir(study(report(reportPlainText=text, isCritical=True)), SITE).output
    found = [one for one in made if one["resourceType"] == "Observation" and "55107-7" in str(one["code"])]
    return {one["valueString"]: (one["status"], "interpretation" in one) for one in found}


FIRST, SECOND = "ADDENDUM 1: Large embolus.", "ADDENDUM 2: There is no embolus."


@pytest.mark.parametrize(
    "text",
    [
        f"{ORIGINAL}\n\n{FIRST}\n\n{SECOND}",
        f"{SECOND}\n\n{FIRST}\n\n{ORIGINAL}",
        f"{FIRST}\n\n{SECOND}\n\n{ORIGINAL}",
        f"{FIRST}\n\n{ORIGINAL}\n\n{SECOND}",
    ],
)
def test_only_the_newest_addendum_of_a_text_stands_alone_and_is_flagged(text: str) -> None:
    what = study(report(reportPlainText=text, isCritical=True))
    assert conclusion(what) == f"{SECOND}\n\n{FIRST}\n\nIMPRESSION: No acute disease."
    assert marked(what) == [SECOND]
    assert observed(text) == {
        "There is no embolus.": ("final", True),
        f"There is no embolus.\n\n{FIRST}": ("amended", False),
    }


def test_of_three_addenda_the_newest_comes_first() -> None:
    third = "ADDENDUM 3: Discussed."
    for text in (f"{FIRST}\n\n{SECOND}\n\n{third}\n\n{ORIGINAL}", f"{third}\n\n{SECOND}\n\n{FIRST}\n\n{ORIGINAL}"):
        said = conclusion(study(report(reportPlainText=text)))
        assert said.index(third) < said.index(SECOND) < said.index(FIRST) < said.index("No acute disease.")


def test_where_the_newest_addendum_is_not_known_all_are_shown_together_and_flagged() -> None:
    text = f"ADDENDUM: There is no embolus.\n\nADDENDUM: Large embolus.\n\n{ORIGINAL}"
    what = study(report(reportPlainText=text, isCritical=True))
    assert marked(what) == ["ADDENDUM: There is no embolus.", "ADDENDUM: Large embolus."]
    found = observed(text)
    assert [*found.values()] == [("amended", True)] * 2
    assert all("There is no embolus." in one and "Large embolus." in one for one in found)
    assert "correction-unclear" in {issue.code for issue in to_fhir(what, SITE).issues}


@pytest.mark.parametrize("line", ["PREVIOUS REPORT:\n", "PREVIOUS REPORT\n\n", "*** ORIGINAL REPORT ***\n"])
def test_an_earlier_report_directly_under_its_title_is_superseded(line: str) -> None:
    found = roles(f"FINDINGS: a\nIMPRESSION: No embolus.\n\n{line}IMPRESSION: Large embolus.")
    assert ("IMPRESSION: Large embolus.", "superseded") in found and ("IMPRESSION: No embolus.", "impression") in found


def test_an_addendum_section_that_says_none_has_no_role() -> None:
    what = study(report(reportPlainText=f"Addendum: none.\n\n{ORIGINAL}", isCritical=True))
    assert conclusion(what) == "No acute disease."
    assert coded(what) == marked(what) == ["IMPRESSION: No acute disease."]


def test_an_addendum_section_of_a_contained_report_is_concluded_with() -> None:
    whole = f"{ORIGINAL}\nADDENDUM: Large embolus."
    parts = roles(f"Discussed.\n\n{whole}", whole, is_addendum=True)
    assert [role for _, role in parts] == ["addendum", "", "copy", "copy"]


@pytest.mark.parametrize(
    "text",
    ["FINDINGS: Seen again. This report is amended to exclude embolism.", "CORRECTED FINDINGS: No embolus."],
)
def test_findings_that_correct_the_report_join_the_conclusion(text: str) -> None:
    found = roles(f"{text}\nIMPRESSION: Embolus.")
    assert [role for _, role in found] == ["doubtful", "impression"]


def test_a_text_without_headings_that_corrects_is_concluded_with_whole() -> None:
    text = "Seen again. This report is amended to exclude embolism."
    what = study(report(reportPlainText=text, isCritical=True))
    assert conclusion(what) == text
    assert (coded(what), marked(what)) == ([text], [text])
    page = f"<html><body>{text}</body></html>"
    assert [role for _, role in roles(page)] == [""]


def test_findings_and_impression_under_one_heading_have_the_code_of_an_impression_in_fhir() -> None:
    for heading in ("FINDINGS/IMPRESSION", "Befund & Beurteilung", "Epikrise", "Résultats et conclusion"):
        what = study(report(reportPlainText=f"{heading}: Normal."))
        found = [one for one in to_fhir(what, SITE).output if one.get("valueString") == "Normal."]
        assert [one["code"]["coding"][0]["code"] for one in found] == ["19005-8"]
        assert conclusion(what) == "Normal."
