"""HL7 v2.5.1 §4.5.1.2 (ORC-2), decision D48: an order under its accession number alone gets its order number later."""

from __future__ import annotations

from datetime import timedelta

import pytest
from fakes.hospital import AUTHORITIES, CITY, MERCY, ORDERED, event, message, number, order, patient

from mappings.hospital.events import InboundIssue
from mappings.hospital.known_order import KnownOrder, applied
from mappings.hospital.named_later import is_same_patients

BARE = {"placer": None}


def one(known: KnownOrder, about=None, at=ORDERED, days=400, **said) -> bool:
    made = event(**said)
    return is_same_patients(known, made, message(made, at=at, about=about), CITY, AUTHORITIES, days, at)


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
    made = event()
    said = message(made, issues=unread)
    assert not is_same_patients(order(**BARE), made, said, CITY, AUTHORITIES, 400, ORDERED)
    known = applied(None, event(**BARE), message(issues=unread), CITY, ORDERED).order
    assert known is not None
    assert not one(known)
    assert not known.is_named_by_accession


def test_a_number_without_authority_is_that_of_the_sources_facility():
    known = order(source=MERCY, **BARE)
    assert not one(known)
