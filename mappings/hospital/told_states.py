"""Give each record of an order the newest state that any source told of it.

HL7 v2.5.1 §4.5.1.1 (ORC-1), decision D48. Each source has its own record of an order. Records with one placer or filler
order number, of one patient, are of one order: whichever source cancels it, it is cancelled. A source that knows no
placer order number, such as a department's system, cancels by the accession number: that ends all orders of the patient
under it.
Proved by tests/mappings/hospital/test_told_states.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from mappings.hospital.authorities import Authorities, OrderKey
from mappings.hospital.groups import compare_numbers, indexed, own_numbers, patient_numbers
from mappings.hospital.known_order import KnownOrder, is_state_newer
from mappings.hospital.merges import Merges


def with_newest_states(
    orders: Mapping[int, KnownOrder], authorities: Authorities, merges: Merges
) -> dict[int, KnownOrder]:
    """Return the orders by their numbers, each ended or standing as the newest of its records says.

    Within one source the applied messages say it already.
    """
    if len({order.source.name for order in orders.values()}) < 2:
        return dict(orders)
    index = indexed(orders.values(), authorities)
    made = {}
    for number, order in orders.items():
        newest = order
        for other in (
            *_records_elsewhere(order, index, authorities, merges),
            *_ends_of_accession(order, index, authorities, merges),
        ):
            newest = other if is_state_newer(other, newest) else newest
        made[number] = _with_state(order, newest)
    return made


def _records_elsewhere(
    order: KnownOrder, index: Mapping[OrderKey, list[KnownOrder]], authorities: Authorities, merges: Merges
) -> Iterator[KnownOrder]:
    """Yield the records that other sources have of an order."""
    own = own_numbers(order, authorities)
    patient = patient_numbers(order, authorities, merges)
    for other in (one for key in own.values() for one in index[key]):
        theirs = own_numbers(other, authorities)
        is_same = all(own[kind] == theirs[kind] for kind in own.keys() & theirs.keys())
        is_elsewhere = is_same and other.source.name != order.source.name
        if is_elsewhere and compare_numbers(patient, patient_numbers(other, authorities, merges)) != "differs":
            yield other


def _ends_of_accession(
    order: KnownOrder, index: Mapping[OrderKey, list[KnownOrder]], authorities: Authorities, merges: Merges
) -> Iterator[KnownOrder]:
    """Yield the records by which another source ended all that it has of the patient under the accession number.

    Only records without a placer order number: one that has it is of that order alone.
    """
    accession = authorities.order_key("accession", order.accession, order.source)
    own, patient = own_numbers(order, authorities), patient_numbers(order, authorities, merges)
    elsewhere: dict[str, list[KnownOrder]] = {}
    for other in index.get(accession, ()) if accession else ():
        agrees = compare_numbers(patient, patient_numbers(other, authorities, merges)) == "agrees"
        if agrees and other.source.name != order.source.name:
            elsewhere.setdefault(other.source.name, []).append(other)
    for records in elsewhere.values():
        if all(one.is_void for one in records):
            for one in records:
                if not one.placer and own.keys().isdisjoint(own_numbers(one, authorities)):
                    yield one


def _with_state(order: KnownOrder, newest: KnownOrder) -> KnownOrder:
    """Return an order as ended, or as standing, as another record of it is."""
    if order.is_void == newest.is_void:
        return order
    is_of_facility = order.source.facility == newest.source.facility  # by which numbers without authority are read
    by = newest.replaced_by if is_of_facility else (None, None)
    return replace(order, ended=newest.ended, ended_at=newest.ended_at, replaced_by=by)
