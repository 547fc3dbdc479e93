"""Delete one batch of old messages, orders and visits of hospitals; the caller gives the ages and the batch size.

Carries out no clause of a standard; decision D48. An order stays as long as a stored study has one of its own numbers,
was matched with it, or was given it by an operator. The number of deleted rows goes into the audit.
Proved by tests/contract/test_order_retention.py.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from typing import Any, Final, NamedTuple

from gateway.runtime import clock
from gateway.store.database.engine import Engine
from gateway.store.database.statements import Statement, Steps, ask, ask_each
from gateway.store.feed.audit import noted
from gateway.store.orders.keys import record_text
from gateway.store.orders.matches import is_answered
from gateway.store.orders.study_keys import lock_names
from gateway.store.studies import locks

_PAGE: Final = 500
_MESSAGES: Final = Statement(
    "DELETE FROM inbound WHERE number IN (SELECT number FROM inbound WHERE received < :before"
    " AND state IN ('applied', 'nothing') ORDER BY received LIMIT :most) RETURNING number"
)
_UNSETTLED: Final = Statement(
    "DELETE FROM inbound WHERE number IN (SELECT number FROM inbound WHERE state IN ('held', 'failed')"
    " AND state = :state AND settled < :before ORDER BY settled LIMIT :most) RETURNING number"
)
_BODIES: Final = Statement(
    "UPDATE inbound SET body = NULL WHERE number IN (SELECT number FROM inbound WHERE state IN ('held', 'failed')"
    " AND state = 'held' AND settled < :before AND body IS NOT NULL ORDER BY settled LIMIT :most) RETURNING number"
)
_LEFT: Final = Statement(
    "DELETE FROM inbound WHERE number IN (SELECT number FROM inbound WHERE received < :before"
    " AND state NOT IN ('applied', 'nothing', 'held', 'failed') AND source NOT IN listed(:sources)"
    " ORDER BY received LIMIT :most) RETURNING number"
)
_DROP_MESSAGE_KEYS: Final = Statement("DELETE FROM inbound_key WHERE inbound = :number")
# A study's keys have those of its patients, too, which are also the order's: they are no match
_UNMATCHED: Final = (
    "NOT EXISTS (SELECT 1 FROM order_key k JOIN study_key s ON s.key = k.key"
    " WHERE k.hospital_order = hospital_order.number AND SUBSTR(k.key, 1, 7) <> 'patient')"
)
_OLD_ORDERS: Final = Statement(
    f"SELECT applied, number, CASE WHEN {_UNMATCHED} THEN 1 ELSE 0 END FROM hospital_order WHERE applied < :before"  # noqa: S608 (constants)
    " AND (applied, number) > (:applied, :number) ORDER BY applied, number LIMIT :most"
)
_DROP_ORDER: Final = Statement(
    f"DELETE FROM hospital_order WHERE number = :number AND applied < :before AND {_UNMATCHED} RETURNING number"  # noqa: S608 (constants)
)
_DROP_ORDER_KEYS: Final = Statement("DELETE FROM order_key WHERE hospital_order = :number")
_MATCHES: Final = Statement(
    "SELECT study_id, orders, sent_orders FROM order_match WHERE study_id > :after ORDER BY study_id LIMIT :most"
)
_VERDICTS: Final = Statement(
    "SELECT study_id, orders FROM order_verdict WHERE study_id > :after ORDER BY study_id LIMIT :most"
)
_OLD_VISITS: Final = Statement(
    "SELECT key FROM visit WHERE at < :before AND NOT EXISTS"
    " (SELECT 1 FROM order_key k WHERE k.key = visit.key) ORDER BY at LIMIT :most"
)
_DROP_VISIT: Final = Statement("DELETE FROM visit WHERE key = :key")


def purge_messages(before: int, most: int) -> Steps[int]:
    """Delete at most `most` settled messages that were received before that instant; return their number."""
    return len((yield from ask(_MESSAGES, before=before, most=most)))


def purge_bodies(before: int, most: int) -> Steps[int]:
    """Delete the bytes of at most `most` held messages; return their number."""
    return len((yield from ask(_BODIES, before=before, most=most)))


def purge_unsettled(before: int, most: int, now: int) -> Steps[int]:
    """Delete at most `most` messages that were held or failed; return their number."""
    rows = list((yield from ask(_UNSETTLED, state="held", before=before, most=most)))
    rows += yield from ask(_UNSETTLED, state="failed", before=before, most=most)
    yield from ask_each(_DROP_MESSAGE_KEYS, [{"number": int(number)} for (number,) in rows])
    yield from _audited("hospital messages that were not applied", len(rows), now)
    return len(rows)


def purge_left(sources: Collection[str], before: int, most: int, now: int) -> Steps[int]:
    """Delete at most `most` waiting messages of other sources than these; return their number."""
    count = len((yield from ask(_LEFT, sources=json.dumps(sorted(sources)), before=before, most=most)))
    yield from _audited("hospital messages of sources without settings", count, now)
    return count


class OldOrder(NamedTuple):
    """Order that was last heard of at `applied` (microseconds); `is_free` if no study has one of its numbers."""

    applied: int
    number: int
    is_free: bool = False


async def old_orders(engine: Engine, before: int, after: OldOrder, most: int) -> list[OldOrder]:
    """Return the orders behind this one that were last heard of before that instant, oldest first.

    Raises:
        StoreUnavailable: the store cannot be reached.
    """
    applied, number, _ = after
    rows = await engine.fetch(_OLD_ORDERS, before=before, applied=applied, number=number, most=most)
    return [OldOrder(int(applied), int(number), bool(is_free)) for applied, number, is_free in rows]


async def matched_orders(engine: Engine) -> frozenset[int]:
    """Return the numbers of all orders that studies were matched with, or were given by an operator.

    Raises:
        StoreUnavailable: the store cannot be reached.
    """
    found: set[int] = set()
    for statement in (_MATCHES, _VERDICTS):
        after = ""
        while rows := await engine.fetch(statement, after=after, most=_PAGE):
            every = [orders or "[]" for _, *of_study in rows for orders in of_study]
            found.update(number for orders in every for number in _numbers(json.loads(orders)))
            after = str(rows[-1][0])
            await clock.sleep(0)  # SQLite reads on the loop: others have their turn
    return frozenset(found)


def purge_orders(numbers: Collection[int], before: int, now: int) -> Steps[int]:
    """Delete those of these orders that no study has and nobody spoke of since; return their number."""
    yield from locks.take(lock_names(map(record_text, numbers)))
    count = 0
    for number in numbers:
        if (yield from is_answered(number)):
            continue
        if (yield from ask(_DROP_ORDER, number=number, before=before)):
            yield from ask(_DROP_ORDER_KEYS, number=number)
            count += 1
    yield from _audited("hospital orders without a study", count, now)
    return count


def purge_visits(before: int, most: int, now: int) -> Steps[int]:
    """Delete at most `most` visits of no known order; return their number."""
    rows = yield from ask(_OLD_VISITS, before=before, most=most)
    keys = sorted({str(key) for (key,) in rows})
    yield from ask_each(_DROP_VISIT, [{"key": key} for key in keys])
    yield from _audited("visits without an order", len(keys), now)
    return len(keys)


def _audited(what: str, count: int, now: int) -> Steps[None]:
    if count:
        yield from noted("orders-deleted", f"{count} {what}", "retention", now)


def _numbers(value: Any) -> Iterator[int]:
    if isinstance(value, int):
        yield value
    elif isinstance(value, list):
        for one in value:
            yield from _numbers(one)
