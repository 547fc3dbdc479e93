"""Timer that limits a loop to a number of steps per second.

Carries out no clause of a standard: the pace of listing AutoScribe is a setting of the gateway.
"""

from __future__ import annotations

from gateway.runtime import clock


class Metronome:
    """Timer for steps. The first step is due at once; time lost is not made up for."""

    def __init__(self, per_second: float) -> None:
        self._apart = 1 / per_second
        self._next = clock.monotonic()

    async def next(self) -> None:
        """Wait until the next step is due."""
        wait = self._next - clock.monotonic()
        if wait > 0:
            await clock.sleep(wait)
        self._next = clock.monotonic() + self._apart
