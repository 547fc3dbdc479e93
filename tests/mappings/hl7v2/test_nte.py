"""HL7 v2.5.1 §2.15.10."""

from dataclasses import replace

import pytest
from fakes.er7_reader import all_of, segments
from fakes.oru_example import addendum, codes, report, sent, study

from mappings.profile import Receiver, receiver

GENERIC = receiver("generic")
NOTED = study(
    report(reportPlainText="FINDINGS: f\nIMPRESSION:\na\nb", isCritical=True),
    technologistNotes=["moved | twice", " ", "late\nand tired"],
)


def of_kind(nte: str, disclaimer: str = "Not for\nlegal use.") -> Receiver:
    return replace(GENERIC, nte=nte, disclaimer=disclaimer)


def order(message: bytes) -> list[str]:
    return ["|".join(row[:6]) if row[0] == "NTE" else row[0] for row in segments(message)]


def test_a_disclaimer_stands_behind_the_order_as_formatted_text() -> None:
    found = order(sent(to=of_kind("disclaimer")))
    assert found[4:7] == ["OBR", r"NTE|1|L|Not for\.br\legal use.", "TQ1"]


def test_technologist_notes_stand_behind_the_last_line_each_in_an_nte() -> None:
    found = order(sent(NOTED, to=of_kind("notes")))
    assert found[-4:] == ["OBX", r"NTE|1|L|moved \F\ twice", r"NTE|2|L|late\.br\and tired", "ZDS"]
    assert sum(name.startswith("NTE") for name in found) == 2


@pytest.mark.parametrize(("nte", "number"), [("none", 0), ("disclaimer", 1), ("notes", 2), ("both", 3)])
def test_a_receiver_gets_the_comments_that_it_wants(nte: str, number: int) -> None:
    assert len(all_of(sent(NOTED, to=of_kind(nte)), "NTE")) == number


def test_a_profile_without_a_disclaimer_sends_none() -> None:
    assert all_of(sent(to=of_kind("disclaimer", " ")), "NTE") == []


def test_the_notes_stand_behind_the_newest_original() -> None:
    what = study(report(reportPlainText="a"), addendum(), technologistNotes=["n"])
    found = order(sent(what, to=of_kind("notes")))
    assert found[-2].startswith("NTE")
    assert sum(name.startswith("NTE") for name in found) == 1


def test_a_critical_result_is_said_behind_the_first_line_that_says_it() -> None:
    found = segments(sent(NOTED, to=replace(GENERIC, critical="nte")))
    names = ["|".join(row) if row[0] == "NTE" else row[5] for row in found if row[0] in ("OBX", "NTE")]
    assert names == ["FINDINGS: f", "IMPRESSION:", "a", "NTE|1|L|CRITICAL RESULT", "b"]
    assert {row[8] for row in found if row[0] == "OBX"} == {""}


def test_a_critical_result_is_not_said_behind_an_empty_line() -> None:
    what = study(report(reportPlainText="\n\nurgent", isCritical=True))
    found = segments(sent(what, to=replace(GENERIC, critical="nte")))
    assert [row[0] for row in found][-5:] == ["OBX", "OBX", "OBX", "NTE", "ZDS"]


def test_comments_at_one_place_are_counted_together() -> None:
    what = study(report(reportPlainText="a", isCritical=True), technologistNotes=["n"])
    found = order(sent(what, to=replace(of_kind("both"), critical="nte")))
    assert [name for name in found if name.startswith("NTE")] == [
        r"NTE|1|L|Not for\.br\legal use.",
        "NTE|1|L|CRITICAL RESULT",
        "NTE|2|L|n",
    ]


@pytest.mark.parametrize("text", ["tx_sections", "tx_repeat", "ft"])
def test_a_critical_result_is_said_once_a_report_in_every_style(text: str) -> None:
    found = order(sent(NOTED, to=replace(GENERIC, critical="nte", text=text)))
    assert found.count("NTE|1|L|CRITICAL RESULT") == 1


@pytest.mark.parametrize("critical", [None, False])
def test_what_is_not_critical_is_not_said_to_be(critical: bool | None) -> None:
    message = sent(study(report(isCritical=critical)), to=replace(GENERIC, critical="nte"))
    assert all_of(message, "NTE") == []


def test_the_reports_text_never_stands_in_a_comment() -> None:
    message = sent(study(report(reportPlainText="Xq7")), to=of_kind("both"))
    assert not any("Xq7" in field for row in all_of(message, "NTE") for field in row)


def test_a_note_longer_than_the_standard_has_it_is_sent_whole() -> None:
    what = study(technologistNotes=["x" * 70_000])
    assert all_of(sent(what, to=of_kind("notes")), "NTE")[0][3] == "x" * 70_000
    assert codes(what, to=of_kind("notes"))["length-exceeded"] == "/technologistNotes/0"


def test_a_note_that_is_the_null_or_holds_odd_characters_is_kept_readable() -> None:
    what = study(technologistNotes=['""', "a\x00b"])
    assert [row[3] for row in all_of(sent(what, to=of_kind("notes")), "NTE")] == ['"" ', "ab"]
    assert codes(what, to=of_kind("notes"))["character-removed"] == "/technologistNotes/1"
