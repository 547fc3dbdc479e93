"""Worker of one destination: while this process holds the lease, it composes the messages and sends them.

HL7 v2.5.1 §2.9.2; decisions D32, D33. Messages that the previous holder had in hand may have arrived, and are sent
again first. Once the lease is over nothing is written, but answers to written messages are still awaited. The listener
for application acknowledgements runs whether or not this process holds the lease.
Proved by tests/gateway/feed/deliver/test_circuit_breaker.py and tests/contract/test_acks_brought.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from functools import partial
from typing import Any, Final

from gateway.feed.compose.render_due import TOGETHER, DueRenderer
from gateway.feed.deliver.ack_listener import ack_listener
from gateway.feed.deliver.channel import channel
from gateway.feed.deliver.circuit_breaker import CircuitBreaker
from gateway.feed.deliver.delivery_results import DeliveryResults
from gateway.feed.deliver.journaling import UNKEPT, Journal
from gateway.feed.deliver.late_acks import LateAcks
from gateway.feed.deliver.lease_guard import LeaseGuard
from gateway.feed.deliver.lookahead import Lookahead
from gateway.feed.deliver.sender import Sender
from gateway.feed.deliver.unwritten_results import UnwrittenResults
from gateway.feed.plan.planning import Planning
from gateway.routing.filter import Ignore
from gateway.runtime import clock
from gateway.runtime.errors import GatewayError
from gateway.runtime.log import code_of, get_logger
from gateway.runtime.loops import alongside
from gateway.runtime.metrics import Metrics
from gateway.settings.feed import Feed
from gateway.store.database.instants import micros
from gateway.store.feed import takeover
from gateway.store.feed.leases import LeaseLost, Leases
from gateway.store.feed.messages import Messages, SendResult
from gateway.store.feed.renaming import NotRenamed, renamed
from gateway.store.feed.set_back import set_back

_PLAN: Final = 5.0  # seconds between two updates of the plan for changed settings
_SOON: Final = 1.0  # seconds until planning that could not begin is tried again
_MEND: Final = 1.0  # seconds between two checks for old copies
_LOOK: Final = 0.25  # seconds between two checks for rows to compose, for a pause, and for a clock set back
_SET_BACK: Final = 1.0  # seconds by which a clock must go back to count as set back
_GRACE: Final = 10.0  # seconds to wait for an acknowledgement when stopping
_MOMENT: Final = 5.0  # seconds to wait at the end for a store that may not answer
_SECOND: Final = 1_000_000


class DestinationWorker:
    """Worker of one destination in one process; `leases` names the process."""

    def __init__(  # noqa: PLR0913 (its collaborators)
        self,
        making: DueRenderer,
        leases: Leases,
        settings: Feed,
        metrics: Metrics,
        *,
        ignores: tuple[Ignore, ...] = (),
        journal: Journal = UNKEPT,
    ) -> None:
        self._making, self._leases = making, leases
        self._engine, self._destination = making.engine, making.destination
        self._journal = journal
        self._breaker = CircuitBreaker(self._engine, self._destination.name, metrics)
        self._hearing = DeliveryResults(self._engine, self._destination.name, settings, metrics, self._breaker)
        self._aftermath = UnwrittenResults(self._engine, self._destination, leases.seconds, self._hearing)
        self._listening: set[asyncio.Task[None]] = set()  # senders whose lease is over, waiting for an answer
        self._late = LateAcks(self._engine, self._destination, settings, metrics, self._breaker, journal=journal)
        self._planning = Planning(self._engine, self._destination, ignores, settings)

    async def run(self) -> None:
        """Serve the destination whenever the lease is free, until cancelled; then finish the messages in hand."""
        beside = [one.run() for one in ack_listener(self._destination, self._late)]
        async with alongside([*beside, self._aftermath.run()]):
            try:
                await self._run()
            finally:
                for task in self._listening:
                    task.cancel()
                await asyncio.gather(*self._listening, return_exceptions=True)

    async def _run(self) -> None:
        """Take the lease and serve, again and again."""
        name = self._destination.name
        while True:
            try:
                lease = await self._leases.take(name)
                if lease is not None:
                    await self._serve(LeaseGuard(self._leases, lease))
            except LeaseLost:
                get_logger().warning("lease-lost", destination=name)
            except Exception as error:
                get_logger().error("feed-interrupted", destination=name, code=code_of(error), exc_info=error)
            self._breaker.left()
            await clock.sleep(self._leases.again)

    async def _serve(self, tenure: LeaseGuard) -> None:
        """Serve the destination under a lease, until it is lost or this is cancelled.

        Raises:
            LeaseLost: another process holds the destination's lease.
            StoreUnavailable: the store cannot be reached.
        """
        await self._take_over(tenure)
        lookahead = Lookahead(Messages(self._engine), self._destination.name, self._breaker)
        results: asyncio.Queue[SendResult] = asyncio.Queue()
        sender = Sender(
            self._engine,
            self._destination,
            tenure,
            lookahead,
            tell=results.put_nowait,
            aftermath=self._aftermath,
            journal=self._journal,
        )
        count, late = self._destination.receiver.window, self._late.take
        channels = [channel(self._destination, late, tenure.permit) for _ in range(count)]
        loops = (
            tenure.keep(),
            self._make(tenure, lookahead),
            self._look(lookahead),
            self._mend(tenure),
            self._watch_clock(tenure, lookahead),
            self._hear(results),
            self._late.run(),
            self._plan(tenure),
        )
        senders = [self._started(sender.run(one, number)) for number, one in enumerate(channels, 1)]
        others = [self._started(loop) for loop in loops]
        try:
            await self._until_over(tenure, lookahead, senders, others)
        finally:
            ending = [task for task in (*senders, *others) if task not in self._listening]
            for task in ending:
                task.cancel()
            await asyncio.wait(ending, timeout=_MOMENT)
            await asyncio.wait([self._started(self._hand_back(tenure))], timeout=_MOMENT)

    async def _until_over(
        self, tenure: LeaseGuard, line: Lookahead, senders: list[asyncio.Task[None]], others: list[asyncio.Task[None]]
    ) -> None:
        """Wait until a task ends or this is cancelled; then for the messages in hand, so that they are not sent twice.

        When cancelled, messages in hand are still sent. After an error nothing more is sent, but an answer that can
        still come is awaited.
        """
        try:
            ended, _ = await asyncio.wait([*senders, *others], return_when=asyncio.FIRST_COMPLETED)
            for task in ended:
                task.result()
        except asyncio.CancelledError:
            line.close()
            await asyncio.wait(senders, timeout=_GRACE)
            raise
        except Exception:
            line.close()
            tenure.permit.end()
            await asyncio.wait(senders, timeout=_GRACE)
            self._listening.update(task for task in senders if not task.done())
            raise

    async def _hand_back(self, tenure: LeaseGuard) -> None:
        """Store the last late acknowledgements and give the lease back; it expires if the store does not answer."""
        with suppress(GatewayError, LeaseLost):
            await self._late.settle(within=0)  # acknowledgements that came with the last messages
            await tenure.give_back()

    def _started(self, loop: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(loop)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        """Forget an ended task and fetch its exception, even if no caller waits for it any more."""
        self._listening.discard(task)
        if not task.cancelled():
            task.exception()

    async def _mend(self, tenure: LeaseGuard) -> None:
        """Queue a report again if an old copy may have arrived after it, once no old copy can arrive any more."""
        name, restates = self._destination.name, self._destination.receiver.addendum == "replace"
        while True:
            now = micros(clock.now())
            for stale_message in await takeover.stale(self._engine, name, now):
                mended = partial(takeover.mended, tenure.lease, stale_message, now, restates=restates)
                code = await self._engine.do(mended)
                get_logger().warning("old-copy-possible", destination=name, study_id=stale_message.study_id, code=code)
            await clock.sleep(_MEND)

    async def _take_over(self, tenure: LeaseGuard) -> None:
        """Check the journal, then settle or send again the messages that the last holder had in hand."""
        name = self._destination.name
        await self._journal.see_that_nothing_is_lost()
        most, now = self._destination.retry.indeterminate_resends, micros(clock.now())
        results, until = self._aftermath.since(tenure.lease.fence), self._aftermath.over_at(now)
        again = await self._engine.do(partial(takeover.taken_over, tenure.lease, results, most, now, until))
        for result in results:
            self._journal.note(name, result.head, result)
        self._aftermath.forget(results)
        get_logger().info("feed-serves", destination=name, count=len(again))
        await self._breaker.look()

    async def _make(self, tenure: LeaseGuard, line: Lookahead) -> None:
        """Compose the messages that are due, again and again."""
        await self._making.see_settings(tenure.lease)
        with self._engine.bell.listener() as news:
            while True:
                made = await self._making.once(tenure.lease)
                if made:
                    line.look_again()
                if made < TOGETHER:  # a full batch: more is likely due
                    await news.wait(_LOOK)

    async def _plan(self, tenure: LeaseGuard) -> None:
        """Put the settings in force, and plan the messages that they change for earlier reports (D37)."""
        while not await self._planning.begin(tenure.lease):
            await clock.sleep(_SOON)
        while True:
            await self._planning.look()
            await self._take_rows_of_the_old_name()
            await clock.sleep(_PLAN)

    async def _take_rows_of_the_old_name(self) -> None:
        """Rename outbox rows that a process with older settings still writes under the destination's former name."""
        old, new = self._destination.formerly, self._destination.name
        if old:
            with suppress(NotRenamed):  # reported when the gateway starts
                await self._engine.do(partial(renamed, old, new, micros(clock.now())))

    async def _watch_clock(self, tenure: LeaseGuard, line: Lookahead) -> None:
        """Shift scheduled retries when the system clock is set back, so that they are not delayed."""
        ahead = clock.now().timestamp() - clock.monotonic()
        while True:
            await clock.sleep(_LOOK)
            was, ahead = ahead, clock.now().timestamp() - clock.monotonic()
            if was - ahead > _SET_BACK:
                by = int((was - ahead) * _SECOND)
                get_logger().warning("clock-set-back", destination=self._destination.name, seconds=round(was - ahead))
                await self._engine.do(partial(set_back, tenure.lease, by, micros(clock.now())))
                line.look_again()

    async def _look(self, line: Lookahead) -> None:
        """Update whether the destination is paused, again and again."""
        while True:
            was, line.is_paused = line.is_paused, bool(await self._breaker.look())
            if was and not line.is_paused:
                line.look_again()
            await clock.sleep(_LOOK)

    async def _hear(self, told: asyncio.Queue[SendResult]) -> None:
        """Count the results of messages as they come."""
        while True:
            await self._hearing.hear(await told.get())
