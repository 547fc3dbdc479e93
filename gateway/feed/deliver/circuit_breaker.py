"""The circuit breaker of a destination: while it is open, one message at a time is sent, to see whether it is taken.

HL7 v2.5.1 §2.9.2.2 (AR: it may be accepted later); decision D32. A receiver that refuses everything for now is not sent
everything again and again, and nobody has to tell the gateway that it is well. The probes are messages that wait
anyway: the same bytes under the same MSH-10, the first one taken ends it.
"""

from __future__ import annotations

from functools import partial
from typing import Final

from gateway.runtime import clock
from gateway.runtime.log import get_logger
from gateway.runtime.metrics import Metrics
from gateway.store.database.engine import Engine
from gateway.store.database.instants import micros
from gateway.store.feed import breaker
from gateway.store.feed.messages import Head, SendResult
from gateway.store.feed.states import APPLICATION_FOR_NOW, BREAKER_REASONS, FOR_NOW

OFTEN: Final = 15.0  # seconds between two probes at first
AT_FIRST: Final = 120.0  # seconds from the opening for which that is so
SELDOM: Final = 300.0  # seconds between two probes then
_SECOND: Final = 1_000_000


class Breaker:
    """The circuit breaker of one destination, as this process knows it; `turns` grows with each change of it."""

    def __init__(self, engine: Engine, destination: str, metrics: Metrics) -> None:
        self._engine, self._destination, self._metrics = engine, destination, metrics
        self._reason = ""
        self._since = self._next = 0.0
        self._is_committed = False  # the interface took a probe, and the application has said nothing of it yet
        self.turns = 0

    @property
    def is_open(self) -> bool:
        """True while only probes are sent."""
        return bool(self._reason)

    @property
    def is_due(self) -> bool:
        """True where a probe may be sent now."""
        return self.is_open and clock.monotonic() >= self._next

    async def look(self) -> str:
        """See in the store how it stands; why nothing at all may be sent to the destination, empty where it may.

        Raises:
            StoreUnavailable: the store cannot be reached.
        """
        turns = self.turns
        reason, since = await breaker.stands(self._engine, self._destination)
        is_breaker = reason in BREAKER_REASONS
        if turns == self.turns:  # else it is older than what is known here
            ago = max(0.0, (micros(clock.now()) - since) / _SECOND)
            self._see(reason if is_breaker else "", clock.monotonic() - ago)
        return "" if is_breaker else reason

    async def open(self, *, is_late: bool) -> None:
        """Too much was refused for now: `is_late` where the receiver's application said so, after its interface.

        Raises:
            StoreUnavailable: the store cannot be reached.
        """
        reason, now = APPLICATION_FOR_NOW if is_late else FOR_NOW, micros(clock.now())
        if await self._engine.do(partial(breaker.opened, self._destination, reason, now)):
            get_logger().error("breaker-open", destination=self._destination, code=reason)
            self._see(reason, clock.monotonic())
            self.probed()
        else:
            await self.look()

    async def heard(self, result: SendResult, *, is_late: bool) -> None:
        """Something came of a message: what is taken closes it, what is refused for now is not held while it is open.

        Raises:
            StoreUnavailable: the store cannot be reached.
        """
        if is_late:  # whoever hears the application need not be who sends
            await self.look()
        if not self.is_open:
            return
        if result.state != "delivered":
            self._is_committed = False
            if result.holds == FOR_NOW:
                await self._engine.do(partial(breaker.freed_for_now, self._destination))
        elif self._reason == FOR_NOW:
            if not is_late:  # what the application says late is about what its interface took before
                await self._close()
        elif result.accepted is not None:
            await self._close()
        else:
            self._is_committed = True

    async def probe(self) -> Head | None:
        """The message to probe with, where it is time for one and there is one.

        What the application refused is sent again and taken by the interface: where the application then says nothing
        until the next probe is due, it takes it.

        Raises:
            StoreUnavailable: the store cannot be reached.
        """
        if not self.is_due:
            return None
        if self._is_committed:
            await self._close()
            return None
        return await breaker.probe(self._engine, self._destination, micros(clock.now()))

    def probed(self) -> None:
        """A probe is sent: the next one after a while."""
        now = clock.monotonic()
        self._next = now + (OFTEN if now - self._since < AT_FIRST else SELDOM)

    def left(self) -> None:
        """This process serves the destination no more: whoever does shows how it stands."""
        self._metrics.broke(self._destination, is_open=False)

    async def _close(self) -> None:
        if await self._engine.do(partial(breaker.closed, self._destination, micros(clock.now()), [self._reason])):
            get_logger().info("breaker-closed", destination=self._destination)
        self._see("", 0.0)

    def _see(self, reason: str, since: float) -> None:
        """Note how it stands; who finds it open, and did not open it, may probe at once."""
        self._metrics.broke(self._destination, is_open=bool(reason))
        if reason != self._reason:
            self._reason, self._since, self._next, self._is_committed = reason, since, 0.0, False
            self.turns += 1
