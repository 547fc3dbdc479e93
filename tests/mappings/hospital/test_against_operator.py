"""Decisions D12, D48: not even an operator has a study answer another patient's order."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from fakes.hospital import AUTHORITIES, NOW, SITE, merges_of, number, order, patient, study

from mappings.hospital.groups import NO_MERGES, Merges
from mappings.hospital.known_order import KnownOrder
from mappings.hospital.match import KnownHospital, against_operator, order_search
from mappings.model import Facts
from mappings.patient.subjects import subjects


def against(*orders: KnownOrder, merges: Merges = NO_MERGES, is_disputed: bool = False, **said: Any) -> str:
    one = study("", **said)
    own = next(iter(subjects(one, one.reports, SITE, Facts()).values()))
    search = replace(order_search(one, own, AUTHORITIES, Facts()), is_disputed=is_disputed)
    return against_operator(search, orders, KnownHospital({}, AUTHORITIES, merges))


def test_an_operator_may_choose_an_order_that_shares_no_number_with_the_study() -> None:
    assert against(order()) == ""
    assert against(order(), order(placer="P2", accession="A2")) == ""


def test_an_operator_may_choose_an_order_of_another_time() -> None:
    assert against(order(at=NOW - timedelta(days=2000))) == ""


def test_an_order_for_another_number_of_the_patient_s_authority_is_refused() -> None:
    assert against(order(about=patient("4712"))) == "patient-number-differs"
    assert against(order(), order(placer="P2", accession="A2", about=patient("4712"))) != ""


def test_a_number_that_was_merged_into_the_other_is_the_same() -> None:
    assert against(order(about=patient("4712")), merges=merges_of(("4711", "4712"))) == ""
    swapped = merges_of(("4711", "4712"), ("4712", "4711"))
    assert against(order(about=patient("4712")), merges=swapped) == "merge-held"


def test_name_and_birth_date_may_contradict_only_where_a_patient_number_agrees() -> None:
    other = {"family": "ROE", "given": "ANN", "born": "19700101"}
    assert against(order(about=patient(**other))) == ""
    assert against(order(about=patient(number("4711", "ELSEWHERE"), **other))) == "patient-conflict"
    assert against(order(about=patient(None, **other))) == "patient-conflict"


def test_a_study_whose_patient_is_disputed_is_decided_elsewhere_first() -> None:
    assert against(order(), is_disputed=True) == "identity-conflict"


@pytest.mark.parametrize("effect", ["cancel", "replaced"])
def test_an_order_that_was_cancelled_or_replaced_is_answered_by_nothing(effect: str) -> None:
    assert against(order(effect=effect)) == "order-cancelled"


def test_two_orders_of_different_people_are_not_answered_together() -> None:
    theirs = order(placer="P2", accession="A2", about=patient(number("9", "ELSEWHERE"), family="ROE", given="ANN"))
    assert against(order(), theirs) in {"several-groups", "group-contradictory", "patient-conflict"}
