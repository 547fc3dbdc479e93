"""Results that could not be stored under their lease: kept, and stored once they can be (D33)."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from fakes.lanes import AT, Scene, new
from fakes.store import rows

from gateway.feed.deliver import delivery_results
from gateway.feed.deliver.delivery_results import UnwrittenResults
from gateway.routing import Mllp
from gateway.routing.transport import Folder
from gateway.runtime import clock
from gateway.runtime.errors import StoreUnavailable
from gateway.store.database.engine import micros
from gateway.store.feed import lanes
from gateway.store.feed.leases import Leases
from gateway.store.feed.messages import SendResult

SECOND = 1_000_000


class Destination:
    """Destination with a transport, and nothing else that matters here."""

    name = "ehr"

    def __init__(self, transport: Any) -> None:
        self.transport = transport


class Heard:
    """Counter of results that only remembers them."""

    def __init__(self) -> None:
        self.results: list[SendResult] = []

    async def count(self, result: SendResult, *, is_late: bool = False) -> None:
        assert not is_late
        self.results.append(result)

    def __getattr__(self, name: str) -> Any:
        return self.hear


@pytest.fixture
async def scene(sqlite_engine: Any) -> Any:
    """Two lanes with a message in hand each, under a lease that was lost since."""
    made = Scene(sqlite_engine, await Leases(sqlite_engine, "one", 60.0).take("ehr"))
    await made.add("stu_a", new(1))
    await made.add("stu_b", new(2, restates="F2/"))
    made.heads_in_hand = await made.heads()
    await made.step(claims=made.heads_in_hand)
    return made


def unwritten(engine: Any, heard: Any = None, transport: Any = None, lease: float = 6.0) -> UnwrittenResults:
    transport = transport or Mllp("h", 1, connect_timeout=3.0, ack_timeout=5.0)
    return UnwrittenResults(engine, Destination(transport), lease, heard or Heard())  # type: ignore[arg-type]


def test_an_old_copy_may_arrive_until_lease_connection_and_answer_are_over() -> None:
    assert unwritten(None).over_at(AT) == AT + 14 * SECOND
    assert unwritten(None, transport=Folder(Path("out"))).over_at(AT) == AT + 6 * SECOND
    assert unwritten(None, lease=0.5).over_at(AT) == AT + 8_500_000


async def test_a_delivery_counts_under_any_lease_and_another_result_under_the_next_only(scene: Any) -> None:
    first, second = scene.heads_in_hand
    kept = unwritten(scene.engine)
    delivered, failed = SendResult(first, "delivered", ack="AA"), SendResult(second, "queued", "no-answer")
    kept.keep(7, delivered)
    kept.keep(7, failed)
    assert kept.since(8) == [delivered, failed]
    assert kept.since(7) == kept.since(9) == [delivered]


async def test_what_was_stored_is_forgotten_and_so_is_what_no_longer_counts(scene: Any) -> None:
    first, second = scene.heads_in_hand
    kept = unwritten(scene.engine)
    delivered, failed = SendResult(first, "delivered", ack="AA"), SendResult(second, "queued", "no-answer")
    other = SendResult(second, "delivered", ack="CA")
    for result in (delivered, failed, other):
        kept.keep(7, result)
    kept.forget([delivered])
    assert kept.since(8) == [other]


async def test_a_delivery_is_stored_and_counted_once_whoever_has_the_lease(scene: Any) -> None:
    first, second = scene.heads_in_hand
    heard = Heard()
    kept = unwritten(scene.engine, heard)
    delivered = SendResult(first, "delivered", ack="AA", accepted=AT)
    kept.keep(1, delivered)
    kept.keep(1, SendResult(second, "queued", "no-answer"))
    assert await Leases(scene.engine, "two", 60.0).take("ehr") is None
    await kept.settle()
    assert [state for _, state, _ in await scene.states()] == ["delivered", "sending"]
    assert heard.results == [delivered]
    await kept.settle()
    assert heard.results == [delivered]
    assert [one.state for one in kept.since(2)] == ["queued"]


async def test_a_delivery_that_was_stored_by_another_is_not_counted_again(scene: Any) -> None:
    heard = Heard()
    kept = unwritten(scene.engine, heard)
    delivered = SendResult(scene.heads_in_hand[0], "delivered", ack="AA", accepted=AT)
    await scene.engine.do(partial(lanes.record_delivery, "ehr", delivered, AT))
    kept.keep(1, delivered)
    await kept.settle()
    assert heard.results == [] and kept.since(2) == []


async def test_a_message_that_was_written_late_is_marked_until_it_must_have_arrived(scene: Any) -> None:
    first, _ = scene.heads_in_hand
    marks = "SELECT number, stale_until FROM message WHERE stale_until IS NOT NULL"
    kept = unwritten(scene.engine)
    kept.wrote_late(first)
    before = micros(clock.now())
    await kept.settle()
    [(number, until)] = await rows(scene.engine, marks)
    assert number == first.number
    assert before + 5 * SECOND <= until <= micros(clock.now()) + 5 * SECOND
    await kept.settle()
    assert await rows(scene.engine, marks) == [(number, until)]


async def test_results_are_stored_as_they_come_and_again_while_the_store_fails(
    scene: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery_results, "_TRY", 0.01)
    first, second = scene.heads_in_hand
    fails = [True, True]

    class Engine:
        async def do(self, work: Any) -> Any:
            if fails:
                fails.pop()
                raise StoreUnavailable("gone")
            return await scene.engine.do(work)

    heard = Heard()
    kept = unwritten(Engine(), heard)
    running = asyncio.create_task(kept.run())
    try:
        for number, head in enumerate((first, second), 1):
            kept.keep(1, SendResult(head, "delivered", ack="AA", accepted=AT))
            async with asyncio.timeout(60):
                while len(heard.results) < number:
                    await asyncio.sleep(0.005)
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
    assert fails == []
    assert [state for _, state, _ in await scene.states()] == ["delivered"] * 2
