"""HL7 v2.5.1 §4.5.1.2 (ORC-2), decision D48: an order under its accession number alone gets its order number later."""

from __future__ import annotations

from datetime import timedelta

import pytest
from fakes.hospital import AUTHORITIES, CITY, MERCY, ORDERED, event, merges_of, message, number, order, patient

from mappings.hospital.events import CodedText, InboundIssue
from mappings.hospital.groups import NO_MERGES, may_be_same
from mappings.hospital.known_order import KnownOrder, applied

BARE = {"placer": None}


def one(known: KnownOrder, about=None, at=ORDERED, days=400, merges=NO_MERGES, **said) -> bool:
    return may_be_same(known, order(at=at, about=about, **said), AUTHORITIES, merges, days)


def test_an_order_of_the_same_patient_number_of_that_time_may_be_the_same():
    assert one(order(**BARE))
    assert one(order(**BARE), at=ORDERED + timedelta(days=399))
    assert one(order(**BARE), about=patient(family="DOE-MILLER"))


@pytest.mark.parametrize(
    "about",
    [
        patient("4712"),
        patient(None),
        patient(number("4711", "MERCY")),
        patient(given="JOHN", born="19310131", sex="M"),  # the number is equal, and the person is another
    ],
)
def test_an_order_of_another_patient_or_of_one_who_cannot_be_compared_is_another(about):
    assert not one(order(**BARE), about=about)


def test_an_order_of_another_time_is_another_since_its_accession_number_was_used_again():
    assert not one(order(**BARE), at=ORDERED + timedelta(days=401))
    assert not one(order(**BARE), at=ORDERED + timedelta(days=11), days=10)
    assert not one(order(**BARE), at=ORDERED - timedelta(days=401))


def test_a_number_that_cannot_be_read_might_be_another_one():
    unread = (InboundIssue("authority-not-of-source", "ORC-2"),)
    for said in (event(), event(**BARE)):
        made = applied(None, said, message(issues=unread), CITY, ORDERED).order
        assert made is not None
        assert not made.is_named_by_accession
        assert not may_be_same(made, order(), AUTHORITIES, NO_MERGES, 400)
        assert not may_be_same(order(**BARE), made, AUTHORITIES, NO_MERGES, 400)


def test_an_order_of_another_procedure_is_another_and_one_without_contradicts_none():
    assert not one(order(**BARE), procedure=CodedText("CTNECK", "CT Neck"))
    assert one(order(**BARE), procedure=CodedText())
    assert one(order(procedure=CodedText(), **BARE))


def test_patient_numbers_are_compared_after_merges_unless_one_is_in_doubt():
    assert one(order(**BARE), about=patient("5000"), merges=merges_of(("4711", "5000")))
    assert not one(order(**BARE), about=patient("5000"), merges=merges_of(("4711", "5000"), ("5000", "4711")))


def test_a_number_without_authority_is_that_of_the_sources_facility():
    assert not one(order(source=MERCY, **BARE))
