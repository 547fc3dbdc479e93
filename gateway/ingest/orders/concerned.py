"""Find the known order that an event concerns: by its placer order number, else by its filler order number.

HL7 v2.5.1 §4.5.1.2 (ORC-2), §4.5.1.3 (ORC-3), decision D48. Only orders of the same source are compared, by numbers
with their authority. Where several fit, none is chosen.
Proved by tests/gateway/ingest/orders/test_concerned.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from gateway.store.orders.keys import key_text, own_text
from mappings.hospital.authorities import Authorities, OrderSource
from mappings.hospital.events import IssuedNumber, OrderEvent
from mappings.hospital.known_order import KnownOrder
from mappings.profile import OrderNumberKind

AMBIGUOUS: Final = "order-ambiguous"
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


def _texts(
    kind: OrderNumberKind, number: IssuedNumber | None, authorities: Authorities, source: OrderSource
) -> Iterator[str]:
    if number is None or not number.value.strip():
        return
    key = authorities.order_key(kind, number, source)
    if key:
        yield key_text(key)
    yield own_text(kind, number, source.name)
