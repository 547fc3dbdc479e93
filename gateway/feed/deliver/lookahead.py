"""Queue in memory of the next messages to one destination, in sending order and without their bytes.

Carries out no clause of a standard; decision D32: one message of a lane is in hand at a time, the others wait behind
it. While the circuit breaker is open, the lookahead holds only the occasional probe.
"""

from __future__ import annotations

import asyncio
from collections import deque
from datetime import datetime
from typing import Final

from gateway.feed.deliver.circuit_breaker import CircuitBreaker
from gateway.runtime import clock
from gateway.store.database.engine import micros
from gateway.store.feed.messages import Head, Messages

AHEAD: Final = 128
_IDLE: Final = 1.0  # seconds after which the store is checked again without a signal
_SECOND: Final = 1_000_000


class Lookahead:
    """Lookahead of one destination, shared by its senders."""

    def __init__(self, messages: Messages, destination: str, breaker: CircuitBreaker) -> None:
        self._messages, self._destination, self._breaker = messages, destination, breaker
        self._changes = breaker.changes
        self._heads: deque[Head] = deque()
        self._busy: dict[str, int] = {}  # the message number in hand of each lane that has one
        self._news = asyncio.Event()
        self._is_short = True
        self._rounds = 0
        self.is_paused = False
        self.is_closed = False

    def close(self) -> None:
        """Hand out no more messages; senders finish the ones in hand."""
        self.is_closed = True
        self._news.set()

    def take(self, lane: str = "") -> Head | None:
        """Return the next message and mark its lane as in hand; `lane` is one already in hand that may continue."""
        if self.is_paused or self.is_closed:
            return None
        if self._changes != self._breaker.changes:  # these messages were read before the breaker changed state
            self._changes = self._breaker.changes
            self.look_again()
        if self._breaker.is_open and (self._busy or not self._breaker.is_due):
            return None
        for place, head in enumerate(self._heads):
            if head.study_id not in self._busy or head.study_id == lane:
                del self._heads[place]
                self._busy[head.study_id] = head.number
                self._breaker.probed()
                return head
        return None

    def done(self, lane: str, *, goes_on: bool) -> None:
        """Release a lane; unless it `goes_on`, drop its messages from the queue."""
        self._busy.pop(lane, None)
        if not goes_on:
            self._heads = deque(head for head in self._heads if head.study_id != lane)
        self._news.set()

    def look_again(self) -> None:
        """Discard the queue, since new messages may go first."""
        self._heads.clear()
        self._is_short = True
        self._rounds += 1
        self._news.set()

    async def wait(self) -> None:
        """Wait until there may be a message to take."""
        if self.is_closed:
            return
        self._news.clear()
        if not self.is_paused and (self._is_short or not self._heads):
            await self._fill()
            if self._heads and any(head.study_id not in self._busy for head in self._heads):
                return
        try:
            async with asyncio.timeout(await self._until_due(clock.now())):
                await self._news.wait()
        except TimeoutError:
            self._is_short = True

    async def refill(self) -> None:
        """Read more messages from the store, if the queue is empty and the store had more."""
        if not (self._heads or self._is_short or self.is_paused or self.is_closed):
            await self._fill()

    async def pause(self, seconds: float) -> None:
        """Sleep for that many seconds, or until the lookahead is closed."""
        until = clock.monotonic() + seconds
        while not self.is_closed and (rest := until - clock.monotonic()) > 0:
            await clock.sleep(min(rest, _IDLE))

    async def _fill(self) -> None:
        begun = self._rounds
        if self._breaker.is_open:
            probe = None if self._busy else await self._breaker.probe()
            self._heads, self._is_short = deque([probe] if probe else []), True
            return
        candidates = await self._messages.candidates(self._destination, clock.now(), AHEAD)
        # A message may be in hand here before the store says so
        self._heads = deque(head for head in candidates if self._busy.get(head.study_id) != head.number)
        self._is_short = len(candidates) < AHEAD or self._rounds != begun

    async def _until_due(self, now: datetime) -> float:
        due = await self._messages.next_due(self._destination, now)
        seconds = _IDLE if due is None else (due - micros(now)) / _SECOND
        return min(max(seconds, 0.001), _IDLE)
