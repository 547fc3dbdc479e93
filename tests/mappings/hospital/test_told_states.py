"""HL7 v2.5.1 §4.5.1.1 (ORC-1), decision D48: an order is cancelled whichever of its sources says so."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from fakes.hospital import AUTHORITIES, CITY, MERCY, ORDERED, merges_of, number, order, patient

from mappings.hospital.groups import NO_MERGES
from mappings.hospital.settle_match import with_newest_states

RIS = replace(CITY, name="city-ris")
LATER = ORDERED + timedelta(hours=1)
HIS_ORDER = order(placer="P1", filler="F1", accession="A1")


def cancel(**changes):
    named = {"placer": "P1", "accession": None, "source": RIS, "at": LATER, "about": patient(), **changes}
    return order(effect="cancel", control="CA", **named)


def ends(*records, merges=NO_MERGES):
    return [one.ended for one in with_newest_states(dict(enumerate(records)), AUTHORITIES, merges).values()]


def test_a_cancel_that_another_source_tells_ends_the_order():
    assert ends(HIS_ORDER, cancel()) == ["cancelled", "cancelled"]
    assert ends(cancel(), HIS_ORDER) == ["cancelled", "cancelled"]
    assert ends(HIS_ORDER, cancel(placer=None, filler="F1")) == ["cancelled", "cancelled"]


def test_what_another_source_tells_later_counts_and_at_one_time_the_end():
    again = order(placer="P1", source=RIS, at=LATER + timedelta(hours=1))
    assert ends(cancel(source=CITY), again) == ["", ""]
    assert ends(cancel(at=ORDERED - timedelta(hours=1)), HIS_ORDER) == ["", ""]
    assert ends(HIS_ORDER, cancel(at=ORDERED)) == ["cancelled", "cancelled"]


def test_without_times_the_arrival_counts():
    timeless = replace(cancel(), state_of=replace(HIS_ORDER.state_of, times=(), timed_by=()))
    assert ends(HIS_ORDER, timeless) == ["cancelled", "cancelled"]


@pytest.mark.parametrize(
    "other",
    [
        cancel(placer="P2"),
        cancel(placer="P1", filler="F2"),
        cancel(placer=None, accession="A2"),
        cancel(placer=None, accession=number("A1", "MERCYRIS")),
        cancel(placer=None, accession="A1", about=patient("5001")),
        cancel(placer=None, accession="A1", about=patient(None)),
        cancel(placer=None, accession="A1", at=ORDERED - timedelta(hours=1)),
        cancel(placer=None, filler="F2", accession="A1"),
        cancel(placer=number("P9", "ELSE"), accession="A1"),
        cancel(about=patient("5001")),
        cancel(source=MERCY),
    ],
)
def test_the_cancel_of_another_order_ends_nothing(other):
    assert ends(HIS_ORDER, other) == ["", "cancelled"]


UNFILLED = order(placer="P1", accession="A1")


@pytest.mark.parametrize("filler", [None, "F1"])
def test_a_cancel_of_a_source_without_placer_numbers_ends_all_orders_under_the_accession(filler):
    other = order(placer="P2", accession="A1")
    told = cancel(placer=None, filler=filler, accession="A1")
    assert ends(UNFILLED, other, told) == ends(told, other, UNFILLED) == ["cancelled"] * 3
    again = order(placer="P2", accession="A1", at=LATER + timedelta(hours=1))
    assert ends(UNFILLED, again, told) == ["cancelled", "", "cancelled"]


@pytest.mark.parametrize("standing", [{"filler": "F2"}, {"placer": "P1", "filler": "F3"}])
def test_a_source_that_has_another_order_under_the_accession_ends_only_its_own(standing):
    told = cancel(placer=None, filler="F1", accession="A1")
    left = order(**{"placer": None, "accession": "A1", "source": RIS, "about": patient()} | standing)
    assert ends(UNFILLED, told, left) == ["", "cancelled", ""]


def test_a_cancel_under_the_surviving_number_of_the_patient_ends_the_order():
    other = cancel(about=patient("5001"))
    assert ends(HIS_ORDER, other, merges=merges_of(("4711", "5001"))) == ["cancelled", "cancelled"]


def test_a_completed_order_stays_completed():
    done = order(placer="P1", status="CM", source=RIS, at=LATER)
    assert ends(HIS_ORDER, done) == ["", "completed"]


def test_the_order_that_replaced_another_is_read_by_the_authorities_of_its_own_facility():
    heir = order(placer="P2").placer
    told = replace(cancel(), ended="replaced", replaced_by=(heir, None))
    assert with_newest_states({1: HIS_ORDER, 2: told}, AUTHORITIES, NO_MERGES)[1].replaced_by == (heir, None)
    named = replace(HIS_ORDER, placer=replace(HIS_ORDER.placer, authority=replace(heir.authority, namespace="CITYHIS")))
    away = replace(told, source=MERCY, placer=named.placer)
    assert with_newest_states({1: named, 2: away}, AUTHORITIES, NO_MERGES)[1].replaced_by == (None, None)
