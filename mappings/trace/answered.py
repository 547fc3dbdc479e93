"""Find the FHIR elements and HL7 v2 fields that each message of a hospital affects, by mapping without what it stated.

Carries out no clause of a standard; decisions D6 and D48. A message stands in the trace where a leaf of AutoScribe's
JSON has its pointer: `order:EPIC/MSG0001`, the source and MSH-10.
Proved by tests/mappings/trace/test_answered.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from mappings.answered_order import AnsweredOrder, HospitalMessageName, StatedNumber
from mappings.model import Facts
from mappings.study.answers import message_pointer
from mappings.trace.outputs import Outputs


@dataclass(frozen=True, slots=True)
class MovedByMessage:
    """Targets that one message moves; `is_exact`: one of them has a number of the message as it came."""

    pointer: str
    moved: frozenset[str]
    is_exact: bool


def moved_by_messages(base: Outputs, mapped: Callable[[Facts], Outputs], facts: Facts) -> Iterator[MovedByMessage]:
    """Yield each message that stated something of the answered orders, with the targets that it moves."""
    names = [name for order in facts.orders for name in _messages(order)]
    for name in dict.fromkeys(names):
        without = replace(facts, orders=tuple([_without(order, name) for order in facts.orders]))
        moved = frozenset(base.differences(mapped(without)))
        numbers = {number.value for order in facts.orders for number in _numbers(order, name) if number}
        is_exact = any(base.holds(value, moved) for value in numbers)
        yield MovedByMessage(message_pointer(name), moved, is_exact)


def _messages(order: AnsweredOrder) -> tuple[HospitalMessageName, ...]:
    return (order.message, order.visit.message) if order.visit else (order.message,)


def _without(order: AnsweredOrder, name: HospitalMessageName) -> AnsweredOrder:
    """Return the order without what a message stated."""
    if order.visit and order.visit.message == name:
        order = replace(order, visit=None)
    if order.message == name:
        return AnsweredOrder(order.order_number, visit=order.visit, message=order.message)
    return order


def _numbers(order: AnsweredOrder, name: HospitalMessageName) -> tuple[StatedNumber | None, ...]:
    own = (order.placer, order.filler, order.accession) if order.message == name else ()
    visit = order.visit if order.visit and order.visit.message == name else None
    return (*own, visit.number, visit.account) if visit else own
