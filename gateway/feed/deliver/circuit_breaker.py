"""Circuit breaker: when a destination refuses everything for now (AR), send only single probes until one is accepted.

HL7 v2.5.1 §2.9.2.2 (AR: it may be accepted later); decision D32. A receiver that refuses everything for now is not sent
every message over and over, and recovery needs no operator. A probe is a waiting message: same bytes, same control id.
The first probe that is accepted closes the breaker.
"""

from __future__ import annotations

from functools import partial
from typing import Final

from gateway.runtime import clock
from gateway.runtime.log import get_logger
from gateway.runtime.metrics import Metrics
from gateway.store.database.engine import Engine, micros
from gateway.store.feed import lanes
from gateway.store.feed.messages import Head, SendResult
from gateway.store.feed.states import APPLICATION_FOR_NOW, BREAKER_REASONS, FOR_NOW

OFTEN: Final = 15.0  # seconds between two probes at first
AT_FIRST: Final = 120.0  # seconds after opening during which probes are `OFTEN` apart
SELDOM: Final = 300.0  # seconds between two probes after that
_SECOND: Final = 1_000_000


class CircuitBreaker:
    """Circuit breaker of one destination, as this process knows it; `changes` counts its changes of state."""

    def __init__(self, engine: Engine, destination: str, metrics: Metrics) -> None:
        self._engine, self._destination, self._metrics = engine, destination, metrics
        self._reason = ""
        self._since = self._next = 0.0
        self._is_committed = False  # a probe got its commit acknowledgement, and the application has not answered yet
        self.changes = 0

    @property
    def is_open(self) -> bool:
        """True while only probes are sent."""
        return bool(self._reason)

    @property
    def is_due(self) -> bool:
        """True if a probe may be sent now."""
        return self.is_open and clock.monotonic() >= self._next

    async def look(self) -> str:
        """Read the breaker's state from the store; return any other reason why the destination is paused.

        Raises:
            StoreUnavailable: the store cannot be reached.
        """
        changes = self.changes
        reason, since = await lanes.breaker_state(self._engine, self._destination)
        is_breaker = reason in BREAKER_REASONS
        if changes == self.changes:  # otherwise the state changed here while it was being read
            ago = max(0.0, (micros(clock.now()) - since) / _SECOND)
            self._see(reason if is_breaker else "", clock.monotonic() - ago)
        return "" if is_breaker else reason

    async def open(self, *, is_late: bool) -> None:
        """Open the breaker; `is_late` if the receiver's application refused, after its interface had accepted.

        Raises:
            StoreUnavailable: the store cannot be reached.
        """
        reason, now = APPLICATION_FOR_NOW if is_late else FOR_NOW, micros(clock.now())
        if await self._engine.do(partial(lanes.open_breaker, self._destination, reason, now)):
            get_logger().error("breaker-open", destination=self._destination, code=reason)
            self._see(reason, clock.monotonic())
            self.probed()
        else:
            await self.look()

    async def update(self, result: SendResult, *, is_late: bool) -> None:
        """Update the breaker by a message's result; an accepted message may close it.

        While it is open, messages that are refused for now are not held.

        Raises:
            StoreUnavailable: the store cannot be reached.
        """
        if is_late:  # the process that hears the application may not be the one that sends
            await self.look()
        if not self.is_open:
            return
        if result.state != "delivered":
            self._is_committed = False
            if result.holds == FOR_NOW:
                await self._engine.do(partial(lanes.free_refused_for_now, self._destination))
        elif self._reason == FOR_NOW:
            if not is_late:  # a late acceptance concerns a message that the interface accepted earlier
                await self._close()
        elif result.accepted is not None:
            await self._close()
        else:
            self._is_committed = True

    async def probe(self) -> Head | None:
        """Return the message to probe with, if a probe is due and a message waits.

        If the application refused, its silence counts as acceptance: when the next probe is due and the interface has
        accepted the last one, the breaker closes.

        Raises:
            StoreUnavailable: the store cannot be reached.
        """
        if not self.is_due:
            return None
        if self._is_committed:
            await self._close()
            return None
        return await lanes.probe(self._engine, self._destination, micros(clock.now()))

    def probed(self) -> None:
        """Schedule the next probe, since one is being sent now."""
        now = clock.monotonic()
        self._next = now + (OFTEN if now - self._since < AT_FIRST else SELDOM)

    def clear_metric(self) -> None:
        """Clear the metric when this process no longer serves the destination."""
        self._metrics.broke(self._destination, is_open=False)

    async def _close(self) -> None:
        """Close the breaker, in the store and in this process."""
        if await self._engine.do(partial(lanes.close_breaker, self._destination, micros(clock.now()), [self._reason])):
            get_logger().info("breaker-closed", destination=self._destination)
        self._see("", 0.0)

    def _see(self, reason: str, since: float) -> None:
        """Note a state read from the store; a process that finds the breaker open may probe at once."""
        self._metrics.broke(self._destination, is_open=bool(reason))
        if reason != self._reason:
            self._reason, self._since, self._next, self._is_committed = reason, since, 0.0, False
            self.changes += 1
