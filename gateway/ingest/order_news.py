"""Compare the orders of a study with those of its last ingest: what must be told of a study that was sent. Pure.

HL7 v2.5.1 §4.5.1.1 (ORC-1), decisions D20, D48. A study that AutoScribe has withdrawn has no such news.
Proved by tests/gateway/ingest/test_order_news.py.
"""

from __future__ import annotations

from gateway.store.feed.states import CANCELLED_AFTER, WITHOUT_ORDER
from gateway.store.studies.kept import Kept
from mappings.model import Facts, Study


def order_news(before: Kept | None, study: Study, facts: Facts) -> tuple[str, ...]:
    """Return the news for destinations that were sent the study: its order came, or was cancelled."""
    if before is None or study.is_cancelled or not facts.orders:
        return ()
    stands = any(not order.is_cancelled for order in facts.orders)
    if not before.facts.orders:
        return (WITHOUT_ORDER,) if stands else ()
    stood = any(not order.is_cancelled for order in before.facts.orders)
    return (CANCELLED_AFTER,) if stood and not stands else ()
