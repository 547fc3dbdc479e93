"""Store known orders under the numbers that the settings give them, once authorities of the settings changed.

HL7 v2.5.1 §2.A.36 (HD), decision D48. An order is found by its numbers, each with the system of its authority. If the
settings name an authority that they did not, or name it otherwise, the orders that are known are found by it. Where a
message names no authority, or only a part of it, the settings complete it, for known orders, too. The authority that a
message names in full stays: one whose system the settings contradict now is no key. Visits and pairs of merges follow.
Proved by tests/gateway/ingest/orders/test_rekeying.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from hashlib import sha256
from typing import Final

from gateway.ingest.orders.apply_orders import found_by
from gateway.ingest.orders.completed import completed, rules_for
from gateway.ingest.orders.rereading import Rereading
from gateway.runtime import clock
from gateway.runtime.log import get_logger
from gateway.runtime.loops import forever, resting
from gateway.store.database import locks
from gateway.store.database.engine import Engine, Steps, micros
from gateway.store.database.facts import claimed, put, value_of
from gateway.store.orders.hospital import order_numbers, put_left_merges, rekey
from gateway.store.orders.numbers import lock_names, refresh_studies
from mappings.hl7v2.inbound import SourceRules
from mappings.hospital.authorities import Authorities
from mappings.hospital.known_order import KnownOrder

EVERY: Final = 3_600.0  # seconds
MOST: Final = 20  # orders of one transaction, since messages that arrive wait for it
NOT_READ: Final = "merges-not-read-anew"
_FACT: Final = "order-authorities"
_READING: Final = 3  # with another one all is read anew once, also under the same authorities


class OrderKeys:
    """Upkeep of the numbers of known orders under the authorities of the settings; `rules` are those of each source."""

    def __init__(self, engine: Engine, authorities: Authorities, rules: Mapping[str, SourceRules]) -> None:
        self._engine, self._authorities, self._rules = engine, authorities, rules

    async def run(self) -> None:
        """Look at the start, and every hour in case a process with older settings was in between."""
        await forever(self.once, EVERY, not_done="orders-not-rekeyed")

    async def once(self) -> None:
        """Store all orders under their numbers, unless that was done under these authorities.

        Raises:
            StoreUnavailable: the store cannot be reached; the next look begins anew.
        """
        if await self.is_done():
            return
        digest, after = self._digest, 0
        while numbers := await order_numbers(self._engine, after, MOST):
            await resting(self._rekeyed(numbers))
            after = numbers[-1]
        rereading = Rereading(self._engine, self._authorities, self._rules)
        await rereading.visits()
        left = await rereading.merges()
        await put_left_merges(self._engine, left.total(), micros(clock.now()))  # first: it is counted only once
        await claimed(self._engine, _FACT, digest)
        await put(self._engine, _FACT, digest)
        get_logger().info("orders-rekeyed")
        for (source, system), count in sorted(left.items()):
            get_logger().warning(NOT_READ, source=source, where=system, count=count)

    async def is_done(self) -> bool:
        """Return True if all orders, visits and merges are stored under their numbers of these authorities.

        Raises:
            StoreUnavailable: the store cannot be reached.
        """
        return await value_of(self._engine, _FACT) == self._digest

    async def _rekeyed(self, numbers: list[int]) -> None:
        locked = frozenset[str]()
        while not (concerned := await self._engine.do(partial(self._rekeying, numbers, locked))) <= locked:
            locked |= concerned

    def _rekeying(self, numbers: list[int], locked: frozenset[str]) -> Steps[frozenset[str]]:
        yield from locks.take(lock_names(locked))
        concerned = yield from rekey(numbers, self._read_anew, self._keys_of, locked)
        if concerned <= locked:
            yield from refresh_studies(concerned, micros(clock.now()))
        return concerned

    @property
    def _digest(self) -> str:
        """Digest of all that the numbers of known orders depend on."""
        rules = [
            (name, one.authorities, sorted(one.bare.items()), one.sending_facilities, one.location_facilities)
            for name, one in sorted(self._rules.items())
        ]
        return sha256(f"{_READING} {self._authorities.digest} {rules}".encode()).hexdigest()

    def _read_anew(self, order: KnownOrder) -> KnownOrder:
        """Return an order with its numbers as they are read by the settings of its source."""
        rules = self._rules.get(order.source.name)
        if rules is None:
            return order
        rules = rules_for(rules, order.content_of if order.content_of.sender[1] else order.state_of, order.visit)
        placer, filler = order.replaced_by
        numbers, of_visit = [
            tuple([completed(one, "patient", rules) for one in patient.numbers])
            for patient in (order.patient, order.visit_of)
        ]
        return replace(
            order,
            placer=completed(order.placer, "placer", rules),
            filler=completed(order.filler, "filler", rules),
            accession=completed(order.accession, "accession", rules),
            group=completed(order.group, "placer", rules),
            replaced_by=(completed(placer, "placer", rules), completed(filler, "filler", rules)),
            patient=replace(order.patient, numbers=numbers, account=completed(order.patient.account, "account", rules)),
            visit_of=replace(order.visit_of, numbers=of_visit),
            visit=order.visit and replace(order.visit, number=completed(order.visit.number, "visit", rules)),
        )

    def _keys_of(self, order: KnownOrder) -> list[str]:
        return found_by(order, self._authorities)
