"""Serves one destination for as long as this process holds its lease: makes its messages and sends them.

HL7 v2.5.1 §2.9.2; decisions D32, D33. What a holder before had in hand may have arrived, and is sent again first. When
the lease is over nothing more is written, and answers to what was written are still heard. What the receiver's
application brings over connections of its own is heard whoever holds the lease.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from functools import partial
from typing import Any, Final

from gateway.feed.compose.render_due import TOGETHER, Making
from gateway.feed.deliver.ack_listener import ack_listener
from gateway.feed.deliver.channel import channel
from gateway.feed.deliver.circuit_breaker import Breaker
from gateway.feed.deliver.delivery_results import Hearing
from gateway.feed.deliver.journaling import UNKEPT, Journal
from gateway.feed.deliver.late_acks import LateAcks
from gateway.feed.deliver.lease_guard import Tenure
from gateway.feed.deliver.lookahead import Lookahead
from gateway.feed.deliver.sender import Sender
from gateway.feed.deliver.unwritten_results import Aftermath
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

_PLAN: Final = 5.0  # seconds between two looks at what a change of settings would send
_SOON: Final = 1.0  # seconds until a plan is made that could not be yet
_MEND: Final = 1.0  # seconds between two looks for old copies
_LOOK: Final = 0.25  # seconds between two looks for something to make
_SET_BACK: Final = 1.0  # seconds by which a clock must go back to count as set back
_GRACE: Final = 10.0  # seconds that an acknowledgement is waited for at an orderly stop
_MOMENT: Final = 5.0  # seconds for which a store that may not answer is waited for at an end
_SECOND: Final = 1_000_000


class Holder:
    """The one destination, in one process, which `leases` names."""

    def __init__(  # noqa: PLR0913 (what it works with)
        self,
        making: Making,
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
        self._breaker = Breaker(self._engine, self._destination.name, metrics)
        self._hearing = Hearing(self._engine, self._destination.name, settings, metrics, self._breaker)
        self._aftermath = Aftermath(self._engine, self._destination, leases.seconds, self._hearing)
        self._listening: set[asyncio.Task[None]] = set()  # whose lease is over, and that wait for an answer
        self._late = LateAcks(self._engine, self._destination, settings, metrics, self._breaker, journal=journal)
        self._planning = Planning(self._engine, self._destination, ignores, settings)

    async def run(self) -> None:
        """Serve it whenever nobody else does, and listen, until cancelled; then end with what is in hand."""
        beside = [one.run() for one in ack_listener(self._destination, self._late)]
        async with alongside([*beside, self._aftermath.run()]):
            try:
                await self._run()
            finally:
                for task in self._listening:
                    task.cancel()
                await asyncio.gather(*self._listening, return_exceptions=True)

    async def _run(self) -> None:
        name = self._destination.name
        while True:
            try:
                lease = await self._leases.take(name)
                if lease is not None:
                    await self._serve(Tenure(self._leases, lease))
            except LeaseLost:
                get_logger().warning("lease-lost", destination=name)
            except Exception as error:
                get_logger().error("feed-interrupted", destination=name, code=code_of(error), exc_info=error)
            self._breaker.left()
            await clock.sleep(self._leases.again)

    async def _serve(self, tenure: Tenure) -> None:
        """Serve it under a lease, until that is lost or this is cancelled.

        Raises:
            LeaseLost: somebody else sends there by now.
            StoreUnavailable: the store cannot be reached.
        """
        await self._take_over(tenure)
        line = Lookahead(Messages(self._engine), self._destination.name, self._breaker)
        told: asyncio.Queue[SendResult] = asyncio.Queue()
        sender = Sender(
            self._engine,
            self._destination,
            tenure,
            line,
            tell=told.put_nowait,
            aftermath=self._aftermath,
            journal=self._journal,
        )
        count, late = self._destination.receiver.window, self._late.take
        ways = [channel(self._destination, late, tenure.permit) for _ in range(count)]
        loops = (
            tenure.keep(),
            self._make(tenure, line),
            self._look(line),
            self._mend(tenure),
            self._watch_clock(tenure, line),
            self._hear(told),
            self._late.run(),
            self._plan(tenure),
        )
        senders = [self._started(sender.run(way, number)) for number, way in enumerate(ways, 1)]
        others = [self._started(loop) for loop in loops]
        try:
            await self._until_over(tenure, line, senders, others)
        finally:
            ending = [task for task in (*senders, *others) if task not in self._listening]
            for task in ending:
                task.cancel()
            await asyncio.wait(ending, timeout=_MOMENT)
            await asyncio.wait([self._started(self._hand_back(tenure))], timeout=_MOMENT)

    async def _until_over(
        self, tenure: Tenure, line: Lookahead, senders: list[asyncio.Task[None]], others: list[asyncio.Task[None]]
    ) -> None:
        """Wait until one of them has ended, or this is cancelled; then for what is in hand: it would go a second time.

        In good order what is in hand is still sent; else nothing is, and an answer to what was is a fact for as long as
        one can come.
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

    async def _hand_back(self, tenure: Tenure) -> None:
        """Leave nothing undone for who comes next; where the store does not answer, the lease runs out by itself."""
        with suppress(GatewayError, LeaseLost):
            await self._late.settle(within=0)  # what came with the last messages
            await tenure.give_back()

    def _started(self, loop: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(loop)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        """Forget the ended task and fetch its exception, even if nobody waits for it any more."""
        self._listening.discard(task)
        if not task.cancelled():
            task.exception()

    async def _mend(self, tenure: Tenure) -> None:
        """Say again what an old copy may have come behind, once none can come any more."""
        name, restates = self._destination.name, self._destination.receiver.addendum == "replace"
        while True:
            now = micros(clock.now())
            for one in await takeover.stale(self._engine, name, now):
                mended = partial(takeover.mended, tenure.lease, one, now, restates=restates)
                code = await self._engine.do(mended)
                get_logger().warning("old-copy-possible", destination=name, study_id=one.study_id, code=code)
            await clock.sleep(_MEND)

    async def _take_over(self, tenure: Tenure) -> None:
        """See what was sent, and what the last holder had in hand."""
        name = self._destination.name
        await self._journal.see_that_nothing_is_lost()
        most, now = self._destination.retry.indeterminate_resends, micros(clock.now())
        came, until = self._aftermath.since(tenure.lease.fence), self._aftermath.over_at(now)
        again = await self._engine.do(partial(takeover.taken_over, tenure.lease, came, most, now, until))
        for one in came:
            self._journal.note(name, one.head, one)
        self._aftermath.forget(came)
        get_logger().info("feed-serves", destination=name, count=len(again))
        await self._breaker.look()

    async def _make(self, tenure: Tenure, line: Lookahead) -> None:
        """Make what is due, again and again."""
        await self._making.see_settings(tenure.lease)
        with self._engine.bell.listener() as news:
            while True:
                made = await self._making.once(tenure.lease)
                if made:
                    line.look_again()
                if made < TOGETHER:  # else there is likely more
                    await news.wait(_LOOK)

    async def _plan(self, tenure: Tenure) -> None:
        """Put the settings in force, and see to what they change for what was signed before (D37)."""
        while not await self._planning.begin(tenure.lease):
            await clock.sleep(_SOON)
        while True:
            await self._planning.look()
            await self._take_rows_of_the_old_name()
            await clock.sleep(_PLAN)

    async def _take_rows_of_the_old_name(self) -> None:
        """Whoever still goes by settings with the name that it had writes rows under that."""
        old, new = self._destination.formerly, self._destination.name
        if old:
            with suppress(NotRenamed):  # said when the gateway starts
                await self._engine.do(partial(renamed, old, new, micros(clock.now())))

    async def _watch_clock(self, tenure: Tenure, line: Lookahead) -> None:
        """What is to be tried again is not put off where the clock is set back."""
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
        """See whether it may be sent to."""
        while True:
            was, line.is_paused = line.is_paused, bool(await self._breaker.look())
            if was and not line.is_paused:
                line.look_again()
            await clock.sleep(_LOOK)

    async def _hear(self, told: asyncio.Queue[SendResult]) -> None:
        """Hear what came of messages."""
        while True:
            await self._hearing.hear(await told.get())
