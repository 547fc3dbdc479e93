"""Convert a FHIR date to the time interval [low, high) that the date covers, in microseconds since 1970 UTC.

https://hl7.org/fhir/R4/search.html#date, https://hl7.org/fhir/R4/datatypes.html#dateTime. A date covers all of its
year, month, day, minute, second or fraction. Without an offset it is in the given zone.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from functools import lru_cache
from typing import Final

_SECOND: Final = 1_000_000
_MINUTE: Final = 60 * _SECOND
_DAY: Final = 24 * 60 * _MINUTE
_TICK: Final = timedelta(microseconds=1)
_EPOCH: Final = date(1970, 1, 1).toordinal()
_LAST_DAY: Final = date.max.toordinal()
_MOST_OFFSET: Final = 14 * 60
_DIGITS: Final = 6
# An unencoded `+` in a query string arrives as a space
_DATE: Final = re.compile(
    r"(\d{4})(?:-(\d\d)(?:-(\d\d)"
    r"(?:T([01]\d|2[0-3]):([0-5]\d)(?::([0-5]\d|60)(?:\.(\d+))?)?(Z|[+ -][01]\d:[0-5]\d)?)?)?)?",
    re.ASCII,
)

Interval = tuple[int, int]


@lru_cache(maxsize=4096)
def interval(text: str, zone: tzinfo) -> Interval | None:
    """Return the interval of a FHIR date, dateTime or instant; None if it is malformed or not in the calendar."""
    match = _DATE.fullmatch(text)
    if match is None:
        return None
    year, month, day, hour = match[1], match[2], match[3], match[4]
    try:
        first = date(int(year), int(month or 1), int(day or 1))
        offset = _zone(match[8], zone)
    except ValueError:
        return None
    if hour is None:
        return _midnight(first.toordinal(), zone), _midnight(_day_after(first, month, day), zone)
    return _interval_in_day(first, match, offset)


def widened(low: int, high: int, now: datetime) -> Interval:
    """Widen an interval on both sides by a tenth of its distance from `now`, for `ap`."""
    at = (now - datetime(1970, 1, 1, tzinfo=UTC)) // _TICK
    more = max(low - at, at - high, 0) // 10
    return low - more, high + more


def _interval_in_day(day: date, match: re.Match[str], zone: tzinfo) -> Interval:
    hour, minute, second, fraction = int(match[4]), int(match[5]), int(match[6] or 0), match[7] or ""
    moment = datetime(day.year, day.month, day.day, hour, minute, tzinfo=zone)
    low = (day.toordinal() - _EPOCH) * _DAY + (hour * 60 + minute) * _MINUTE + second * _SECOND - _offset(moment)
    if match[6] is None:
        return low, low + _MINUTE
    known = fraction[:_DIGITS]
    low += int(known.ljust(_DIGITS, "0"))
    return low, low + 10 ** (_DIGITS - len(known))


def _day_after(first: date, month: str | None, day: str | None) -> int:
    """Return the ordinal of the day after the year, month or day that begins at `first`; may exceed the calendar."""
    if day is not None:
        return first.toordinal() + 1
    months = first.year * 12 + (first.month if month is not None else 12)
    year, index = divmod(months, 12)
    return date(year, index + 1, 1).toordinal() if year <= date.max.year else _LAST_DAY + 1


def _midnight(ordinal: int, zone: tzinfo) -> int:
    day = date.fromordinal(min(ordinal, _LAST_DAY))
    return (ordinal - _EPOCH) * _DAY - _offset(datetime(day.year, day.month, day.day, tzinfo=zone))


def _offset(moment: datetime) -> int:
    return (moment.utcoffset() or timedelta()) // _TICK


def _zone(text: str | None, zone: tzinfo) -> tzinfo:
    """Return the time zone of an offset, or `zone` if there is no offset.

    Raises:
        ValueError: FHIR does not allow the offset.
    """
    if text is None:
        return zone
    if text == "Z":
        return UTC
    minutes = int(text[1:3]) * 60 + int(text[4:])
    if minutes > _MOST_OFFSET:
        raise ValueError
    return timezone(timedelta(minutes=-minutes if text[0] == "-" else minutes))
