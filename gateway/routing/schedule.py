"""Quiet hours: the hours of the day, in local time, in which nothing is sent to a destination.

Carries out no clause of a standard. Days of 23 and 25 hours follow the time zone: a quiet hour that occurs twice is
quiet twice, and one that is skipped does not occur.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

_DAY: Final = 24 * 60
_MINUTE: Final = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class QuietHours:
    """Quiet periods of a day, from one minute of the day to another; one that ends earlier spans midnight."""

    stretches: tuple[tuple[int, int], ...] = ()
    zone: ZoneInfo | None = None

    def __post_init__(self) -> None:
        if all(any(_left(minute, one) for one in self.stretches) for minute in range(_DAY)):
            raise ValueError("quiet all day")
        if self.stretches and self.zone is None:
            raise ValueError("hours without a zone")

    @classmethod
    def read(cls, hours: Iterable[str], zone: ZoneInfo | None) -> QuietHours:
        """Parse quiet hours written as `22:00-06:00`.

        Raises:
            ValueError: they leave no minute of a day, or there is no zone.
        """
        parts = (one.partition("-") for one in hours)
        return cls(tuple((_minute(start), _minute(end)) for start, _, end in parts), zone)

    def until(self, at: datetime) -> datetime | None:
        """Return the first instant that is not quiet any more (UTC), or None if `at` is not quiet."""
        end = start = at.astimezone(UTC)
        while left := self._left(end):
            after = end + left
            # If the clock changes on the way, find the end minute by minute
            end = after if self._offset(after) == self._offset(end) else end.replace(second=0, microsecond=0) + _MINUTE
        return None if end == start else end

    def _left(self, at: datetime) -> timedelta | None:
        """Return the local clock time left until the end of the quiet period at that instant."""
        if not self.stretches:
            return None
        wall = at.astimezone(self.zone)
        minute = wall.hour * 60 + wall.minute
        left = max(_left(minute, one) for one in self.stretches)
        return timedelta(minutes=left, seconds=-wall.second, microseconds=-wall.microsecond) if left else None

    def _offset(self, at: datetime) -> timedelta | None:
        return at.astimezone(self.zone).utcoffset()


def _left(minute: int, stretch: tuple[int, int]) -> int:
    """Return the minutes from a minute of the day to the end of the stretch around it, or 0."""
    start, end = stretch
    if start < end:
        return end - minute if start <= minute < end else 0
    return end - minute if minute < end else _DAY - minute + end if minute >= start else 0


def _minute(clock: str) -> int:
    hour, _, minute = clock.partition(":")
    return int(hour) * 60 + int(minute)
