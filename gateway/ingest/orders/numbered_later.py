"""Find the order of an event that no order number finds: it was first sent with its accession number alone.

HL7 v2.5.1 §4.5.1.2 (ORC-2), §4.5.1.3 (ORC-3), decision D48. Some senders give an order its order number only later, and
may go on to name it by its accession number. What may be another order stays apart.
Proved by tests/contract/test_named_later.py.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from gateway.ingest.orders.arrival import Arrival
from gateway.ingest.orders.concerned import AmbiguousOrderError, Record, names_of
from gateway.store.database.engine import Steps
from gateway.store.orders.numbers import changes_with, merges_of
from mappings.hospital.events import CodedText, OrderEffect, OrderEvent
from mappings.hospital.groups import NO_MERGES, Merges, may_be_same, patient_numbers
from mappings.hospital.known_order import KnownOrder, applied

_NO_CODE: Final = CodedText()


def numbered_later(event: OrderEvent, records: Iterable[Record], arrival: Arrival) -> Steps[list[Record]]:
    """Return the record of the order that gets its order number from an event, or that had none at first; else none.

    A message that has several orders under the accession number tells them apart: none of them is found.

    Raises:
        AmbiguousOrderError: the event names an accession number alone, and several orders may be meant.
    """
    names = names_of(event, arrival.authorities, arrival.sender)

    def is_under(one: OrderEvent | KnownOrder) -> bool:
        return not names.accession.isdisjoint(names_of(one, arrival.authorities, arrival.sender).accession)

    under = {record: record.now for record in records if record.now is not None and is_under(record.now)}
    stated = applied(None, event, arrival.message, arrival.sender, arrival.received).order
    told = [one for one in arrival.message.orders if one.effect != "nothing" and is_under(one)]
    if stated is None or len(told) > 1 or not any(one.is_named_by_accession for one in under.values()):
        return []
    merges = yield from _merges([stated, *under.values()], arrival)
    about = (stated, arrival.authorities, merges, arrival.source.order_days)
    alike = {record: order for record, order in under.items() if may_be_same(order, *about)}
    if names.placer or names.filler:
        fitting = [record for record, order in alike.items() if _gets_number(order, stated, event.effect)]
        return fitting if len(alike) == 1 else []
    if not any(one.is_named_by_accession for one in alike.values()):
        return []
    if len(alike) > 1:
        raise AmbiguousOrderError
    return list(alike)


def _gets_number(order: KnownOrder, stated: KnownOrder, effect: OrderEffect) -> bool:
    """True for an order with its accession number alone and the event's procedure, if both stand.

    It may also lack the procedure, unless the event brings a number and nothing else.
    """
    if not order.is_named_by_accession or order.placer or order.filler or order.is_void or stated.is_void:
        return False
    return order.procedure == stated.procedure or (order.procedure == _NO_CODE and effect != "number")


def _merges(orders: Iterable[KnownOrder], arrival: Arrival) -> Steps[Merges]:
    """Read the merges of the patients of orders, unless all have the same numbers."""
    numbers = [patient_numbers(one, arrival.authorities, NO_MERGES) for one in orders]
    if len(set(numbers)) == 1:
        return NO_MERGES
    return merges_of((yield from changes_with(frozenset().union(*numbers))))
