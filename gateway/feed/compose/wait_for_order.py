"""Decide if the first message about a study waits for its order, or is held since the order was cancelled. Pure.

HL7 v2.5.1 §4.5.3.2 (OBR-2), decisions D18, D48. A critical result never waits. Nor does a message about a study of
which the destination has one: waiting would not bring the order into that one. A replay or a backload waits for no
order, and is held all the same if the order was cancelled.
Proved by tests/gateway/feed/compose/test_wait_for_order.py and tests/contract/test_hold_until_matched.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from gateway.feed.payload import StudyRound
from gateway.store.database.engine import micros
from gateway.store.feed.outbox import BEHIND, WaitingRow
from gateway.store.feed.states import ORDER_AWAITED, ORDER_CANCELLED
from mappings.hospital.match import CANCELLED, FACILITY_UNKNOWN, RELEASED
from mappings.model import Facts

_SECOND: Final = 1_000_000
# No message of a hospital gives these studies an order
_NEVER_ENDS: Final = frozenset({RELEASED, FACILITY_UNKNOWN})


def wait_for_order(study: StudyRound, rows: Sequence[WaitingRow], hold_until_matched: float) -> str:
    """Return why a study's rows are held for its order; empty if they are not.

    The wait of `hold_until_matched` seconds begins with the oldest row, as `accession_wait` does.
    """
    is_first = not study.sent.is_told and not any(row.is_critical or row.kind == "withdrawn" for row in rows)
    if not is_first:
        return ""
    facts = study.known.facts
    if is_cancelled(facts):
        return ORDER_CANCELLED
    is_over = micros(study.at) >= min(row.decided for row in rows) + int(hold_until_matched * _SECOND)
    is_of_operator = any(row.kind == "replay" or row.priority == BEHIND for row in rows)
    is_awaited = lacks_order(facts) and facts.order_reason not in _NEVER_ENDS
    return ORDER_AWAITED if is_awaited and not is_over and not is_of_operator else ""


def lacks_order(facts: Facts) -> bool:
    """True if a study has no order, at a site whose hospital sends orders."""
    return bool(facts.order_reason) and not facts.orders


def is_cancelled(facts: Facts) -> bool:
    """True if all orders of a study were cancelled."""
    if not facts.orders:
        return facts.order_reason == CANCELLED
    return all(order.is_cancelled for order in facts.orders)
