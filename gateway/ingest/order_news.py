"""Compare the orders of a study with those of its last ingest: what must be told of a study that was sent. Pure.

HL7 v2.5.1 §4.5.1.1 (ORC-1), decisions D20, D48. A study that AutoScribe has withdrawn has no such news.
Proved by tests/gateway/ingest/test_order_news.py.
"""

from __future__ import annotations

from gateway.store.database.kept import Kept
from gateway.store.feed.states import CANCELLED_AFTER, WITHOUT_ORDER, WRONG_VISIT
from mappings.model import Facts, Study


def order_news(before: Kept | None, study: Study, facts: Facts) -> tuple[str, ...]:
    """Return the news for destinations that were sent the study: its order came, or was cancelled.

    Or its visit was wrong: the message that said it last is refused since, as one about another patient.
    """
    if before is None or study.is_cancelled or not facts.orders:
        return ()
    stands = any(not order.is_cancelled for order in facts.orders)
    if not before.facts.orders:
        return (WITHOUT_ORDER,) if stands else ()
    stood = any(not order.is_cancelled for order in before.facts.orders)
    said = {order.order_number: order.visit.message for order in before.facts.orders if order.visit}
    is_wrong = any(said.get(order.order_number) in order.refused for order in facts.orders)
    return (*((CANCELLED_AFTER,) if stood and not stands else ()), *((WRONG_VISIT,) if is_wrong else ()))
