"""Keep delivery results that could not be stored (database down, lease lost) in memory, and store them later.

HL7 v2.5.1 §2.9.2; decision D33. An acknowledgement counts whoever holds the lease now, and so does a message that may
have been written too late. Any other result counts only if no other process held the lease since.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Final

from gateway.feed.deliver.delivery_results import DeliveryResults
from gateway.routing import Destination, Folder
from gateway.runtime import clock
from gateway.runtime.log import code_of, get_logger
from gateway.store.database.engine import Engine, micros
from gateway.store.feed import takeover
from gateway.store.feed.messages import Head, SendResult

_TRY: Final = 1.0  # seconds between two tries to store a result
_SECOND: Final = 1_000_000


class UnwrittenResults:
    """Results at one destination that are not stored yet; `lease` is how long a lease is valid, in seconds."""

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
        """Keep a result that could not be stored: the store failed, or another process holds the lease."""
        self._unwritten.append((fence, result))
        self._news.set()

    def wrote_late(self, head: Head) -> None:
        """Keep a message that may have been written after the permit ended."""
        get_logger().error("written-after-lease", destination=self._name, study_id=head.study_id, code="old-copy")
        self._late.append(head)
        self._news.set()

    def over_at(self, now: int) -> int:
        """Return the instant after which no message of an earlier holder can arrive any more."""
        return now + int((self._lease + self._connect + self._answer) * _SECOND)

    def since(self, fence: int) -> list[SendResult]:
        """Return the results to store first under a lease with that fence."""
        return [one for own, one in self._unwritten if one.state == "delivered" or own == fence - 1]

    def forget(self, results: list[SendResult]) -> None:
        """Drop these stored results, and all others but deliveries: those no longer count under the new lease."""
        left = [row for row in self._unwritten if row[1] not in results]
        self._unwritten = [(own, one) for own, one in left if one.state == "delivered"]

    async def run(self) -> None:
        """Store the kept results as soon as possible, until cancelled."""
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
        """Store the results that count whoever holds the lease.

        Raises:
            StoreUnavailable: the store cannot be reached.
        """
        while self._late:
            until = micros(clock.now()) + int(self._answer * _SECOND)
            await self._engine.do(partial(takeover.record_late_write, self._late[0].number, until))
            self._late.pop(0)
        for result in [one for _, one in self._unwritten if one.state == "delivered"]:
            is_news = await self._engine.do(partial(takeover.record_delivery, self._name, result, micros(clock.now())))
            self._unwritten = [row for row in self._unwritten if row[1] is not result]
            if is_news:
                await self._results.count(result)
