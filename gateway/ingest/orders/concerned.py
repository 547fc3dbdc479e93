"""Find the known order that an event concerns: by its placer order number, else by its filler order number.

HL7 v2.5.1 §4.5.1.2 (ORC-2), §4.5.1.3 (ORC-3), decision D48. Only orders of the same source are compared, by numbers
with their authority. Where several fit, none is chosen. An event whose order no number names makes no order.
Proved by tests/gateway/ingest/orders/test_concerned.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from gateway.store.orders.numbers import key_text, own_text
from mappings.hospital.authorities import Authorities, OrderSource
from mappings.hospital.events import InboundIssue, IssuedNumber, OrderEvent
from mappings.hospital.known_order import KnownOrder, unread_number
from mappings.profile import OrderNumberKind

AMBIGUOUS: Final = "order-ambiguous"
NO_NUMBER: Final = "order-number-missing"
_KINDS: Final[tuple[OrderNumberKind, ...]] = ("placer", "filler", "accession")


class AmbiguousOrderError(Exception):
    """Several orders fit an event."""


@dataclass(slots=True, eq=False)
class Record:
    """Order while a message is applied: `number` in the store, and `before`, are None for a new one."""

    number: int | None = None
    before: KnownOrder | None = None
    now: KnownOrder | None = None


@dataclass(frozen=True, slots=True)
class OrderNames:
    """Texts of an order's numbers by their kinds: with the authority of the settings, and as the source has it."""

    placer: frozenset[str]
    filler: frozenset[str]
    accession: frozenset[str]

    @property
    def every(self) -> frozenset[str]:
        """Texts by which the order is found in the store."""
        return (self.placer | self.filler) or self.accession


def names_of(order: OrderEvent | KnownOrder, authorities: Authorities, source: OrderSource) -> OrderNames:
    """Return the texts of an order's numbers."""
    return OrderNames(*(frozenset(_texts(kind, getattr(order, kind), authorities, source)) for kind in _KINDS))


def concerned(
    event: OrderEvent, records: Sequence[Record], authorities: Authorities, source: OrderSource
) -> list[Record]:
    """Return the record of the order that an event concerns; none if it is new, several if all of them end.

    Raises:
        AmbiguousOrderError: several fit.
    """
    own = names_of(event, authorities, source)
    known = [(record, names_of(record.now, authorities, source)) for record in records if record.now is not None]
    by_placer = [(record, names) for record, names in known if own.placer & names.placer]
    exact = [record for record, names in by_placer if own.filler & names.filler]
    fitting = exact or [record for record, names in by_placer if not (own.filler and names.filler)]
    if fitting and event.effect == "cancel":
        return fitting
    if not fitting and own.filler:
        is_numbering = event.effect == "number" or not own.placer
        fitting = [
            record for record, names in known if own.filler & names.filler and (is_numbering or not names.placer)
        ]
    if not fitting and not own.placer and not own.filler:
        fitting = [
            record
            for record, names in known
            if own.accession & names.accession and not names.placer and not names.filler
        ]
    if len(fitting) > 1:
        raise AmbiguousOrderError
    return fitting


def held_for(
    event: OrderEvent,
    records: Sequence[Record],
    issues: Iterable[InboundIssue],
    authorities: Authorities,
    source: OrderSource,
) -> str:
    """Return the code for which an event is held whose order is not known; empty if it may make a new one.

    A number that cannot be read may be that of a known order: nothing may end or number an order beside that one.
    """
    own = names_of(event, authorities, source)
    unread = unread_number(issues)
    if not own.every:
        return unread or NO_NUMBER
    if own.placer or event.effect in ("open", "change"):
        return ""
    if unread:
        return unread
    others = [record.now for record in records if record.now is not None]
    is_of_other = any(own.accession & names_of(one, authorities, source).accession for one in others)
    return AMBIGUOUS if is_of_other and not own.filler else ""


def _texts(
    kind: OrderNumberKind, number: IssuedNumber | None, authorities: Authorities, source: OrderSource
) -> Iterator[str]:
    if number is None or not number.value.strip():
        return
    key = authorities.order_key(kind, number, source)
    if key:
        yield key_text(key)
    yield own_text(kind, number, source.name)
