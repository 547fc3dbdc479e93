"""HL7 v2.5.1 §4.5.1.1 (ORC-1), decision D48: what was matched outlives a cancel, and is never silently matched anew."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from fakes.hospital import AUTHORITIES, MERCY, NOW, ORDERED, merges_of, number, order, patient, study

from mappings.hospital.groups import NO_MERGES, Merges
from mappings.hospital.match import REASONS, order_search
from mappings.hospital.settle_match import (
    ISSUE_CODES,
    EarlierMatch,
    NumberedOrders,
    SettledMatch,
    against_decision,
    left_out,
    settled_match,
)
from mappings.model import Facts, Study
from mappings.patient.subjects import subjects

ONE = order(placer="P1", filler="F1", accession="A1")
TWO = order(placer="P2", filler="F2", accession="A1")
OTHER = order(placer="P3", filler="F3", accession="A2")
SOMEBODY = order(placer="P1", filler="F1", accession="A1", about=patient("5001", given="MARY"))


def void(one, **changes):
    return replace(one, **{"ended": "cancelled", "ended_at": ORDERED + timedelta(hours=1)} | changes)


def search_of(one: Study):
    own = next(iter(subjects(one, one.reports, AUTHORITIES.site, Facts()).values()))
    return order_search(one, own, AUTHORITIES, Facts())


def settled(one: Study, known, merges: Merges = NO_MERGES, **earlier) -> SettledMatch:
    known = NumberedOrders(known, AUTHORITIES, merges)
    return settled_match(search_of(one), known, EarlierMatch(**earlier), NOW)


def decided(known, *numbers):
    """Return what speaks against an operator's decision, and the orders that it leaves out."""
    search, known = search_of(study()), NumberedOrders(known, AUTHORITIES, NO_MERGES)
    return against_decision(search, known, numbers), left_out(search, known, numbers, NOW)


def numbers(found: SettledMatch) -> list[tuple[int, bool]]:
    return [(one.numbers[0], one.is_cancelled) for one in found.orders]


def codes(found: SettledMatch) -> list[str]:
    return [issue.code for issue in found.issues]


def said(found: SettledMatch):
    return numbers(found), found.verdict, found.reason, codes(found)


def test_without_anything_earlier_the_study_answers_what_its_numbers_find():
    assert said(settled(study(), {4: ONE, 5: TWO, 6: OTHER})) == ([(4, False), (5, False)], "matched", "", [])
    assert said(settled(study("A9"), {4: ONE})) == ([], "none", "no-order", [])


def test_a_held_or_a_refused_match_is_an_issue_of_the_study():
    assert said(settled(study(), {4: void(ONE)})) == ([], "held", "order-cancelled", ["order-cancelled"])
    old = order(at=ORDERED - timedelta(days=900))
    assert said(settled(study(), {4: old})) == ([], "refused", "accession-reused", ["order-accession-reused"])
    found = settled(study(), {4: SOMEBODY})
    assert said(found) == ([], "held", "patient-number-differs", ["order-patient-number-differs"])


def test_two_records_of_one_order_by_two_senders_are_one_order_with_both_numbers():
    ris = replace(ONE.source, name="city-ris")
    later = order(placer="P1", filler="F1", accession="A1", source=ris, at=ORDERED + timedelta(hours=1))
    found = settled(study(), {4: ONE, 9: later})
    assert [one.numbers for one in found.orders] == [(9, 4)]
    chosen = settled(study(), {4: ONE, 9: later}, decision="match", chosen=(4, 9))
    assert [one.numbers for one in chosen.orders] == [(4, 9)]


@pytest.mark.parametrize("accession", ["A1", None])
def test_an_order_that_a_second_source_cancels_is_answered_no_more(accession):
    ris = replace(ONE.source, name="city-ris")
    told = order(placer="P1", accession=accession, source=ris, effect="cancel", at=ORDERED + timedelta(hours=1))
    orders = {4: ONE, 9: told}
    assert said(settled(study(), orders)) == ([], "held", "order-cancelled", ["order-cancelled"])
    assert said(settled(study(), orders, orders=(4,), is_sent=True))[:3] == ([(4, True)], "matched", "")


def test_a_cancel_that_names_the_accession_number_alone_ends_the_orders_of_its_patient_or_is_in_doubt():
    late = {"placer": None, "effect": "cancel", "at": ORDERED + timedelta(hours=1)}
    ris = replace(ONE.source, name="city-ris")
    orders = {4: ONE, 5: TWO, 9: order(source=ris, **late)}
    assert said(settled(study(), orders)) == ([], "held", "order-cancelled", ["order-cancelled"])
    for told in (order(source=ris, about=patient(None), **late), order(**late)):
        in_doubt = [], "held", "cancel-in-doubt", ["order-cancel-in-doubt"]
        assert said(settled(study(), {4: ONE, 9: told})) == in_doubt
        assert settled(study(), {4: ONE, 9: told}, decision="match", chosen=(4,)).verdict == "matched"
    unknown = {"filler": number("F9", "ELSE"), "about": patient(None)}
    for other in (unknown, {"about": patient("5001")}, {"at": ORDERED - timedelta(hours=1)}, {"accession": "A2"}):
        assert settled(study(), {4: ONE, 9: order(source=ris, **late | other)}).verdict == "matched"


def test_two_equal_orders_without_a_number_of_their_own_are_both_known():
    bare = order(placer=None, filler=None, accession="A1")
    assert settled(study(), {4: bare}).orders[0].numbers == (4,)


@pytest.mark.parametrize("is_sent", [False, True])
def test_a_matched_order_that_is_cancelled_later_stays_the_studys(is_sent):
    found = settled(study(), {4: void(ONE)}, orders=(4,), is_sent=is_sent)
    assert said(found) == ([(4, True)], "matched", "", [])


def test_a_cancelled_order_of_a_group_leaves_it_until_a_message_is_made():
    orders = {4: void(ONE), 5: TWO}
    assert said(settled(study(), orders, orders=(4, 5))) == ([(5, False)], "matched", "", [])
    found = settled(study(), orders, orders=(4, 5), is_sent=True)
    assert said(found) == ([(5, False), (4, True)], "matched", "", [])


def test_a_cancelled_order_for_another_patient_is_not_kept():
    found = settled(study(), {4: void(SOMEBODY)}, orders=(4,))
    assert numbers(found) == []
    assert found.verdict == "held"


def test_a_replaced_order_gives_way_to_its_heir_until_a_message_is_made():
    replaced = void(ONE, ended="replaced", replaced_by=(OTHER.placer, OTHER.filler))
    orders = {4: replaced, 6: OTHER}
    assert numbers(settled(study(), orders, orders=(4,))) == [(6, False)]
    found = settled(study(), orders, orders=(4,), is_sent=True)
    assert said(found) == ([(4, True)], "held", "order-match-changed", ["order-match-changed"])


def test_an_order_that_joins_the_group_after_a_message_is_answered_too():
    found = settled(study(), {4: ONE, 5: TWO}, orders=(4,), is_sent=True)
    assert said(found) == ([(4, False), (5, False)], "matched", "", [])


def test_a_study_whose_numbers_change_goes_over_to_other_orders_only_before_a_message_is_made():
    orders = {4: ONE, 6: OTHER}
    assert said(settled(study("A2"), orders, orders=(4,))) == ([(6, False)], "matched", "", [])
    found = settled(study("A2"), orders, orders=(4,), is_sent=True)
    assert said(found) == ([(4, False)], "held", "order-match-changed", ["order-match-changed"])


@pytest.mark.parametrize(("accession", "reason"), [("", "no-number"), ("A9", "no-order")])
def test_a_study_that_loses_its_numbers_keeps_its_order_only_after_a_message(accession, reason):
    assert said(settled(study(accession), {4: ONE}, orders=(4,))) == ([], "none", reason, [])
    found = settled(study(accession), {4: ONE}, orders=(4,), is_sent=True)
    assert said(found) == ([(4, False)], "held", "order-match-changed", ["order-match-changed"])


def test_an_order_of_somebody_else_that_comes_later_takes_nothing_from_a_study_that_was_sent():
    later = order(placer="P7", filler="F7", accession="A1", about=patient("5001", given="MARY"))
    found = settled(study(mrn=None), {4: ONE, 7: later}, orders=(4,), is_sent=True)
    wanted = ["order-match-changed", "order-several-groups"]
    assert said(found) == ([(4, False)], "held", "order-match-changed", wanted)


def test_an_order_whose_patient_turns_out_to_be_another_is_answered_no_more_though_a_message_was_made():
    found = settled(study(), {4: SOMEBODY}, orders=(4,), is_sent=True)
    wanted = ["order-match-changed", "order-patient-number-differs"]
    assert said(found) == ([], "held", "patient-number-differs", wanted)


def test_other_orders_take_no_place_of_one_whose_patient_turned_out_to_be_another():
    found = settled(study("A2"), {4: SOMEBODY, 6: OTHER}, orders=(4,), is_sent=True)
    assert said(found) == ([], "held", "order-match-changed", ["order-match-changed"])


def test_a_part_of_a_group_that_moved_to_another_accession_stays_after_a_message():
    moved = order(placer="P2", filler="F2", accession="A2")
    found = settled(study(), {4: ONE, 5: moved}, orders=(4, 5), is_sent=True)
    assert said(found) == ([(4, False), (5, False)], "held", "order-match-changed", ["order-match-changed"])


def test_earlier_orders_that_are_not_known_any_more_count_no_more():
    assert said(settled(study(), {6: OTHER}, orders=(4,), is_sent=True)) == ([], "none", "no-order", [])


def test_an_operator_lets_a_study_go_without_order():
    found = settled(study(), {4: ONE}, orders=(4,), is_sent=True, decision="release")
    assert said(found) == ([], "none", "released", [])


def test_an_operator_chooses_orders_that_the_studys_numbers_do_not_find():
    named = {"decision": "match", "chosen": (6,)}
    assert said(settled(study(), {4: ONE, 6: OTHER}, **named)) == ([(6, False)], "matched", "", [])
    assert said(settled(study(), {4: ONE, 6: void(OTHER)}, **named)) == ([(6, True)], "matched", "", [])


def test_an_operator_chooses_no_order_of_another_patient_number():
    named = {"decision": "match", "chosen": (4,)}
    found = settled(study(), {4: SOMEBODY}, **named)
    assert said(found) == ([], "held", "patient-number-differs", ["order-patient-number-differs"])
    merged = settled(study(), {4: SOMEBODY}, merges_of(("5001", "4711")), **named)
    assert said(merged) == ([(4, False)], "matched", "", [])


def test_an_operators_orders_are_answered_no_more_once_the_study_is_somebody_elses():
    given = {"decision": "match", "chosen": (4,), "is_sent": True, "orders": (4,)}
    named = {"mrn": None, "patient_name": "Mary Roe", "date_of_birth": "1950-01-01"}
    wanted = ([], "held", "patient-conflict", ["order-patient-conflict"])
    assert said(settled(study(**named), {4: ONE}, **given)) == wanted
    agrees = settled(study(**{**named, "mrn": "4711"}), {4: ONE}, **given)
    assert numbers(agrees) == [(4, False)]


def test_an_operators_orders_of_two_patients_are_not_answered():
    two = order(placer="P9", accession="A9", about=patient("5001"))
    found = settled(study(mrn=None), {4: ONE, 9: two}, decision="match", chosen=(4, 9))
    assert said(found) == ([], "held", "several-groups", ["order-several-groups"])


def test_an_operators_orders_that_are_gone_are_an_issue_and_the_numbers_decide():
    found = settled(study(), {4: ONE}, decision="match", chosen=(8,))
    assert said(found) == ([(4, False)], "matched", "", ["order-verdict-gone"])


def test_an_order_of_the_other_hospital_changes_nothing():
    theirs = order(placer="P1", filler="F1", accession="A1", source=MERCY)
    assert said(settled(study(), {4: ONE, 5: theirs}, orders=(4,))) == ([(4, False)], "matched", "", [])


def test_each_reason_that_holds_or_refuses_a_match_has_the_code_of_an_issue():
    assert [code for code, one in REASONS.items() if one.verdict != "none"] == list(ISSUE_CODES)


def test_an_operator_names_all_standing_orders_of_a_group():
    group = {4: ONE, 5: TWO, 6: void(order(placer="P4", filler="F4", accession="A1")), 7: OTHER}
    assert decided(group, 4) == ("", (5,))
    assert decided(group, 4, 5) == decided(group, 5, 4) == ("", ())
    assert decided(group, 7) == ("", ())


def test_the_record_that_another_source_has_of_an_order_need_not_be_named():
    ris = replace(ONE, source=replace(ONE.source, name="city-ris"))
    assert decided({4: ONE, 5: ris}, 4) == ("", ())
    assert decided({4: ONE, 5: ris, 6: TWO}, 5) == ("", (6,))


def test_orders_of_another_patient_or_of_another_time_are_no_part_of_a_group():
    assert decided({4: ONE, 5: SOMEBODY}, 4) == ("", ())
    old = order(placer="P9", accession="A1", at=ORDERED - timedelta(days=900))
    assert decided({4: ONE, 5: old}, 4) == decided({4: ONE, 5: old}, 5) == ("", ())


def test_no_operator_decides_for_an_order_that_any_source_cancelled_also_beside_one_that_stands():
    at = ORDERED + timedelta(hours=1)
    ris = order(effect="cancel", placer="P1", accession=None, source=replace(ONE.source, name="city-ris"), at=at)
    assert decided({4: ONE, 5: ris}, 4)[0] == "order-cancelled"
    assert decided({4: void(ONE), 5: TWO}, 4, 5)[0] == "order-cancelled"
