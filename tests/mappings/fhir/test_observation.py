"""Observation (https://hl7.org/fhir/R4/observation.html; US Core Clinical Result, Body Height; D22-D24)."""

from __future__ import annotations

import pytest
from fakes.fhir_studies import addendum, codes, mapped, one, report, snapshot

from mappings.model import Facts
from mappings.profile import Site


def sections(found):
    return [
        each
        for each in found.output
        if each["resourceType"] == "Observation" and each["id"].rpartition("-")[2][0] == "s"
    ]


def vitals(found):
    return [
        each
        for each in found.output
        if each["resourceType"] == "Observation" and each["id"].endswith(("-height", "-weight"))
    ]


def test_each_section_is_an_observation_that_the_report_lists() -> None:
    found = mapped()
    made = sections(found)
    assert [each["valueString"] for each in made] == ["Normal brain.", "Unremarkable."]
    listed = [each["reference"] for each in one(found, "DiagnosticReport")["result"]]
    assert listed == [f"Observation/{each['id']}" for each in made]
    assert made[0]["category"][0]["coding"][0]["code"] == "imaging"
    assert made[0]["effectiveDateTime"] == one(found, "DiagnosticReport")["effectiveDateTime"]


def test_findings_carry_both_codes_in_use_and_the_heading_as_text() -> None:
    first, second = (each["code"] for each in sections(mapped()))
    assert [each["code"] for each in first["coding"]] == ["59776-5", "18782-3"]
    assert [each["code"] for each in second["coding"]] == ["19005-8"]
    assert (first["text"], second["text"]) == ("FINDINGS", "IMPRESSION")


def test_a_section_of_a_kind_without_a_code_has_its_heading_as_text_alone() -> None:
    made = sections(mapped(report(reportPlainText="TECHNIQUE: Axial.\nFINDINGS: Normal.")))
    assert made[0]["code"] == {"text": "TECHNIQUE"}


def test_a_text_without_headings_is_one_observation_and_no_guess() -> None:
    found = mapped(report(reportPlainText="All is well."))
    made = sections(found)
    assert [each["valueString"] for each in made] == ["All is well."]
    assert made[0]["code"]["coding"][0]["code"] == "18748-4"
    assert "conclusion" not in one(found, "DiagnosticReport")
    assert "sections-not-found" in codes(found)


def test_an_empty_section_is_none() -> None:
    made = sections(mapped(report(reportPlainText="FINDINGS:\n\nIMPRESSION: Normal.")))
    assert [each["valueString"] for each in made] == ["Normal."]


@pytest.mark.parametrize(
    ("text", "flagged"),
    [
        ("FINDINGS: a\nIMPRESSION: b", ["b"]),
        ("HISTORY: h\nFINDINGS: a", ["h", "a"]),
        ("FINDINGS: a\nIMPRESSION: b\nADDENDUM: c", ["c"]),
        ("no headings", ["no headings"]),
    ],
)
def test_critical_flags_the_addendum_else_the_impression_else_everything(text: str, flagged: list[str]) -> None:
    made = sections(mapped(report(isCritical=True, reportPlainText=text)))
    marked = [each for each in made if "interpretation" in each]
    assert [each["valueString"] for each in marked] == flagged
    assert marked[0]["interpretation"][0]["coding"][0]["code"] == "AA"


@pytest.mark.parametrize("value", [False, None])
def test_not_critical_asserts_nothing(value: bool | None) -> None:
    assert not any("interpretation" in each for each in sections(mapped(report(isCritical=value))))


@pytest.mark.parametrize("text", ["", " "])
def test_critical_without_a_text_is_flagged_on_an_observation_without_a_value_and_is_an_issue(text: str) -> None:
    found = mapped(report(isCritical=True, reportPlainText=text))
    [made] = sections(found)
    assert made["interpretation"][0]["coding"][0]["code"] == "AA"
    assert made["code"]["coding"][0]["code"] == "18748-4"
    assert made["dataAbsentReason"]["coding"][0]["code"] == "unknown"
    assert one(found, "DiagnosticReport")["result"] == [{"reference": f"Observation/{made['id']}"}]
    assert "critical-without-text" in codes(found)


def test_height_and_weight_are_vital_signs_of_the_patient_and_no_results() -> None:
    found = mapped()
    height, weight = vitals(found)
    assert height["id"] == "rep-" + "3" * 32 + "-height"
    assert height["valueQuantity"] == {
        "value": 165,
        "unit": "cm",
        "system": "http://unitsofmeasure.org",
        "code": "cm",
    }
    assert weight["code"]["coding"][0]["code"] == "29463-7"
    assert height["category"][0]["coding"][0]["code"] == "vital-signs"
    assert (height["status"], height["effectiveDateTime"]) == ("final", "2024-03-15T14:30:00-04:00")
    listed = str(one(found, "DiagnosticReport")["result"])
    assert "height" not in listed


def test_an_impossible_measurement_is_not_published() -> None:
    found = mapped(report(snapshotMetadata=snapshot(height={"unit": "cm", "value": 0})))
    assert [each["id"][-6:] for each in vitals(found)] == ["weight"]
    assert "measurement-impossible" in codes(found)


@pytest.mark.parametrize("day", [None, "2024-03", "2024-02-30"])
def test_a_measurement_without_a_study_date_is_not_published(day: str | None) -> None:
    found = mapped(report(snapshotMetadata=snapshot(studyDate=day)))
    assert vitals(found) == []
    assert "measurement-undated" in codes(found)


def test_an_addendum_that_repeats_a_measurement_makes_none_and_one_that_differs_makes_its_own() -> None:
    other = snapshot(weight={"unit": "kg", "value": 63})
    assert len(vitals(mapped(report(), addendum()))) == 2
    assert [each["id"][4] for each in vitals(mapped(report(), addendum(snapshotMetadata=other)))] == ["3", "3", "4"]


def test_what_an_addendum_says_of_another_day_or_patient_is_no_repetition() -> None:
    for other in ({"studyDate": "2024-03-16"}, {"mrn": "99", "dateOfBirth": "1950-01-01", "patientName": "ROE^RICH"}):
        assert len(vitals(mapped(report(), addendum(snapshotMetadata=snapshot(**other))))) == 4


def test_the_measurements_of_a_draft_are_preliminary() -> None:
    found = vitals(mapped(report(status="in_progress", signedAt=None), site=Site()))
    assert {each["status"] for each in found} == {"preliminary"}


def test_each_section_of_an_appended_report_is_amended_and_begins_with_its_addenda() -> None:
    text = "HISTORY: Fall.\nFINDINGS: Filling defect.\nIMPRESSION: Embolism."
    last = addendum("6", signedAt="2024-03-18T09:00:00Z", reportPlainText="It is an artefact.", isCritical=True)
    found = mapped(report(reportPlainText=text), addendum(), last)
    newest = "ADDENDUM (18-Mar-2024 05:00 -0400, Sarah Johnson):\nIt is an artefact.\n\n"
    older = "ADDENDUM (16-Mar-2024 05:00 -0400, Sarah Johnson):\nAddendum text."
    both = f"{newest}{older}\n\n"
    own = "REPORT (15-Mar-2024 12:00 -0400, Sarah Johnson):\n"
    made = {each["id"].removeprefix("rep-")[0] + each["id"][-1]: each for each in sections(found)}
    assert {place: each["valueString"] for place, each in made.items()} == {
        "30": f"{both}{own}HISTORY: Fall.",
        "31": f"{both}{own}FINDINGS: Filling defect.",
        "32": f"{both}{own}IMPRESSION: Embolism.",
        "40": f"{newest}{older}",
        "60": "It is an artefact.",
    }
    assert {each["status"] for place, each in made.items() if place != "60"} == {"amended"}
    assert {each["issued"] for each in made.values()} == {"2024-03-18T09:00:00Z"}
    assert [place for place, each in made.items() if "interpretation" in each] == ["60"]


def test_a_flag_on_a_section_that_begins_with_an_addendum_says_whose_it_is() -> None:
    found = mapped(report(isCritical=True, reportPlainText="FINDINGS: Filling defect."), addendum())
    marked = [each for each in sections(found) if "interpretation" in each]
    assert [each["valueString"] for each in marked] == [
        "ADDENDUM (16-Mar-2024 05:00 -0400, Sarah Johnson):\n"
        "CRITICAL FLAG OF REPORT (15-Mar-2024 12:00 -0400, Sarah Johnson):\nAddendum text.\n\n"
        "REPORT (15-Mar-2024 12:00 -0400, Sarah Johnson):\nFINDINGS: Filling defect."
    ]


def test_findings_that_an_addendum_repeats_from_its_report_begin_with_what_it_adds() -> None:
    text = "FINDINGS: Filling defect.\nIMPRESSION: Embolism."
    found = mapped(report(reportPlainText=text), addendum(reportPlainText=f"It is an artefact.\n\n{text}"))
    added = [each["valueString"] for each in sections(found) if each["id"].startswith("rep-4")]
    assert added[1] == "It is an artefact.\n\nFINDINGS: Filling defect."
    assert added[0] == "It is an artefact."


def test_an_addendum_in_a_report_that_another_repeats_begins_with_what_that_adds() -> None:
    text = "FINDINGS: Clear.\nIMPRESSION: Normal.\n\nADDENDUM: Small nodule."
    found = mapped(report(reportPlainText=text), addendum(reportPlainText=f"It is an artefact.\n\n{text}"))
    added = [each["valueString"] for each in sections(found) if each["id"].startswith("rep-4")]
    assert added[0] == "It is an artefact."
    assert all(each.startswith("It is an artefact.\n\n") for each in added[1:])
    assert added[-1].endswith("ADDENDUM: Small nodule.")


def test_only_a_status_of_final_becomes_amended() -> None:
    facts = Facts(corrected=frozenset({"rep_" + "4" * 32}))
    found = mapped(report(), addendum(), addendum("6", signedAt="2024-03-18T09:00:00Z"), facts=facts)
    statuses = {each["id"][4]: each["status"] for each in sections(found)}
    assert statuses == {"3": "amended", "4": "corrected", "6": "final"}
