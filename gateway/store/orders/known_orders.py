"""Read and write orders by their numbers.

Carries out no clause of a standard; decision D48.
Proved by tests/contract/test_orders.py.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from gateway.store.compression.stored_bytes import compressed
from gateway.store.database.engine import Engine
from gateway.store.database.instants import micros
from gateway.store.database.statements import Row, Statement, Steps, ask, ask_each
from gateway.store.orders.keys import is_key, record_text
from gateway.store.studies.kept import encoded, rebuilt, unpacked
from mappings.hospital.known_order import KnownOrder

_OF_KEYS: Final = Statement(
    "SELECT DISTINCT o.number, o.revision, o.body FROM order_key k JOIN hospital_order o ON o.number = k.hospital_order"
    " WHERE k.key IN listed(:keys) ORDER BY o.number"
)
_WITH_KEYS: Final = Statement(
    "SELECT k.key, o.number, o.revision, o.body FROM order_key k JOIN hospital_order o ON o.number = k.hospital_order"
    " WHERE k.key IN listed(:keys)"
)
_TEXTS: Final = Statement(
    "SELECT DISTINCT o.hospital_order, o.key FROM order_key k JOIN order_key o ON o.hospital_order = k.hospital_order"
    " WHERE k.key IN listed(:keys)"
)
_BY_NUMBER: Final = Statement("SELECT number, revision, body FROM hospital_order WHERE number = :number")
_ADD: Final = Statement(
    "INSERT INTO hospital_order (source, revision, first_at, last_at, applied, body)"
    " VALUES (:source, 1, :first_at, :last_at, :applied, :body) RETURNING number"
)
_CHANGE: Final = Statement(
    "UPDATE hospital_order SET source = :source, revision = revision + 1, first_at = :first_at, last_at = :last_at,"
    " applied = :applied, body = :body WHERE number = :number"
)
_RENUMBER: Final = Statement("UPDATE hospital_order SET revision = revision + 1, body = :body WHERE number = :number")
_DROP_KEYS: Final = Statement("DELETE FROM order_key WHERE hospital_order = :number AND key NOT IN listed(:keys)")
_ADD_KEY: Final = Statement("INSERT INTO order_key (key, hospital_order) VALUES (:key, :number) ON CONFLICT DO NOTHING")


@dataclass(frozen=True, slots=True)
class StoredOrder:
    """Order with its number in the database. `revision` counts its changes."""

    number: int
    revision: int
    order: KnownOrder


async def orders_of_keys(
    engine: Engine, keys: Iterable[str], known: Mapping[int, StoredOrder] | None = None
) -> list[StoredOrder]:
    """Return the orders that have one of these keys (`key_text`, `number_text`), by number.

    Those of `known`, orders by number that were read before, are not decoded again if they are the same.

    Raises:
        StoreUnavailable: the store cannot be reached.
    """
    rows, before = await engine.fetch(_OF_KEYS, keys=json.dumps(sorted(keys))), known or {}
    found = [(row, before.get(int(row[0]))) for row in rows]
    return [one if one is not None and one.revision == int(row[1]) else _order(row) for row, one in found]


def orders_with(keys: Iterable[str]) -> Steps[list[StoredOrder]]:
    """Return what `orders_of_keys` returns, as a step of a transaction."""
    return [_order(row) for row in (yield from ask(_OF_KEYS, keys=json.dumps(sorted(keys))))]


class OrdersAtHand:
    """Orders that one transaction may change: read in one step by all keys that it will ask for."""

    def __init__(self) -> None:
        self._orders: dict[int, KnownOrder] = {}
        self._keys: dict[int, set[str]] = {}

    def read(self, keys: Iterable[str]) -> Steps[None]:
        """Read all orders that have one of these keys."""
        for key, *row in (yield from ask(_WITH_KEYS, keys=json.dumps(sorted(keys)))):
            number = int(row[0])
            if number not in self._orders:
                self._orders[number] = _order(row).order
            self._keys.setdefault(number, set()).add(str(key))

    def having(self, keys: Collection[str]) -> list[tuple[int, KnownOrder]]:
        """Return the orders that have one of these keys, which were read, as they are in the transaction; by number."""
        return [(number, self._orders[number]) for number in sorted(self._keys) if self._keys[number] & set(keys)]

    def put(self, number: int | None, order: KnownOrder, keys: Sequence[str], now: int) -> Steps[int]:
        """Do what `put_order` does."""
        number = yield from put_order(number, order, keys, now)
        self._orders[number], self._keys[number] = order, set(keys)
        return number


async def texts_of_orders(engine: Engine, keys: Iterable[str]) -> frozenset[str]:
    """Return the texts by which studies find the orders that have one of these keys (`key_text`, `record_text`).

    Raises:
        StoreUnavailable: the store cannot be reached.
    """
    rows = [(int(order), str(key)) for order, key in await engine.fetch(_TEXTS, keys=json.dumps(sorted(keys)))]
    return frozenset([record_text(order) for order, _ in rows] + [key for _, key in rows if is_key(key)])


def order_of(number: int) -> Steps[StoredOrder | None]:
    """Return the order of that number, as a step of a transaction; None if there is none."""
    rows = yield from ask(_BY_NUMBER, number=number)
    return _order(rows[0]) if rows else None


async def orders_by_number(engine: Engine, numbers: Iterable[int]) -> list[StoredOrder]:
    """Return the orders of these numbers that are stored.

    Raises:
        StoreUnavailable: the store cannot be reached.
    """
    found = [await engine.fetch(_BY_NUMBER, number=number) for number in sorted(set(numbers))]
    return [_order(row) for rows in found for row in rows]


def put_order(number: int | None, order: KnownOrder, keys: Sequence[str], now: int) -> Steps[int]:
    """Store an order, new (`number` is None) or changed, with its keys; return its number."""
    values = {
        "source": order.source.name,
        "first_at": micros(order.first_at),
        "last_at": micros(order.last_at),
        "applied": now,
        "body": _body(order),
    }
    if number is None:
        number = int((yield from ask(_ADD, **values))[0][0])
        yield from _add_keys(number, keys)
    else:
        yield from ask(_CHANGE, number=number, **values)
        yield from put_order_keys(number, keys)
    return number


def renumber_order(number: int, order: KnownOrder) -> Steps[None]:
    """Store an order whose numbers have other authorities, as last heard of when it was."""
    yield from ask(_RENUMBER, number=number, body=_body(order))


def put_order_keys(number: int, keys: Sequence[str]) -> Steps[None]:
    """Store the keys of an order in place of those before."""
    yield from ask(_DROP_KEYS, number=number, keys=json.dumps(keys))
    yield from _add_keys(number, keys)


def _add_keys(number: int, keys: Sequence[str]) -> Steps[None]:
    yield from ask_each(_ADD_KEY, [{"key": key, "number": number} for key in sorted(set(keys))])


def _body(order: KnownOrder) -> bytes:
    return compressed("order", encoded(order))


def _order(row: Row) -> StoredOrder:
    number, revision, body = row
    return StoredOrder(int(number), int(revision), rebuilt(KnownOrder, unpacked(bytes(body))))
