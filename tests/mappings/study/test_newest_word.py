"""Order of reports by their newest words, and the flags that an addendum shows (D17, D19, D22)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from fakes.oru_example import ADDENDUM_ID, REPORT_ID, TEXT, addendum, report, study

from mappings.model import Report
from mappings.study.newest_word import changed_after_addendum, flags_shown, is_followed, newest_first

SECOND = "rep_" + "4" * 32
LATER = "rep_" + "6" * 32


def reports(*made: dict[str, Any], changed: dict[str, str] | None = None) -> list[Report]:
    known = changed or {}
    return [replace(one, text_changed_at=known.get(one.report_id)) for one in study(*made).reports]


def later(**changes: Any) -> dict[str, Any]:
    return addendum(**{"reportId": LATER, "signedAt": "2026-01-06T10:00:00Z", **changes})


def second(**changes: Any) -> dict[str, Any]:
    text = {"reportId": SECOND, "signedAt": "2026-01-05T18:00:00Z", "reportPlainText": "IMPRESSION: Normal abdomen."}
    return report(**{**text, **changes})


def order(found: list[Report]) -> list[str]:
    return [one.report_id for one in newest_first(found)]


def shown(found: list[Report]) -> dict[str, list[str]]:
    return {key: [one.report_id for one in flags] for key, flags in flags_shown(found, found).items()}


def test_addenda_stand_first_the_newest_before_the_others_and_originals_as_they_come() -> None:
    found = reports(report(), second(), addendum(), later())
    assert order(found) == [LATER, ADDENDUM_ID, REPORT_ID, SECOND]


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ("2026-01-05T17:00:00Z", [LATER, ADDENDUM_ID, REPORT_ID]),
        ("2026-01-06T09:00:00Z", [LATER, REPORT_ID, ADDENDUM_ID]),
        ("2026-01-07T09:00:00Z", [REPORT_ID, LATER, ADDENDUM_ID]),
    ],
)
def test_an_original_stands_where_the_change_of_its_text_places_it(changed: str, expected: list[str]) -> None:
    found = reports(report(), addendum(), later(), changed={REPORT_ID: changed})
    assert order(found) == expected
    assert changed_after_addendum(found[0], found) is (expected[-1] != REPORT_ID)
    assert [one.report_id for one in found if not is_followed(one, found)] == list(
        dict.fromkeys([REPORT_ID, expected[0]])
    )


def test_an_older_addendum_whose_text_changed_last_is_the_newest() -> None:
    found = reports(report(), addendum(), later(), changed={ADDENDUM_ID: "2026-01-07T09:00:00Z"})
    assert order(found) == [ADDENDUM_ID, LATER, REPORT_ID]
    assert [is_followed(one, found) for one in found] == [False, False, True]


def test_the_newest_addendum_shows_the_flag_of_the_only_original_and_of_older_addenda() -> None:
    assert shown(reports(report(isCritical=True), addendum(), later())) == {LATER: [REPORT_ID]}
    assert shown(reports(report(), addendum(isCritical=True), later())) == {LATER: [ADDENDUM_ID]}


def test_an_addendum_that_is_critical_itself_shows_no_other_flag() -> None:
    assert shown(reports(report(isCritical=True), addendum(isCritical=True))) == {}


def test_of_several_originals_only_the_one_that_an_addendum_contains_has_its_flag_shown() -> None:
    critical = {"isCritical": True}
    assert shown(reports(report(**critical), second(**critical), addendum())) == {}
    whole = addendum(reportPlainText=f"It is an artefact.\n\n{TEXT}")
    assert shown(reports(report(**critical), second(**critical), whole)) == {ADDENDUM_ID: [REPORT_ID]}


def test_of_several_originals_two_addenda_that_contain_the_same_one_are_about_it() -> None:
    first = addendum(reportPlainText=f"Worse.\n\n{TEXT}", isCritical=True)
    found = reports(report(), second(), first, later(reportPlainText=f"It is an artefact.\n\n{TEXT}"))
    assert shown(found) == {LATER: [ADDENDUM_ID]}
    assert shown(reports(report(), second(), first, later(reportPlainText="It is an artefact."))) == {}


@pytest.mark.parametrize(
    "newer", [{"signedAt": "2026-01-08T09:00:00Z"}, {"updatedAt": "2026-01-08T09:00:00Z", "changed": True}]
)
def test_an_original_that_is_newer_than_its_addendum_keeps_its_flag_to_itself(newer: dict[str, Any]) -> None:
    changed = {REPORT_ID: newer["updatedAt"]} if newer.pop("changed", False) else {}
    assert shown(reports(report(isCritical=True, **newer), addendum(), changed=changed)) == {}


def test_an_addendum_without_a_time_of_signing_is_later_than_its_report() -> None:
    assert shown(reports(report(isCritical=True), addendum(signedAt=None))) == {ADDENDUM_ID: [REPORT_ID]}


def test_drafts_neither_show_a_flag_nor_have_one() -> None:
    draft = {"status": "in_progress", "signedAt": None}
    assert shown(reports(report(isCritical=True), addendum(**draft))) == {}
    assert shown(reports(report(isCritical=True, **draft), addendum())) == {}
