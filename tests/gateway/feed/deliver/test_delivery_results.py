"""Results of one destination: counted, and what refuses everything is paused or probed (D32)."""

from __future__ import annotations

from typing import Any

import pytest
from fakes.heads import head
from fakes.inbox import sample
from fakes.store import rows

from gateway.feed.deliver.circuit_breaker import CircuitBreaker
from gateway.feed.deliver.delivery_results import UNSUPPORTED, DeliveryResults
from gateway.runtime import clock
from gateway.runtime.metrics import Metrics
from gateway.settings.feed import Feed
from gateway.store.database.engine import micros
from gateway.store.feed.leases import Leases
from gateway.store.feed.messages import SendResult


class Results:
    """Results of the destination `ehr` in a store, with its metrics."""

    def __init__(self, engine: Any) -> None:
        self.engine, self.metrics = engine, Metrics()
        self.breaker = CircuitBreaker(engine, "ehr", self.metrics)
        self._counted = DeliveryResults(engine, "ehr", Feed(), self.metrics, self.breaker)

    async def count(self, state: Any, reason: str = "", *, is_late: bool = False, **more: Any) -> None:
        of = more.pop("head", head())
        await self._counted.count(SendResult(of, state, reason, **more), is_late=is_late)

    def counted(self, state: str, reason: str = "") -> float:
        return sample(self.metrics, "feed_messages_total", destination="ehr", state=state, reason=reason) or 0


@pytest.fixture
def results(sqlite_engine: Any) -> Results:
    return Results(sqlite_engine)


async def test_each_result_is_counted_once_and_a_late_delivery_was_counted_before(results: Results) -> None:
    await results.count("delivered", ack="AA")
    await results.count("delivered", ack="AA", is_late=True)
    assert results.counted("delivered") == 1
    await results.count("dead_letter", "AE-101", ack="AE", is_late=True)
    await results.count("queued", "ack-timeout")
    assert results.counted("dead_letter", "AE-101") + results.counted("dead_letter", "other") == 1
    assert results.counted("queued", "ack-timeout") == 1


async def test_the_time_to_the_acknowledgement_of_a_critical_result_is_measured(results: Results) -> None:
    now = micros(clock.now())
    signed = now - 90_000_000
    for is_critical, when, accepted in ((True, signed, now), (False, signed, now), (True, None, now), (True, 1, None)):
        of = head(is_critical=is_critical, signed=when)
        await results.count("delivered", ack="AA", accepted=accepted, head=of)
    name = "feed_critical_seconds"
    assert sample(results.metrics, f"{name}_count", destination="ehr") == 1
    assert sample(results.metrics, f"{name}_sum", destination="ehr") == pytest.approx(90)


async def test_an_interface_that_supports_no_message_is_paused_with_the_reason(results: Results) -> None:
    await Leases(results.engine, "one", 60.0).take("ehr")
    refused = head(study_id="stu_1")
    await results.count("held", "AR-201", ack="AR", head=refused, pauses=True)
    [(reason,)] = await rows(results.engine, "SELECT paused FROM destination WHERE name = 'ehr'")
    assert reason == UNSUPPORTED
