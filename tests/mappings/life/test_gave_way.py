"""Numbers that gave way to others since a study's last ingest (D48): each merge is listed once."""

from __future__ import annotations

from typing import Any

from fakes.looks import SITE, addendum, report, study

from mappings.life.changes import NOBODY, GaveWay, gave_way
from mappings.model import Facts, MergedNumber, StatedNumber, Study
from mappings.patient.identifiers import keyed_patient_id

SYSTEM, OLD, NEW, LAST = "urn:oid:2.999.1", "41235", "50777", "60888"
MERGED = MergedNumber(SYSTEM, "MR", OLD, NEW)
OLD_STATED = StatedNumber(OLD, "GEN", SYSTEM, "MR")
BEFORE = study(report(), addendum())


def pat(number: str) -> str:
    return keyed_patient_id(SYSTEM, number, SITE)


def given(now: Study = BEFORE, *merged: MergedNumber, then: Facts | None = None, **facts: Any) -> GaveWay:
    return gave_way(BEFORE, then or Facts(), now, Facts(merged=merged, **facts), SITE)


def test_without_a_merge_nobody_gives_way() -> None:
    assert given() == NOBODY


def test_every_report_about_the_patient_is_named_with_the_old_patient_and_the_survivor() -> None:
    expected = GaveWay(frozenset(one.report_id for one in BEFORE.reports), frozenset({pat(OLD)}), frozenset({pat(NEW)}))
    assert given(BEFORE, MERGED) == expected


def test_a_merge_that_was_known_at_the_last_ingest_is_not_named_again() -> None:
    then = Facts(merged=(MERGED,))
    assert given(BEFORE, MERGED, then=then) == NOBODY


def test_of_a_chain_only_the_number_that_gave_way_since_is_named() -> None:
    then = Facts(merged=(MERGED,), old_numbers=(OLD_STATED,))
    both = (MergedNumber(SYSTEM, "MR", OLD, LAST), MergedNumber(SYSTEM, "MR", NEW, LAST))
    found = given(BEFORE, *both, then=then, old_numbers=(OLD_STATED, StatedNumber(NEW, "GEN", SYSTEM, "MR")))
    assert (found.patient_ids, found.survivor_ids) == (frozenset({pat(NEW)}), frozenset({pat(LAST)}))


def test_a_number_that_was_stored_with_another_namespace_is_one_number() -> None:
    elsewhere = StatedNumber(OLD, "ANOTHER", SYSTEM, "MR")
    assert given(BEFORE, MERGED, old_numbers=(elsewhere,)).patient_ids == frozenset({pat(OLD)})


def test_another_spelling_of_the_surviving_number_gives_no_way() -> None:
    spelled = MergedNumber(SYSTEM, "MR", "99", "0041235")
    assert given(BEFORE, spelled) == NOBODY
