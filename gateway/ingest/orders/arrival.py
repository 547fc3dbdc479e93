"""Message being applied: its origin, time and content; and the state that the messages of one transaction share.

Carries out no clause of a standard; decision D48.
Proved by tests/gateway/ingest/orders/test_apply_loop.py.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from gateway.ingest.orders.sources import HospitalSource
from gateway.store.database.engine import micros
from gateway.store.orders.hospital import OrdersAtHand, StoredVisit
from mappings.hospital.authorities import Authorities, OrderSource
from mappings.hospital.events import HospitalMessage
from mappings.model import HospitalMessageName


@dataclass(frozen=True, slots=True, eq=False)
class Arrival:
    """Stored message, read: its number, its source, and when it was received.

    `is_again` is True for one that was held and is tried again, when others may have been applied since it came.
    """

    number: int
    source: HospitalSource
    authorities: Authorities
    received: datetime
    message: HospitalMessage
    is_again: bool = False

    @property
    def sender(self) -> OrderSource:
        """Sending source, under the name that matching uses."""
        return self.source.order_source

    @property
    def name(self) -> HospitalMessageName:
        """Name of the message: source and control id."""
        return HospitalMessageName(self.source.stored_name, self.message.control_id)

    @property
    def at(self) -> int:
        """Time of the event in microseconds: the best that the message says, else when it was received."""
        return micros(self.message.times[0] if self.message.times else self.received)


@dataclass(slots=True, eq=False)
class Batch:
    """State that the messages of one transaction share; `now` is its time in microseconds.

    `locked` are the numbers that it has locked, and the orders that it made, of which nobody else knows. `altered` are
    the texts by which studies find what it changed: in the end those studies are ingested again. In the end `visits`
    are stored, too, each with the number of its message.
    """

    locked: set[str]
    now: int
    orders: OrdersAtHand = field(default_factory=OrdersAtHand)
    visits: list[tuple[int, StoredVisit]] = field(default_factory=list)
    altered: set[str] = field(default_factory=set)


class MoreLocks(NamedTuple):
    """Result: numbers that the transaction must lock from its start; it wrote nothing, and must run again."""

    keys: frozenset[str]
