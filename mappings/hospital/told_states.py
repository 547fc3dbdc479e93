"""Give each record of an order the newest state that any source told of it.

HL7 v2.5.1 §4.5.1.1 (ORC-1), decision D48. Each source has its own record of an order. Records with one placer or filler
order number, of one patient, are of one order: whichever source cancels it, it is cancelled.
Proved by tests/mappings/hospital/test_told_states.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime

from mappings.hospital.authorities import Authorities, OrderKey
from mappings.hospital.groups import compare_numbers, order_keys, patient_numbers
from mappings.hospital.known_order import KnownOrder
from mappings.hospital.merges import Merges


def own_numbers(order: KnownOrder, authorities: Authorities) -> dict[str, OrderKey]:
    """Return the keys of an order's placer and filler order number by their kinds."""
    return {key.kind: key for key in order_keys(order, authorities) if key.kind in ("placer", "filler")}


def with_newest_states(
    orders: Mapping[int, KnownOrder], authorities: Authorities, merges: Merges
) -> dict[int, KnownOrder]:
    """Return the orders by their numbers, each ended or standing as the newest of its records says.

    Within one source the applied messages say it already.
    """
    if len({order.source.name for order in orders.values()}) < 2:
        return dict(orders)
    index: dict[OrderKey, list[KnownOrder]] = {}
    for order in orders.values():
        for key in own_numbers(order, authorities).values():
            index.setdefault(key, []).append(order)
    made = {}
    for number, order in orders.items():
        newest = order
        for other in _records_elsewhere(order, index, authorities, merges):
            newest = other if _is_newer(other, newest) else newest
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


def _is_newer(one: KnownOrder, other: KnownOrder) -> bool:
    """True if the state of a record is the newer one; of two of one time an end counts.

    Where no field has the time of both, the times as they were stored decide: those of arrival, if there are no others.
    """
    theirs = dict(zip(other.state_of.timed_by, other.state_of.times, strict=True))
    for field, at in zip(one.state_of.timed_by, one.state_of.times, strict=True):
        if field in theirs and at != theirs[field]:
            return at > theirs[field]
    return (_state_at(one), one.is_void) > (_state_at(other), other.is_void)


def _state_at(order: KnownOrder) -> datetime:
    return (order.ended_at if order.is_void else None) or order.last_at


def _with_state(order: KnownOrder, newest: KnownOrder) -> KnownOrder:
    """Return an order as ended, or as standing, as another record of it is."""
    if order.is_void == newest.is_void:
        return order
    is_of_facility = order.source.facility == newest.source.facility  # by which numbers without authority are read
    by = newest.replaced_by if is_of_facility else (None, None)
    return replace(order, ended=newest.ended, ended_at=newest.ended_at, replaced_by=by)
