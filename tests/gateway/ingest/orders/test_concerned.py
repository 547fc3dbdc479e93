"""HL7 v2.5.1 §4.5.1.2 (ORC-2), §4.5.1.3 (ORC-3), decision D48: an event concerns the order with its numbers."""

from __future__ import annotations

import pytest
from fakes.hospital import AUTHORITIES, CITY, MERCY, event, number, order

from gateway.ingest.orders.apply_orders import AmbiguousOrderError, Record, concerned, names_of

P1 = {"placer": "P1", "accession": "A1"}
F1 = {"placer": None, "filler": "F1", "accession": "A1"}


def found(made, *orders):
    records = [Record(place, one, one) for place, one in enumerate(orders)]
    return [record.number for record in concerned(made, records, AUTHORITIES, CITY)]


@pytest.mark.parametrize(
    ("said", "orders", "numbers"),
    [
        ({}, [], []),
        (P1, [P1, {"placer": "P2"}], [0]),
        (P1, [{"placer": "P2", "filler": None}], []),
        (P1 | {"filler": "F1"}, [P1], [0]),  # the filler's number becomes known
        (P1 | {"filler": "F1"}, [F1], [0]),  # the placer's number becomes known
        (P1 | {"filler": "F1"}, [{"placer": "P2", "filler": "F1"}], []),  # a filler number for two placers' orders
        (P1 | {"filler": "F2"}, [P1 | {"filler": "F1"}], []),  # one placer order, two fillers' orders
        (P1 | {"filler": "F2"}, [P1 | {"filler": "F1"}, P1 | {"filler": "F2"}], [1]),
        (F1, [P1 | {"filler": "F1"}], [0]),
        (F1, [P1], []),
        ({"effect": "number", "placer": "P9", "filler": "F1"}, [{"placer": "P2", "filler": "F1"}], [0]),
        ({"effect": "number", "placer": "P2", "filler": "F1"}, [F1, P1], [0]),
        (P1, [F1, {"placer": "P2"}], []),  # two placers' orders beside one of the filler
        ({"effect": "cancel", **P1}, [F1], []),
        (P1, [{"placer": None, "accession": "A1"}], []),
        ({"effect": "cancel", **P1}, [P1 | {"filler": "F1"}, P1 | {"filler": "F2"}], [0, 1]),
        ({"placer": None, "accession": "A7"}, [{"placer": None, "accession": "A7"}], [0]),
        ({"placer": None, "accession": "A7"}, [{"placer": "P1", "accession": "A7"}], []),
    ],
)
def test_the_order_of_an_event_has_its_placer_number_else_its_filler_number(said, orders, numbers):
    assert found(event(**said), *(order(**one) for one in orders)) == numbers


@pytest.mark.parametrize(
    ("said", "orders"),
    [
        (P1, [P1 | {"filler": "F1"}, P1 | {"filler": "F2"}]),
        (F1, [P1 | {"filler": "F1"}, {"placer": "P2", "filler": "F1"}]),
        ({"effect": "cancel", **F1}, [P1 | {"filler": "F1"}, {"placer": "P2", "filler": "F1"}]),
    ],
)
def test_where_several_orders_fit_none_is_chosen(said, orders):
    with pytest.raises(AmbiguousOrderError):
        found(event(**said), *(order(**one) for one in orders))


def test_equal_numbers_of_two_authorities_are_two_numbers():
    assert found(event(placer=number("P1", "MERCYHIS")), order(**P1)) == []
    assert found(event(placer=number("P1", "CITYHIS", "1.2.3")), order(**P1)) == [0]


def test_a_number_of_an_authority_that_no_setting_names_is_the_sources_own():
    unknown = {"placer": number("P1", "ELSE"), "accession": None}
    assert found(event(**unknown), order(**unknown)) == [0]
    names = [names_of(event(**unknown), AUTHORITIES, source).placer for source in (CITY, MERCY)]
    assert names[0].isdisjoint(names[1])
