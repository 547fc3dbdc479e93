"""Keeps steps apart: so many in a second and no more.

Carries out no clause of a standard: how fast AutoScribe is listed is a setting of our own.
"""

from __future__ import annotations

from gateway.runtime import clock


class Metronome:
    """The first step is at once; time that was lost is not made up for."""

    def __init__(self, per_second: float) -> None:
        self._apart = 1 / per_second
        self._next = clock.monotonic()

    async def next(self) -> None:
        """Wait until the next step is due."""
        wait = self._next - clock.monotonic()
        if wait > 0:
            await clock.sleep(wait)
        self._next = clock.monotonic() + self._apart
