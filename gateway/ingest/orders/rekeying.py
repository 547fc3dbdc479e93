"""Store known orders under the numbers that the settings give them, once authorities of the settings changed.

HL7 v2.5.1 §2.A.36 (HD), decision D48. An order is found by its numbers, each with the system of its authority. If the
settings name an authority that they did not, or name it otherwise, the orders that are known are found by it. The
authority of a number that was read stays: one whose system the settings contradict now is no key.
Proved by tests/gateway/ingest/orders/test_rekeying.py.
"""

from __future__ import annotations

from functools import partial
from typing import Final

from gateway.ingest.orders.apply_orders import found_by
from gateway.runtime import clock
from gateway.runtime.log import get_logger
from gateway.runtime.loops import forever, resting
from gateway.store.database.engine import Engine
from gateway.store.database.facts import claimed, put, value_of
from gateway.store.database.instants import micros
from gateway.store.database.statements import Steps
from gateway.store.orders.rekeying import order_numbers, rekey
from gateway.store.orders.study_keys import lock_names, refresh_studies
from gateway.store.studies import locks
from mappings.hospital.authorities import Authorities
from mappings.hospital.known_order import KnownOrder

EVERY: Final = 3_600.0  # seconds
MOST: Final = 20  # orders of one transaction, since messages that arrive wait for it
_FACT: Final = "order-authorities"


class OrderKeys:
    """Upkeep of the numbers of known orders under the authorities of the settings."""

    def __init__(self, engine: Engine, authorities: Authorities) -> None:
        self._engine, self._authorities = engine, authorities

    async def run(self) -> None:
        """Look at the start, and every hour in case a process with older settings was in between."""
        await forever(self.once, EVERY, not_done="orders-not-rekeyed")

    async def once(self) -> None:
        """Store all orders under their numbers, unless that was done under these authorities.

        Raises:
            StoreUnavailable: the store cannot be reached; the next look begins anew.
        """
        digest = self._authorities.digest
        if await value_of(self._engine, _FACT) == digest:
            return
        after = 0
        while numbers := await order_numbers(self._engine, after, MOST):
            await resting(self._rekeyed(numbers))
            after = numbers[-1]
        await claimed(self._engine, _FACT, digest)
        await put(self._engine, _FACT, digest)
        get_logger().info("orders-rekeyed")

    async def _rekeyed(self, numbers: list[int]) -> None:
        locked = frozenset[str]()
        while not (concerned := await self._engine.do(partial(self._rekeying, numbers, locked))) <= locked:
            locked |= concerned

    def _rekeying(self, numbers: list[int], locked: frozenset[str]) -> Steps[frozenset[str]]:
        yield from locks.take(lock_names(locked))
        concerned = yield from rekey(numbers, self._keys_of, locked)
        if concerned <= locked:
            yield from refresh_studies(concerned, micros(clock.now()))
        return concerned

    def _keys_of(self, order: KnownOrder) -> list[str]:
        return found_by(order, self._authorities)
