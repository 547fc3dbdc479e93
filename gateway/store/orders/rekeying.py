"""Read the numbers under which orders are stored, and store orders under others.

Carries out no clause of a standard; decision D48. The caller holds the locks of the numbers before and after.
Proved by tests/gateway/ingest/orders/test_rekeying.py.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Final

from gateway.store.database.engine import Engine
from gateway.store.database.facts import claimed, put, value_of
from gateway.store.database.statements import Statement, Steps, ask
from gateway.store.orders.known_orders import StoredOrder, order_of, put_order_keys, renumber_order
from mappings.hospital.known_order import KnownOrder

_AFTER: Final = Statement("SELECT number FROM hospital_order WHERE number > :after ORDER BY number LIMIT :most")
_KEYS: Final = Statement("SELECT key FROM order_key WHERE hospital_order = :number")


_LEFT: Final = "order-merges-left"


async def put_left_merges(engine: Engine, count: int, now: int) -> None:
    """Store how many pairs of merges could not be read anew, and when (microseconds).

    Raises:
        StoreUnavailable: the store cannot be reached.
    """
    value = f"{count} {now}"
    await claimed(engine, _LEFT, value)
    await put(engine, _LEFT, value)


async def left_merges(engine: Engine, since: int) -> int:
    """Return how many pairs of merges could not be read anew, if that was found at that instant or later; else 0."""
    count, _, at = (await value_of(engine, _LEFT) or "0 0").partition(" ")
    return int(count) if int(at) >= since else 0


async def order_numbers(engine: Engine, after: int, most: int) -> list[int]:
    """Return the next orders beyond the number `after`.

    Raises:
        StoreUnavailable: the store cannot be reached.
    """
    return [int(number) for (number,) in await engine.fetch(_AFTER, after=after, most=most)]


def rekey(
    numbers: Collection[int],
    read_anew: Callable[[KnownOrder], KnownOrder],
    keys_of: Callable[[KnownOrder], Collection[str]],
    locked: frozenset[str],
) -> Steps[frozenset[str]]:
    """Store orders with the authorities that `read_anew` gives their numbers, under the keys that `keys_of` gives.

    Return all keys that those have that changed, before and after. If `locked` lacks one of these, nothing is written:
    the caller locks them and asks again.
    """
    changed: list[tuple[StoredOrder, KnownOrder, frozenset[str]]] = []
    concerned = frozenset[str]()
    for number in sorted(numbers):
        stored = yield from order_of(number)
        if stored is None:
            continue
        order = read_anew(stored.order)
        before = {str(key) for (key,) in (yield from ask(_KEYS, number=number))}
        after = frozenset(keys_of(order))
        if before != after or order != stored.order:
            changed.append((stored, order, after))
            concerned |= before | after
    if concerned <= locked:
        for stored, order, keys in changed:
            if order != stored.order:
                yield from renumber_order(stored.number, order)
            yield from put_order_keys(stored.number, sorted(keys))
    return concerned
