"""Permit to write to a receiver until an instant; lease_guard.py sets it some time before the lease expires.

Carries out no clause of a standard; decision D33. The writer checks the permit in the same step that hands bytes to the
network. A timer tells the writer when the permit is over, since other signals (such as the database) may hang.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from gateway.runtime import clock

_FIRST: Final = 0.1  # seconds until a watcher's first call
_EVERY: Final = 0.5  # seconds between its calls after that
Told = Callable[[float], None]


class PermitEnded(Exception):
    """The permit has ended: another process may have the lease, so nothing may be written."""


class Permit:
    """Permit to write until `until`, an instant of the monotonic clock; may be used from any thread."""

    def __init__(self, until: float = math.inf) -> None:
        self._until, self._is_ended = until, False
        self._watches: set[_Watch] = set()

    @property
    def left(self) -> float:
        """Seconds for which writing is still permitted; 0 once the permit is over."""
        return 0.0 if self._is_ended else max(0.0, self._until - clock.monotonic())

    @property
    def is_in_time(self) -> bool:
        """True if no other process can have the lease yet, even if the permit was ended early."""
        return clock.monotonic() < self._until

    def check(self) -> None:
        """Raise if the permit is over.

        Raises:
            PermitEnded: the permit is over.
        """
        if self.left <= 0:
            raise PermitEnded

    def extend(self, until: float) -> None:
        """Move the end of the permit to `until`, after the lease was renewed."""
        self._until = until

    def end(self) -> None:
        """End the permit now, whatever happens to the lease; call the watchers at once."""
        self._is_ended = True
        for watch in tuple(self._watches):
            watch.tell_soon()

    @contextmanager
    def watched(self, told: Told) -> Iterator[None]:
        """Call `told` with the seconds left: every half second while the block runs, and at once at the end."""
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
        """Expire a timeout as soon as the permit ends, while the block runs."""

        def told(left: float) -> None:
            if left <= 0 and not timeout.expired():
                timeout.reschedule(0)

        with self.watched(told):
            yield


class _Watch:
    """Timer that calls one watcher, on the loop that created it, with the seconds left."""

    def __init__(self, permit: Permit, told: Told) -> None:
        self._permit, self._told = permit, told
        self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_later(min(_FIRST, permit.left), self._call_watcher)

    def tell_soon(self) -> None:
        self._loop.call_soon_threadsafe(self._call_watcher)

    def stop(self) -> None:
        self._timer.cancel()

    def _call_watcher(self) -> None:
        if self not in self._permit._watches:
            return
        left = self._permit.left
        self._timer.cancel()
        if left > 0:  # at 0 this is the last call
            self._timer = self._loop.call_later(min(_EVERY, left), self._call_watcher)
        self._told(left)
