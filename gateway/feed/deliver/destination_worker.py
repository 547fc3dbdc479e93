"""Start and stop the tasks of one destination (plan, compose, send, late answers) while this process has its lease.

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
from typing import Any, Final, TypeAlias

from gateway.feed.compose.render_due import TOGETHER, DueRenderer
from gateway.feed.deliver.channel import channel
from gateway.feed.deliver.circuit_breaker import CircuitBreaker
from gateway.feed.deliver.delivery_results import DeliveryResults, UnwrittenResults
from gateway.feed.deliver.feed_journal import UNKEPT, Journal
from gateway.feed.deliver.late_acks import LateAcks, ack_listener
from gateway.feed.deliver.lease_guard import LeaseGuard
from gateway.feed.deliver.lookahead import Lookahead
from gateway.feed.deliver.sender import Sender
from gateway.feed.plan.planner import Planner
from gateway.routing.filter import Ignore
from gateway.runtime import clock
from gateway.runtime.errors import GatewayError
from gateway.runtime.log import code_of, get_logger
from gateway.runtime.loops import alongside
from gateway.runtime.metrics import Metrics
from gateway.settings.feed import Feed
from gateway.store.database.engine import micros
from gateway.store.feed import lanes
from gateway.store.feed.destinations import NotRenamed, renamed
from gateway.store.feed.lanes import set_back
from gateway.store.feed.leases import LeaseLost, Leases
from gateway.store.feed.messages import Messages, SendResult
from gateway.store.feed.order_news import open_news, settle_news

_PLAN: Final = 5.0  # seconds between two updates of the plan for changed settings
_SOON: Final = 1.0  # seconds until planning that could not begin is tried again
_ORDER_NEWS: Final = 2.0  # seconds between two looks for news about orders
_OLD_COPIES: Final = 1.0  # seconds between two checks for old copies
_LOOK: Final = 0.25  # seconds between two checks for rows to compose, for a pause, and for a clock set back
_SET_BACK: Final = 1.0  # seconds by which a clock must go back to count as set back
_GRACE: Final = 10.0  # seconds to wait for an acknowledgement when stopping
_MOMENT: Final = 5.0  # seconds to wait at the end for a store that may not answer
_SECOND: Final = 1_000_000
_Task: TypeAlias = "asyncio.Task[None]"


class DestinationWorker:
    """Worker for one destination in one process; `leases` names the process."""

    def __init__(  # noqa: PLR0913 (its collaborators)
        self,
        composer: DueRenderer,
        leases: Leases,
        settings: Feed,
        metrics: Metrics,
        *,
        ignores: tuple[Ignore, ...] = (),
        journal: Journal = UNKEPT,
    ) -> None:
        self._composer, self._leases = composer, leases
        self._engine, self._destination = composer.engine, composer.destination
        self._journal = journal
        self._breaker = CircuitBreaker(self._engine, self._destination.name, metrics)
        self._results = DeliveryResults(self._engine, self._destination.name, settings, metrics, self._breaker)
        self._unwritten = UnwrittenResults(self._engine, self._destination, leases.seconds, self._results)
        self._awaiting_answers: set[_Task] = set()  # senders whose lease is over, waiting for an answer
        self._late = LateAcks(self._engine, self._destination, settings, metrics, self._breaker, journal=journal)
        self._planning = Planner(self._engine, self._destination, ignores, settings)

    async def run(self) -> None:
        """Serve the destination whenever the lease is free, until cancelled; then finish the messages in hand."""
        beside = [one.run() for one in ack_listener(self._destination, self._composer.payload, self._late)]
        async with alongside([*beside, self._unwritten.run()]):
            try:
                await self._run()
            finally:
                for task in self._awaiting_answers:
                    task.cancel()
                await asyncio.gather(*self._awaiting_answers, return_exceptions=True)

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
            self._breaker.clear_metric()
            await clock.sleep(self._leases.again)

    async def _serve(self, guard: LeaseGuard) -> None:
        """Serve the destination under a lease, until it is lost or this is cancelled.

        Raises:
            LeaseLost: another process holds the destination's lease.
            StoreUnavailable: the store cannot be reached.
        """
        await self._take_over(guard)
        lookahead = Lookahead(Messages(self._engine), self._destination.name, self._breaker)
        results: asyncio.Queue[SendResult] = asyncio.Queue()
        sender = Sender(
            self._engine,
            self._destination,
            guard,
            lookahead,
            report=results.put_nowait,
            unwritten=self._unwritten,
            journal=self._journal,
        )
        count, late = self._destination.receiver.window, self._late.queue
        channels = [channel(self._destination, self._composer.payload, late, guard.permit) for _ in range(count)]
        loops = (
            guard.keep(),
            self._compose(guard, lookahead),
            self._watch_pause(lookahead),
            self._resend_behind_old_copies(guard),
            self._watch_clock(guard, lookahead),
            self._count_results(results),
            self._late.run(),
            self._plan(guard),
            self._see_order_news(guard),
        )
        senders = [self._started(sender.run(one, number)) for number, one in enumerate(channels, 1)]
        others = [self._started(loop) for loop in loops]
        try:
            await self._until_over(guard, lookahead, senders, others)
        finally:
            ending = [task for task in (*senders, *others) if task not in self._awaiting_answers]
            for task in ending:
                task.cancel()
            await asyncio.wait(ending, timeout=_MOMENT)
            await asyncio.wait([self._started(self._hand_back(guard))], timeout=_MOMENT)

    async def _until_over(
        self, guard: LeaseGuard, lookahead: Lookahead, senders: list[_Task], others: list[_Task]
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
            lookahead.close()
            await asyncio.wait(senders, timeout=_GRACE)
            raise
        except Exception:
            lookahead.close()
            guard.permit.end()
            await asyncio.wait(senders, timeout=_GRACE)
            self._awaiting_answers.update(task for task in senders if not task.done())
            raise

    async def _hand_back(self, guard: LeaseGuard) -> None:
        """Store the last late acknowledgements and give the lease back; it expires if the store does not answer."""
        with suppress(GatewayError, LeaseLost):
            await self._late.settle(within=0)  # acknowledgements that came with the last messages
            await guard.give_back()

    def _started(self, loop: Coroutine[Any, Any, None]) -> _Task:
        task = asyncio.create_task(loop)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: _Task) -> None:
        """Take the result of an ended task, so that its exception is not reported as lost."""
        self._awaiting_answers.discard(task)
        if not task.cancelled():
            task.exception()

    async def _resend_behind_old_copies(self, guard: LeaseGuard) -> None:
        """Send a lane's newer content again if an old copy may have arrived after it, once no copy can follow."""
        name, restates = self._destination.name, self._destination.receiver.addendum == "replace"
        while True:
            now = micros(clock.now())
            for old_copy in await lanes.old_copies(self._engine, name, now):
                resend = partial(lanes.resend_newer, guard.lease, old_copy, now, restates=restates)
                code = await self._engine.do(resend)
                get_logger().warning("old-copy-possible", destination=name, study_id=old_copy.study_id, code=code)
            await clock.sleep(_OLD_COPIES)

    async def _see_order_news(self, guard: LeaseGuard) -> None:
        """Settle news about orders that came after their studies were sent: note it, or send the study again (D48)."""
        name, late_match = self._destination.name, self._destination.late_match
        while True:
            for news in await open_news(self._engine, name):
                settle = partial(settle_news, guard.lease, news, late_match, micros(clock.now()))
                outcome = await self._engine.do(settle)
                get_logger().warning(
                    "order-news", destination=name, study_id=news.study_id, code=news.code, state=outcome
                )
            await clock.sleep(_ORDER_NEWS)

    async def _take_over(self, guard: LeaseGuard) -> None:
        """Check the journal, then settle or queue again the messages that the last lease holder had in hand."""
        name = self._destination.name
        await self._journal.see_that_nothing_is_lost()
        most, now = self._destination.retry.indeterminate_resends, micros(clock.now())
        results, until = self._unwritten.since(guard.lease.fence), self._unwritten.over_at(now)
        again = await self._engine.do(partial(lanes.take_over, guard.lease, results, most, now, until))
        self._unwritten.forget(results)
        get_logger().info("feed-serves", destination=name, count=len(again))
        await self._breaker.look()

    async def _compose(self, guard: LeaseGuard, lookahead: Lookahead) -> None:
        """Compose the messages that are due, again and again."""
        await self._composer.see_settings(guard.lease)
        with self._engine.bell.listener() as news:
            while True:
                made = await self._composer.once(guard.lease)
                if made:
                    lookahead.look_again()
                if made < TOGETHER:  # a full batch: more is likely due
                    await news.wait(_LOOK)

    async def _plan(self, guard: LeaseGuard) -> None:
        """Put the settings in force, and plan what they change for earlier reports (D37)."""
        while not await self._planning.begin(guard.lease):
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

    async def _watch_clock(self, guard: LeaseGuard, lookahead: Lookahead) -> None:
        """Shift scheduled retries when the system clock is set back, so that they do not wait too long."""
        ahead = clock.now().timestamp() - clock.monotonic()
        while True:
            await clock.sleep(_LOOK)
            was, ahead = ahead, clock.now().timestamp() - clock.monotonic()
            if was - ahead > _SET_BACK:
                by = int((was - ahead) * _SECOND)
                get_logger().warning("clock-set-back", destination=self._destination.name, seconds=round(was - ahead))
                await self._engine.do(partial(set_back, guard.lease, by, micros(clock.now())))
                lookahead.look_again()

    async def _watch_pause(self, lookahead: Lookahead) -> None:
        """Update whether the destination is paused, from the store, again and again."""
        while True:
            was, lookahead.is_paused = lookahead.is_paused, bool(await self._breaker.look())
            if was and not lookahead.is_paused:
                lookahead.look_again()
            await clock.sleep(_LOOK)

    async def _count_results(self, results: asyncio.Queue[SendResult]) -> None:
        """Act on the results of messages as they come."""
        while True:
            await self._results.count(await results.get())
