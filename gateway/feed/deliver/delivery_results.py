"""Act on delivery results: count them, open the breaker or pause; keep results that could not be stored for later.

HL7 v2.5.1 §2.9.2.2 (AR may pass, AE does not), table 0357 (200 to 203: the kind of message is not supported); decisions
D32, D33. Consecutive refusals that mean *later* open the circuit breaker; permanent ones pause the destination.
Immediate answers and late ones are counted apart, each by its own `DeliveryResults`: a receiver's interface may accept
everything while its application refuses everything. An acknowledgement counts whoever holds the lease now, and so does
a message that may have been written too late. Any other result counts only if no other process held the lease since.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Final

from gateway.feed.deliver.circuit_breaker import CircuitBreaker
from gateway.routing import Destination, Folder
from gateway.runtime import clock
from gateway.runtime.log import code_of, get_logger
from gateway.runtime.metrics import Metrics
from gateway.settings.feed import Feed
from gateway.store.database.engine import Engine, micros
from gateway.store.feed import lanes
from gateway.store.feed.leases import paused
from gateway.store.feed.messages import Head, SendResult
from gateway.store.feed.states import FOR_NOW

UNSUPPORTED: Final = "messages-not-supported"
REFUSED_IN_A_ROW: Final = "refused-in-a-row"


class _Tally:
    """Count of consecutive refusals, and the lanes concerned."""

    def __init__(self) -> None:
        self._count = 0
        self._lanes: set[str] = set()

    def add(self, lane: str) -> None:
        self._count += 1
        self._lanes.add(lane)

    def reaches(self, count: int, lanes: int) -> bool:
        return self._count >= count and len(self._lanes) >= lanes


class RefusalCount:
    """Consecutive refusals of a destination: all of them, and only the permanent ones."""

    def __init__(self, settings: Feed) -> None:
        self._limits = settings.breaker_refusals, settings.breaker_lanes
        self._all, self._for_good, self._is_for_now = _Tally(), _Tally(), False

    def after(self, result: SendResult) -> str:
        """Count a result; return the reason to pause, `FOR_NOW` to open the breaker, or empty for neither."""
        if result.state == "delivered":
            self._all, self._for_good, self._is_for_now = _Tally(), _Tally(), False
        if not result.is_refused:
            return ""
        self._all.add(result.head.study_id)
        if result.is_for_now:
            self._is_for_now = True
        else:
            self._for_good.add(result.head.study_id)
        if result.pauses:
            return UNSUPPORTED
        if self._for_good.reaches(*self._limits):
            return REFUSED_IN_A_ROW
        return FOR_NOW if self._is_for_now and self._all.reaches(*self._limits) else ""


_SECOND: Final = 1_000_000


class DeliveryResults:
    """Act on the results of one destination: metrics, circuit breaker, and pause."""

    def __init__(
        self, engine: Engine, destination: str, settings: Feed, metrics: Metrics, breaker: CircuitBreaker
    ) -> None:
        self._engine, self._destination, self._metrics, self._breaker = engine, destination, metrics, breaker
        self._refusals = RefusalCount(settings)

    async def count(self, result: SendResult, *, is_late: bool = False) -> None:
        """Count a result; `is_late` for the application's answer to a message that counts as delivered already.

        Raises:
            StoreUnavailable: the destination must be paused or probed, and the store cannot be reached.
        """
        name, head = self._destination, result.head
        if not is_late or result.state != "delivered":
            self._metrics.fed(name, result.state, result.reason)
        if head.signed is not None and result.accepted is not None:
            self._metrics.acknowledged(name, (result.accepted - head.signed) / _SECOND, is_critical=head.is_critical)
        reason = self._refusals.after(result)
        await self._breaker.update(result, is_late=is_late)
        if reason == FOR_NOW:
            await self._breaker.open(is_late=is_late)
        elif reason:
            get_logger().error("destination-paused", destination=name, code=reason)
            await self._engine.do(partial(paused, name, reason, micros(clock.now())))


_TRY: Final = 1.0  # seconds between two tries to store a result


class UnwrittenResults:
    """Results of one destination still to be stored; `lease` is the length of a lease in seconds."""

    def __init__(self, engine: Engine, destination: Destination, lease: float, results: DeliveryResults) -> None:
        self._engine, self._name, self._results = engine, destination.name, results
        transport = destination.transport
        self._answer = 0.0 if isinstance(transport, Folder) else transport.ack_timeout
        self._connect = 0.0 if isinstance(transport, Folder) else transport.connect_timeout
        self._lease = lease
        self._unwritten: list[tuple[int, SendResult]] = []  # each with the fence of its claim
        self._late: list[Head] = []
        self._news = asyncio.Event()

    def keep(self, fence: int, result: SendResult) -> None:
        """Keep a result that could not be stored: the store failed, or another process has the lease."""
        self._unwritten.append((fence, result))
        self._news.set()

    def wrote_late(self, head: Head) -> None:
        """Remember a message that may have been written after the permit ended."""
        get_logger().error("written-after-lease", destination=self._name, study_id=head.study_id, code="old-copy")
        self._late.append(head)
        self._news.set()

    def over_at(self, now: int) -> int:
        """Return the instant after which nothing that an earlier lease holder sent can arrive."""
        return now + int((self._lease + self._connect + self._answer) * _SECOND)

    def since(self, fence: int) -> list[SendResult]:
        """Return the results to store first under a new lease with that fence number."""
        return [one for own, one in self._unwritten if one.state == "delivered" or own == fence - 1]

    def forget(self, results: list[SendResult]) -> None:
        """Drop these results, which are stored, and all that are no deliveries: they do not count under a new lease."""
        left = [row for row in self._unwritten if row[1] not in results]
        self._unwritten = [(own, one) for own, one in left if one.state == "delivered"]

    async def run(self) -> None:
        """Store the kept results as soon as the store works, until cancelled."""
        while True:
            self._news.clear()
            try:
                await self.settle()
            except Exception as error:
                get_logger().warning("aftermath-not-written", destination=self._name, code=code_of(error))
                await clock.sleep(_TRY)
            else:
                await self._news.wait()

    async def settle(self) -> None:
        """Store the results that count whoever has the lease: deliveries and late writes.

        Raises:
            StoreUnavailable: the store cannot be reached.
        """
        while self._late:
            until = micros(clock.now()) + int(self._answer * _SECOND)
            await self._engine.do(partial(lanes.record_late_write, self._late[0].number, until))
            self._late.pop(0)
        for result in [one for _, one in self._unwritten if one.state == "delivered"]:
            is_news = await self._engine.do(partial(lanes.record_delivery, self._name, result, micros(clock.now())))
            self._unwritten = [row for row in self._unwritten if row[1] is not result]
            if is_news:
                await self._results.count(result)
