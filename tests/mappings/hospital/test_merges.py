"""HL7 v2.5.1 §3.3.40 (A40), §3.4.9 (MRG), decision D48: old numbers, each followed to the surviving one."""

from __future__ import annotations

import random
from itertools import permutations

import pytest
from fakes.hospital import AUTHORITIES, CITY, MERCY, merges_of, mrn, number
from fakes.scale import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from mappings.hospital.authorities import HospitalNumber
from mappings.hospital.events import IssuedNumber, NumberChange
from mappings.hospital.groups import MERGE_REASONS, Merges, ResolvedChange, merged, resolve_change


def ends(merges: Merges, *numbers: str) -> list[str]:
    return [merges.survivor(mrn(one)).value for one in numbers]


def held(merges: Merges) -> list[tuple[str, str, str]]:
    return [(one.change.prior.value, one.change.surviving.value, one.reason) for one in merges.held]


def doubted(merges: Merges, *numbers: str) -> list[bool]:
    return [merges.is_doubtful(mrn(one)) for one in numbers]


def test_a_number_that_gave_way_leads_to_the_surviving_one_and_any_other_to_itself() -> None:
    merges = merges_of(("1", "2"))
    assert (ends(merges, "1", "2", "3"), held(merges)) == (["2", "2", "3"], [])
    assert merges.survivor(mrn("1", "urn:oid:1.3.1")).value == "1"


def test_chains_are_followed_in_whatever_order_their_links_come() -> None:
    for links in permutations((("1", "2"), ("2", "3"), ("3", "4"))):
        assert ends(merges_of(*links), "1", "2", "3", "4") == ["4"] * 4


def test_a_change_that_is_told_twice_is_one() -> None:
    assert held(merges_of(("1", "2"), ("1", "2"), ("2", "3"), ("1", "2"))) == []


def test_a_number_that_survives_itself_is_held_and_in_no_doubt() -> None:
    merges = merges_of(("1", "1"))
    assert (held(merges), doubted(merges, "1")) == ([("1", "1", "merge-same-number")], [False])


def test_a_swap_is_held_and_leaves_both_numbers_in_doubt() -> None:
    merges = merges_of(("1", "2"), ("2", "1"), ("3", "1"))
    assert held(merges) == [("2", "1", "merge-swap")]
    assert doubted(merges, "1", "2", "3", "4") == [True, True, True, False]


def test_a_swap_stays_held_whatever_follows() -> None:
    assert held(merges_of(("1", "2"), ("2", "1"), ("2", "3"))) == [("2", "1", "merge-swap")]


def test_a_loop_is_held_and_leaves_its_numbers_in_doubt() -> None:
    merges = merges_of(("1", "2"), ("2", "3"), ("3", "1"))
    assert held(merges) == [("3", "1", "merge-loop")]
    assert (ends(merges, "1", "2", "3"), doubted(merges, "1", "2", "3")) == (["3"] * 3, [True] * 3)


def test_a_second_survivor_is_held_unless_both_survivors_become_one() -> None:
    merges = merges_of(("1", "2"), ("1", "3"))
    assert held(merges) == [("1", "3", "merge-second-survivor")]
    assert doubted(merges, "1", "2", "3") == [True, False, False]
    for links in permutations((("1", "2"), ("1", "3"), ("2", "3"))):
        merges = merges_of(*links)
        assert (ends(merges, "1", "2", "3"), held(merges)) == (["3"] * 3, [])


def change(prior: IssuedNumber, surviving: IssuedNumber, kind: str = "patient") -> ResolvedChange:
    return resolve_change(NumberChange(kind, surviving, prior), AUTHORITIES, CITY)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("prior", "surviving", "reason"),
    [
        (number("1"), number("2"), ""),
        (number("1"), number("2", "CITY", type_code="MR"), ""),
        (number("1", "CITY", type_code="PI"), number("2"), ""),
        (number("1", "ELSEWHERE"), number("2", "ELSEWHERE"), ""),
        (number("001"), number("1"), "merge-same-number"),
        (number("1", "MERCY"), number("2", "CITY"), "merge-other-authority"),
        (number("1", "MERCY"), number("2"), "merge-other-authority"),
        (number("1", "CITY", "1.3.1"), number("2", "CITY", "1.3.1"), "merge-other-authority"),
        (number("1", "CITY", type_code="PI"), number("2", "CITY", type_code="MR"), "merge-other-type"),
    ],
)
def test_only_numbers_of_one_authority_and_type_are_merged(
    prior: IssuedNumber, surviving: IssuedNumber, reason: str
) -> None:
    merges = merged([change(prior, surviving)])
    assert [one.reason for one in merges.held] == ([reason] if reason else [])
    assert bool(merges.survivors) == (not reason)
    assert merges.doubtful == frozenset()


def test_visits_and_accounts_have_merges_of_their_own() -> None:
    merges = merged([change(number("1"), number("2"), kind) for kind in ("visit", "account")])
    assert merges.survivor(AUTHORITIES.number("visit", number("1"), CITY)).value == "2"
    assert merges.survivor(AUTHORITIES.number("visit", number("1"), MERCY)).value == "1"
    assert ends(merges, "1") == ["1"]


def test_every_reason_has_a_test_and_a_sentence() -> None:
    made = merges_of(("1", "1"), ("2", "3"), ("3", "2"), ("4", "5"), ("5", "6"), ("6", "4"), ("7", "8"), ("7", "9"))
    other = merged(
        [change(number("1", "MERCY"), number("2")), change(number("1", type_code="PI"), number("2", type_code="MR"))]
    )
    assert {one.reason for one in (*made.held, *other.held)} == MERGE_REASONS.keys()


NUMBERS = [mrn(str(one)) for one in range(9)]
CHANGES = st.lists(st.builds(ResolvedChange, st.sampled_from(NUMBERS), st.sampled_from(NUMBERS)), max_size=12)


@settings(max_examples=examples(400))
@given(CHANGES)
def test_whatever_the_changes_a_survivor_survives_and_every_change_is_kept_or_held(
    changes: list[ResolvedChange],
) -> None:
    merges = merged(changes)
    refused = [one.change for one in merges.held]
    assert all(merges.survivor(merges.survivor(one)) == merges.survivor(one) for one in NUMBERS)
    assert all(merges.survivor(one.prior) == merges.survivor(one.surviving) for one in changes if one not in refused)
    assert set(refused) <= set(changes)


@settings(max_examples=examples(400))
@given(CHANGES, st.integers())
def test_where_each_number_gives_way_once_and_nothing_is_held_the_order_does_not_count(
    changes: list[ResolvedChange], seed: int
) -> None:
    once = list({one.prior: one for one in changes}.values())
    merges = merged(once)
    if merges.held:
        return
    random.Random(seed).shuffle(once)
    assert merged(once) == merges


def test_ten_thousand_merges_into_one_number_are_followed_at_once() -> None:
    chain = [(str(one), str(one + 1)) for one in range(1, 2_000)]
    assert ends(merges_of(*chain), "1") == ["2000"]
    star = merges_of(*[(str(one), "99999") for one in range(1, 10_000)])
    assert set(star.survivors.values()) == {HospitalNumber("patient", "urn:oid:1.2.1", "MR", "99999")}
