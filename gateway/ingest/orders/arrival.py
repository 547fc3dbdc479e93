"""Message on its way into the store: where it came from, when, and its content; and its settlement.

Carries out no clause of a standard; decision D48.
Proved by tests/gateway/ingest/orders/test_apply.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from gateway.ingest.orders.sources import HospitalSource
from gateway.store.database.instants import micros
from gateway.store.orders.inbound import InboundState
from mappings.answered_order import HospitalMessageName
from mappings.hospital.authorities import Authorities, OrderSource
from mappings.hospital.events import HospitalMessage


@dataclass(frozen=True, slots=True, eq=False)
class Arrival:
    """Stored message that is read: its number, its source, and when it was received.

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
        """Source as the matching knows it."""
        return self.source.order_source

    @property
    def name(self) -> HospitalMessageName:
        """Name of the message."""
        return HospitalMessageName(self.source.stored_name, self.message.control_id)

    @property
    def at(self) -> int:
        """Time of the event in microseconds: the best that the message tells, else when it was received."""
        return micros(self.message.times[0] if self.message.times else self.received)


class SettledMessage(NamedTuple):
    """Result of applying a message. Without `keeps_body` its bytes are deleted at once."""

    state: InboundState
    code: str = ""
    keeps_body: bool = True


class MoreLocks(NamedTuple):
    """Numbers that the transaction must lock from its beginning: it wrote nothing, and is to run again."""

    keys: frozenset[str]
