"""The messages that may be sent now, in order, as far ahead as is held in memory.

Carries out no clause of a standard; decision D32: of a lane one message is in hand at a time, the others behind it.
While the circuit breaker is open, there is a probe in it now and then, and nothing else.
"""

from __future__ import annotations

import asyncio
from collections import deque
from datetime import datetime
from typing import Final

from gateway.feed.deliver.circuit_breaker import Breaker
from gateway.runtime import clock
from gateway.store.database.instants import micros
from gateway.store.feed.messages import Head, Messages

AHEAD: Final = 128
_IDLE: Final = 1.0  # seconds after which is looked again though nobody said that there is anything new
_SECOND: Final = 1_000_000


class Lookahead:
    """The line of one destination, for several that send."""

    def __init__(self, messages: Messages, destination: str, breaker: Breaker) -> None:
        self._messages, self._destination, self._breaker = messages, destination, breaker
        self._turns = breaker.turns
        self._heads: deque[Head] = deque()
        self._busy: dict[str, int] = {}  # the lanes that are in hand, and the message that is
        self._news = asyncio.Event()
        self._is_short = True
        self._rounds = 0
        self.is_paused = False
        self.is_closed = False

    def close(self) -> None:
        """Nothing more is taken: whoever sends ends with what is in hand."""
        self.is_closed = True
        self._news.set()

    def take(self, lane: str = "") -> Head | None:
        """The next message, whose lane is then in hand; `lane` is one that is in hand already and may go on."""
        if self.is_paused or self.is_closed:
            return None
        if self._turns != self._breaker.turns:  # what is here was to be sent before it opened, or closed
            self._turns = self._breaker.turns
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
        """The lane is no longer in hand; where it does not go on, what stands behind is not to be sent now."""
        self._busy.pop(lane, None)
        if not goes_on:
            self._heads = deque(head for head in self._heads if head.study_id != lane)
        self._news.set()

    def look_again(self) -> None:
        """There may be something new, or something that goes before all else."""
        self._heads.clear()
        self._is_short = True
        self._rounds += 1
        self._news.set()

    async def wait(self) -> None:
        """Until there may be something to take."""
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
        """Ask the store for more where all was taken that it gave, and there was more."""
        if not (self._heads or self._is_short or self.is_paused or self.is_closed):
            await self._fill()

    async def pause(self, seconds: float) -> None:
        """Wait that long, or until the line is closed."""
        until = clock.monotonic() + seconds
        while not self.is_closed and (rest := until - clock.monotonic()) > 0:
            await clock.sleep(min(rest, _IDLE))

    async def _fill(self) -> None:
        begun = self._rounds
        if self._breaker.is_open:
            probe = None if self._busy else await self._breaker.probe()
            self._heads, self._is_short = deque([probe] if probe else []), True
            return
        found = await self._messages.candidates(self._destination, clock.now(), AHEAD)
        # What is in hand may not be written down as such yet
        self._heads = deque(head for head in found if self._busy.get(head.study_id) != head.number)
        self._is_short = len(found) < AHEAD or self._rounds != begun

    async def _until_due(self, now: datetime) -> float:
        due = await self._messages.next_due(self._destination, now)
        seconds = _IDLE if due is None else (due - micros(now)) / _SECOND
        return min(max(seconds, 0.001), _IDLE)
