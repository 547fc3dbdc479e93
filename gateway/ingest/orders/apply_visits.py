"""Apply a visit message to the patients and visits of known orders. Steps of one transaction.

HL7 v2.5.1 §3.3.1 to §3.3.31 (ADT), §3.4.2 (PID), §3.4.3 (PV1), decision D48. Of a patient without a known order nothing
is kept. What a message says counts only for orders of its own patient. An older message adds only what is unknown; one
without times counts as newer. None removes a patient number.
Proved by tests/gateway/ingest/orders/test_apply_visits.py.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from gateway.ingest.orders.apply_orders import (
    BY_ARRIVAL,
    OTHER_PATIENT,
    found_by,
    merges_between,
    own_keys,
    told_visit,
    visit_key,
)
from gateway.ingest.orders.arrival import Arrival, Batch, MoreLocks
from gateway.store.database.engine import Steps
from gateway.store.orders.inbound import SettledMessage
from gateway.store.orders.numbers import keys_of, number_text, record_text
from mappings.hospital.events import HospitalPatient, IssuedNumber
from mappings.hospital.groups import Merges, hospital_person, patient_agreement
from mappings.hospital.known_order import KnownOrder, with_newer_patient
from mappings.patient.people import are_two_people, differences

_CORRECTED: Final = (("birth date",), ("sex",))  # with the same name and number: the patient was known less well


def visit_subjects(arrival: Arrival) -> frozenset[str]:
    """Return the key texts of the patient and visit numbers that a message names."""
    numbers = arrival.authorities.patient_numbers(arrival.message.patient.numbers, arrival.sender)
    return frozenset(map(number_text, numbers)) | ({visit_key(arrival, arrival.message.visit)} - {""})


def apply_visit(arrival: Arrival, batch: Batch) -> Steps[SettledMessage | MoreLocks]:
    """Apply a visit message."""
    key = visit_key(arrival, arrival.message.visit)
    stored = batch.orders.having(visit_subjects(arrival))
    if not stored:
        return SettledMessage("nothing", keeps_body=False)
    needed = _found_by_studies(stored, arrival)
    if not needed <= batch.locked:
        return MoreLocks(needed)
    merges = yield from merges_between(arrival, stored)
    changed: list[tuple[int, KnownOrder]] = []
    for number, before in stored:
        order = _updated(before, arrival, key, merges)
        if replace(order, patient_of=before.patient_of) != before:
            changed.append((number, before))
        if order != before:
            yield from batch.orders.put(number, order, found_by(order, arrival.authorities), batch.now)
    told = told_visit(arrival, stored, merges, batch)
    is_applied = told.is_told or bool(changed)
    if told.is_told or told.is_refused:
        changed += [(number, order) for number, order in stored if key in keys_of(order, arrival.authorities)]
    batch.altered |= _found_by_studies(changed, arrival)
    if not changed:
        return SettledMessage("nothing", keeps_body=False)
    code = OTHER_PATIENT if told.is_refused else "" if arrival.message.times else BY_ARRIVAL
    return SettledMessage("applied" if is_applied else "nothing", code)


def _found_by_studies(orders: Iterable[tuple[int, KnownOrder]], arrival: Arrival) -> frozenset[str]:
    return frozenset().union(
        *[own_keys(order, arrival.authorities) | {record_text(number)} for number, order in orders]
    )


def _updated(order: KnownOrder, arrival: Arrival, visit: str, merges: Merges) -> KnownOrder:
    """Update an order with what the message says of its patient, if they share a number.

    It may correct a birth date or a sex. One that describes another person under the same number changes nothing: two
    orders that contradict each other must not become alike by it (D12).
    """
    said = arrival.message.patient
    if patient_agreement(order, said, arrival.sender, arrival.authorities, merges) != "agrees":
        return order
    people = hospital_person(order.patient), hospital_person(said)
    is_corrected = are_two_people(*people)
    if is_corrected and differences(*people) not in _CORRECTED:
        return order
    keys = set(keys_of(order, arrival.authorities))
    newer, known = with_newer_patient(order, arrival.message), order.patient
    first, second = (said, known) if newer else (known, said)
    has_name = bool(first.family or first.given or first.middle)
    named = first if has_name else second
    return replace(
        newer or order,
        patient=HospitalPatient(
            numbers=(*known.numbers, *_added(order, arrival)),
            family=named.family,
            given=named.given,
            middle=named.middle,
            born=first.born or second.born,
            sex=first.sex or second.sex,
            account=known.account or (said.account if visit and visit in keys else None),
        ),
        was=known if is_corrected and newer else order.was,
    )


def _added(order: KnownOrder, arrival: Arrival) -> Iterable[IssuedNumber]:
    """Return those numbers whose authority and type the order's patient does not have yet."""
    is_own = order.source.name == arrival.source.stored_name
    issuers = {(number.authority, number.type_code) for number in order.patient.numbers}
    return [
        number
        for number in arrival.message.patient.numbers
        if (number.authority, number.type_code) not in issuers and (is_own or number.authority.is_named)
    ]
