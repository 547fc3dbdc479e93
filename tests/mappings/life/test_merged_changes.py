"""A merge of patient numbers is no other patient (D12, D13, D48): it causes no message and no move (D20)."""

from __future__ import annotations

from typing import Any

import pytest
from fakes.looks import SITE, addendum, kinds, report, study

from mappings.life.changes import Change, Known, changes
from mappings.model import MergedNumber, StatedNumber, Study

SYSTEM = "urn:oid:2.999.1"
MERGED = MergedNumber(SYSTEM, "MR", "41235", "50777")
NEW = {"mrn": "50777"}


def look(before: Study, now: Study, *merged: MergedNumber, known: Known | None = None) -> Change:
    """Compare two versions of a study once these merges are known."""
    earlier = known or changes(None, before, SITE).known
    made = Known(
        earlier.corrected,
        version=earlier.version,
        seen=earlier.seen,
        gone=earlier.gone,
        merged=merged,
        merged_before=earlier.merged_before,
        old_numbers=earlier.old_numbers,
    )
    return changes(before, now, SITE, made)


def quiet(change: Change) -> bool:
    return (change.causes, change.moved, change.corrected) == ((), frozenset(), frozenset())


def of(**snapshot: Any) -> Study:
    return study(report(snapshot=snapshot))


def test_a_merge_alone_is_no_change() -> None:
    before = study(report(), addendum())
    assert quiet(look(before, before, MERGED))


def test_the_surviving_number_said_later_is_no_change_whether_the_merge_was_applied_before_or_not() -> None:
    before, now = of(), of(**NEW)
    assert quiet(look(before, now, MERGED))
    applied = look(before, before, MERGED)
    assert quiet(look(applied.study, now, MERGED, known=applied.known))


def test_one_report_that_says_the_surviving_number_before_the_others_stays_with_them() -> None:
    before = study(report(), addendum())
    now = study(report(), addendum(snapshot=NEW))
    assert quiet(look(before, now, MERGED))
    assert quiet(look(now, study(report(snapshot=NEW), addendum(snapshot=NEW)), MERGED))


def test_the_surviving_number_in_another_spelling_is_no_change() -> None:
    assert quiet(look(of(), of(mrn="0050777"), MERGED))
    assert quiet(look(of(mrn="0050777"), of(mrn="0050777"), MERGED))


def test_the_old_number_said_again_is_no_change_while_the_merge_stands() -> None:
    assert quiet(look(of(**NEW), of(), MERGED))


def test_a_chain_of_merges_is_no_change_at_any_step() -> None:
    first = look(of(), of(), MERGED)
    chain = [MergedNumber(SYSTEM, "MR", one, "50888") for one in ("41235", "50777")]
    second = look(first.study, of(), *chain, known=first.known)
    third = look(second.study, of(mrn="50888"), *chain, known=second.known)
    assert quiet(second)
    assert quiet(third)
    assert third.old_numbers == tuple(StatedNumber(one, "MERCY", SYSTEM, "MR") for one in ("41235", "50777"))


@pytest.mark.parametrize("other", [{"mrn": "999"}, {**NEW, "patientName": "ROE^JOHN", "dateOfBirth": "1950-01-01"}])
def test_another_number_or_person_is_a_move_beside_a_merge(other: dict[str, Any]) -> None:
    change = look(of(), of(**other), MERGED)
    assert (kinds(change), len(change.moved)) == ([("patient_changed", "3")], 1)


def test_without_the_merge_the_surviving_number_is_a_move() -> None:
    for merged in (
        (),
        (MergedNumber("urn:oid:9", "MR", "41235", "50777"),),
        (MergedNumber(SYSTEM, "PI", "41235", "50777"),),
    ):
        change = look(of(), of(**NEW), *merged)
        assert (kinds(change), len(change.moved)) == ([("patient_changed", "3")], 1)


def test_a_corrected_name_beside_the_surviving_number_is_a_correction() -> None:
    change = look(of(), of(**NEW, patientName="DOE^JANET"), MERGED)
    assert (kinds(change), change.moved) == ([("patient_changed", "3")], frozenset())


def test_what_is_no_longer_said_beside_the_surviving_number_stays_as_it_was() -> None:
    change = look(of(), of(**NEW, dateOfBirth=None), MERGED)
    assert quiet(change)
    assert change.study.reports[0].snapshot.date_of_birth == "1970-01-01"


def test_a_merge_that_is_doubted_again_is_no_change_either() -> None:
    first = look(of(), of(), MERGED)
    assert quiet(look(first.study, of(), known=first.known))
