"""Serves one destination for as long as this process holds its lease: makes its messages and sends them.

HL7 v2.5.1 §2.9.2; decisions D32, D33. What a holder before had in hand may have arrived, and is sent again first. What
the receiver's application brings over connections of its own is heard whoever holds the lease.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from functools import partial
from typing import Final

from gateway import clock
from gateway.errors import GatewayError
from gateway.feed.ack_listener import ack_listener
from gateway.feed.breaker import Breaker
from gateway.feed.channel import channel
from gateway.feed.hearing import Hearing
from gateway.feed.late import LateAcks
from gateway.feed.line import Line
from gateway.feed.making import Making
from gateway.feed.sender import Sender
from gateway.feed.tenure import Tenure
from gateway.log import code_of, get_logger
from gateway.metrics import Metrics
from gateway.pipeline.catching_up import CatchingUp
from gateway.settings.feed import Feed
from gateway.store import messages
from gateway.store.instants import micros
from gateway.store.leases import LeaseLost, Leases
from gateway.store.messages import Messages, Result
from gateway.store.set_back import set_back
from gateway.sync.repeat import alongside

_CATCH_UP: Final = 60.0  # seconds between two looks for what passed the destination by
_LOOK: Final = 0.25  # seconds between two looks for something to make
_SET_BACK: Final = 1.0  # seconds by which a clock must go back to count as set back
_GRACE: Final = 10.0  # seconds that an acknowledgement is waited for at an orderly stop
_SECOND: Final = 1_000_000


class Holder:
    """The one destination, in one process, which `leases` names."""

    def __init__(self, making: Making, leases: Leases, settings: Feed, metrics: Metrics) -> None:
        self._making, self._leases = making, leases
        self._engine, self._destination = making.engine, making.destination
        self._unwritten: list[Result] = []
        self._breaker = Breaker(self._engine, self._destination.name, metrics)
        self._hearing = Hearing(self._engine, self._destination.name, settings, metrics, self._breaker)
        self._late = LateAcks(self._engine, self._destination, settings, metrics, self._breaker)

    async def run(self) -> None:
        """Serve it whenever nobody else does, and listen, until cancelled; then end with what is in hand."""
        async with alongside(one.run() for one in ack_listener(self._destination, self._late)):
            await self._run()

    async def _run(self) -> None:
        name = self._destination.name
        while True:
            try:
                lease = await self._leases.take(name)
                if lease is not None:
                    await self._serve(Tenure(self._leases, lease))
            except LeaseLost:
                self._unwritten = []  # whoever has it by now sends that again
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
        name = self._destination.name
        most, now = self._destination.retry.indeterminate_resends, micros(clock.now())
        again = await self._engine.do(partial(messages.taken_over, tenure.lease, self._unwritten, most, now))
        self._unwritten = []
        get_logger().info("feed-serves", destination=name, count=len(again))
        await self._breaker.look()
        line = Line(Messages(self._engine), name, self._breaker)
        told: asyncio.Queue[Result] = asyncio.Queue()
        sender = Sender(self._engine, self._destination, tenure, line, told.put_nowait)
        ways = [channel(self._destination, self._late.take) for _ in range(self._destination.receiver.window)]
        senders = [asyncio.create_task(sender.run(way)) for way in ways]
        loops = (
            tenure.keep(),
            self._make(tenure, line),
            self._look(line),
            self._watch_clock(tenure, line),
            self._hear(told),
            self._late.run(),
            self._catch_up(),
        )
        others = [asyncio.create_task(loop) for loop in loops]
        try:
            ended, _ = await asyncio.wait([*senders, *others], return_when=asyncio.FIRST_COMPLETED)
            for task in ended:
                task.result()
        except LeaseLost:
            raise
        except (asyncio.CancelledError, Exception):  # what is in hand is waited for: it would go a second time
            line.close()
            await asyncio.wait(senders, timeout=_GRACE)
            raise
        finally:
            for task in (*senders, *others):
                task.cancel()
            await asyncio.gather(*senders, *others, return_exceptions=True)
            self._unwritten += sender.unwritten
            with suppress(GatewayError, LeaseLost):
                await self._late.settle(within=0)  # what came with the last messages
                await tenure.give_back()  # else it runs out by itself

    async def _make(self, tenure: Tenure, line: Line) -> None:
        """Make what is due, again and again."""
        await self._making.see_settings(tenure.lease)
        while True:
            if await self._making.once(tenure.lease):
                line.look_again()
            await clock.sleep(_LOOK)

    async def _catch_up(self) -> None:
        """Route what was taken in before the destination was there, then what passes it by."""
        catching_up = CatchingUp(self._engine, self._destination)
        added = await catching_up.once()
        get_logger().info("feed-caught-up", destination=self._destination.name, count=added)
        while True:
            await catching_up.again()
            await clock.sleep(_CATCH_UP)

    async def _watch_clock(self, tenure: Tenure, line: Line) -> None:
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

    async def _look(self, line: Line) -> None:
        """See whether it may be sent to."""
        while True:
            was, line.is_paused = line.is_paused, bool(await self._breaker.look())
            if was and not line.is_paused:
                line.look_again()
            await clock.sleep(_LOOK)

    async def _hear(self, told: asyncio.Queue[Result]) -> None:
        """Hear what came of messages."""
        while True:
            await self._hearing.hear(await told.get())
