"""Pace of sending to a destination: minimum gap between messages, maximum rate, and quiet hours.

Carries out no clause of a standard: the receiver's profile sets the limits (D34).
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from gateway.routing import Destination

_LONG_AGO: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Pacing:
    """Pace of one destination."""

    def __init__(self, destination: Destination) -> None:
        rate = destination.receiver.rate_limit
        self._apart = timedelta(seconds=max(destination.gap, 1 / rate if rate else 0))
        self._quiet = destination.quiet
        self._last = _LONG_AGO

    def used(self, at: datetime) -> None:
        """Note the instant at which a message was sent or answered, on any connection."""
        self._last = at

    def wait(self, now: datetime) -> float:
        """Return the seconds until the next message may go; 0 or less: now. A clock set back adds one gap at most."""
        next_one = self._last + self._apart if self._last <= now else now
        ends = self._quiet.until(now)
        until = max(next_one, ends) if ends is not None else next_one
        return (until - now).total_seconds()
