"""The permission to write to a receiver: it ends with the lease that it comes from, by this process's own clock.

Carries out no clause of a standard; decision D33. Whoever writes asks for it in the very step that hands bytes to the
network, and is told when it is over: by a timer, since whatever else would tell may hang.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from gateway.runtime import clock

_FIRST: Final = 0.1  # seconds until whoever watches is told for the first time, and then between two times
_EVERY: Final = 0.5
Told = Callable[[float], None]


class PermitEnded(Exception):
    """Nothing may be written any more: the lease that the permit comes from may be somebody else's by now."""


class Permit:
    """May be asked, extended and ended from any thread; `until` is an instant of the monotonic clock."""

    def __init__(self, until: float = math.inf) -> None:
        self._until, self._is_ended = until, False
        self._watches: set[_Watch] = set()

    @property
    def left(self) -> float:
        """Seconds for which may still be written; 0 once it is over."""
        return 0.0 if self._is_ended else max(0.0, self._until - clock.monotonic())

    @property
    def is_in_time(self) -> bool:
        """True if nobody else can have the lease yet, even if nothing more is to be written."""
        return clock.monotonic() < self._until

    def check(self) -> None:
        """See that it stands.

        Raises:
            PermitEnded: it does not.
        """
        if self.left <= 0:
            raise PermitEnded

    def extend(self, until: float) -> None:
        """The lease was renewed."""
        self._until = until

    def end(self) -> None:
        """Nothing more is written from now on, whatever becomes of the lease."""
        self._is_ended = True
        for watch in tuple(self._watches):
            watch.tell_soon()

    @contextmanager
    def watched(self, told: Told) -> Iterator[None]:
        """Have `told` called on this loop with what is left, now and then while the block runs, and at once at 0."""
        if math.isinf(self._until) and not self._is_ended:
            yield
            return
        watch = _Watch(self, told)
        self._watches.add(watch)
        try:
            yield
        finally:
            self._watches.discard(watch)
            watch.stop()

    @contextmanager
    def limited(self, timeout: asyncio.Timeout) -> Iterator[None]:
        """Have a timeout be over at once when this is, while the block runs."""

        def told(left: float) -> None:
            if left <= 0 and not timeout.expired():
                timeout.reschedule(0)

        with self.watched(told):
            yield


class _Watch:
    """Tells one who writes, on the loop on which it was made, how much is left."""

    def __init__(self, permit: Permit, told: Told) -> None:
        self._permit, self._told = permit, told
        self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_later(min(_FIRST, permit.left), self._tell)

    def tell_soon(self) -> None:
        self._loop.call_soon_threadsafe(self._tell)

    def stop(self) -> None:
        self._timer.cancel()

    def _tell(self) -> None:
        if self not in self._permit._watches:
            return
        left = self._permit.left
        self._timer.cancel()
        if left > 0:  # else it has been told
            self._timer = self._loop.call_later(min(_EVERY, left), self._tell)
        self._told(left)
