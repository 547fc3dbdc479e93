"""Act on delivery results: update metrics; open the circuit breaker or pause sending, as refusal_count.py decides.

HL7 v2.5.1 §2.9.2; decision D32. Immediate answers and late ones are counted apart, each by its own `DeliveryResults`: a
receiver's interface may accept everything while its application refuses everything.
Proved by tests/gateway/feed/deliver/test_circuit_breaker.py and tests/gateway/feed/deliver/test_late_acks.py.
"""

from __future__ import annotations

from functools import partial
from typing import Final

from gateway.feed.deliver.circuit_breaker import CircuitBreaker
from gateway.feed.deliver.refusal_count import RefusalCount
from gateway.runtime import clock
from gateway.runtime.log import get_logger
from gateway.runtime.metrics import Metrics
from gateway.settings.feed import Feed
from gateway.store.database.engine import Engine, micros
from gateway.store.feed.leases import paused
from gateway.store.feed.messages import SendResult
from gateway.store.feed.states import FOR_NOW

_SECOND: Final = 1_000_000


class DeliveryResults:
    """Counter of the results of one destination."""

    def __init__(
        self, engine: Engine, destination: str, settings: Feed, metrics: Metrics, breaker: CircuitBreaker
    ) -> None:
        self._engine, self._destination, self._metrics, self._breaker = engine, destination, metrics, breaker
        self._refusals = RefusalCount(settings)

    async def count(self, result: SendResult, *, is_late: bool = False) -> None:
        """Count a result; `is_late` for an application's answer to a message that was delivered and counted before.

        Raises:
            StoreUnavailable: the destination must be paused or probed, and the store cannot be reached.
        """
        name, head = self._destination, result.head
        if not is_late or result.state != "delivered":
            self._metrics.fed(name, result.state, result.reason)
        if head.is_critical and head.signed is not None and result.accepted is not None:
            self._metrics.acknowledged_critical(name, (result.accepted - head.signed) / _SECOND)
        reason = self._refusals.after(result)
        await self._breaker.update(result, is_late=is_late)
        if reason == FOR_NOW:
            await self._breaker.open(is_late=is_late)
        elif reason:
            get_logger().error("destination-paused", destination=name, code=reason)
            await self._engine.do(partial(paused, name, reason, micros(clock.now())))
