"""Limit the simultaneous requests to AutoScribe: fewer when AutoScribe is in trouble, none before Retry-After.

RFC 9110 §10.2.3 (Retry-After), RFC 6585 §4 (429). Additive increase, multiplicative decrease: trouble halves the number
of simultaneous requests, and each ten seconds without trouble add one.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

from gateway.runtime import clock
from gateway.runtime.errors import UpstreamError
from gateway.runtime.log import get_logger
from gateway.runtime.loops import UNOBSERVED, Observer

LONGEST_WAIT: Final = 3_600.0  # seconds; a longer Retry-After is taken for a mistake
RECOVERY: Final = 10.0


class Pace:
    """Limiter for all requests of the crawl; they are sent in the order of arrival.

    `most` is the maximum of simultaneous requests, `limit` the present one, of which this process sends its share among
    `processes`; `under_way` counts unanswered requests. `on_closed` is called when AutoScribe asks to wait.
    """

    def __init__(self, most: int, observer: Observer = UNOBSERVED) -> None:
        self.most = self.limit = most
        self.under_way = 0
        self._observer, self.processes = observer, 1
        self.on_closed: Callable[[], object] = lambda: None
        self._line, self._freed = asyncio.Lock(), asyncio.Event()
        self._closed_until = self._lowered = self._raised = float("-inf")

    @property
    def closed_for(self) -> float:
        """Seconds until the next request may be sent, at most 0 if AutoScribe did not ask to wait."""
        return self._closed_until - clock.monotonic() if self._closed_until > float("-inf") else 0.0

    @property
    def own_limit(self) -> int:
        """Maximum of simultaneous requests of this process."""
        return max(1, self.limit // self.processes)

    def share(self, processes: int) -> None:
        """Take only this process's share of the requests, for so many processes; at least one at a time."""
        self.processes = max(1, processes)
        self._freed.set()

    def close_for(self, seconds: float) -> None:
        """Send no request for so long: AutoScribe asked another process to wait."""
        if seconds > 0:
            self._closed_until = max(self._closed_until, clock.monotonic() + min(seconds, LONGEST_WAIT))

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[float]:
        """Wait until a request may be sent; yield the monotonic instant, to pass to `answered`."""
        async with self._line:
            await self._wait()
            self.under_way += 1
        try:
            yield clock.monotonic()
        finally:
            self.under_way -= 1
            self._freed.set()

    def answered(self, begun: float, error: UpstreamError | None) -> None:
        """Adjust the limit to the outcome of a request that was sent at that instant: success, or that error."""
        now = clock.monotonic()
        if error is not None and error.retry_after is not None:
            self._close(now, min(error.retry_after, LONGEST_WAIT))
        if error is not None and error.retry == "transient":
            self._slow_down(now, begun)
        elif self.limit < self.most and now - max(self._lowered, self._raised) >= RECOVERY:
            self._raised = now
            self.limit += 1

    async def _wait(self) -> None:
        while True:
            closed_for = self._closed_until - clock.monotonic()
            if closed_for > 0:
                await clock.sleep(closed_for)
            elif self.under_way >= self.own_limit:
                self._freed.clear()
                await self._freed.wait()
            else:
                return

    def _close(self, now: float, seconds: float) -> None:
        if now >= self._closed_until:
            get_logger().warning("upstream-asks-to-wait", seconds=seconds)
            self._observer.throttled(seconds)
        self._closed_until = max(self._closed_until, now + seconds)
        self.on_closed()

    def _slow_down(self, now: float, begun: float) -> None:
        """Halve the limit; once for all requests that ran at the same time."""
        if begun >= self._lowered:
            self._lowered = now
            self.limit = max(1, self.limit // 2)
