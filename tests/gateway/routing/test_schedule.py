"""Quiet hours by the local clock, and their end, also on days when clocks change."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.routing import QuietHours

NEW_YORK = ZoneInfo("America/New_York")
MINUTE = timedelta(minutes=1)


def at(text: str, zone: ZoneInfo = NEW_YORK, fold: int = 0) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=zone, fold=fold)


def until(hours: str, when: datetime, zone: ZoneInfo = NEW_YORK) -> str | None:
    end = QuietHours.read(hours.split(), zone).until(when)
    return end.astimezone(zone).isoformat() if end else None


@pytest.mark.parametrize(
    ("hours", "when", "end"),
    [
        ("22:00-06:00", "2026-01-05T21:59:59", None),
        ("22:00-06:00", "2026-01-05T22:00:00", "2026-01-06T06:00:00-05:00"),
        ("22:00-06:00", "2026-01-06T05:59:59.999999", "2026-01-06T06:00:00-05:00"),
        ("22:00-06:00", "2026-01-06T06:00:00", None),
        ("12:00-13:30", "2026-01-06T12:10:30", "2026-01-06T13:30:00-05:00"),
        ("12:00-13:30", "2026-01-06T00:00:00", None),
        ("22:00-24:00", "2026-01-06T23:00:00", "2026-01-07T00:00:00-05:00"),
        ("22:00-24:00 00:00-02:00", "2026-01-06T23:00:00", "2026-01-07T02:00:00-05:00"),
        ("01:00-03:00 02:00-04:00", "2026-01-06T01:30:00", "2026-01-06T04:00:00-05:00"),
        ("22:00-00:00", "2026-01-06T23:00:00", "2026-01-07T00:00:00-05:00"),
    ],
)
def test_a_stretch_holds_from_its_first_minute_up_to_its_last(hours, when, end):
    assert until(hours, at(when)) == end


def test_where_the_clock_goes_forward_the_stretch_ends_when_the_clock_is_past_it():
    # at 02:00 the clock goes to 03:00
    assert until("01:00-02:30", at("2026-03-08T01:45")) == "2026-03-08T03:00:00-04:00"
    assert until("22:00-06:00", at("2026-03-07T23:00")) == "2026-03-08T06:00:00-04:00"


def test_a_stretch_that_the_clock_skips_is_not_there():
    day = [at("2026-03-08T01:00").astimezone(UTC) + timedelta(minutes=30 * step) for step in range(6)]
    assert [until("02:00-03:00", when) for when in day] == [None] * 6


def test_where_the_clock_goes_back_the_hour_that_comes_twice_is_quiet_twice():
    # at 02:00 the clock goes back to 01:00
    assert until("01:00-01:30", at("2026-11-01T01:10")) == "2026-11-01T01:30:00-04:00"
    assert until("01:00-01:30", at("2026-11-01T01:40")) is None
    assert until("01:00-01:30", at("2026-11-01T01:10", fold=1)) == "2026-11-01T01:30:00-05:00"
    assert until("00:30-02:00", at("2026-11-01T01:10")) == "2026-11-01T02:00:00-05:00"


def test_without_hours_nothing_is_quiet():
    assert QuietHours().until(datetime(2026, 1, 5, tzinfo=UTC)) is None


@pytest.mark.parametrize("hours", ["00:00-24:00", "00:00-12:00 11:00-00:00", "08:00-20:00 20:00-08:00"])
def test_hours_that_leave_no_minute_of_a_day_are_refused(hours):
    with pytest.raises(ValueError, match="quiet all day"):
        QuietHours.read(hours.split(), NEW_YORK)


def test_hours_without_a_zone_are_refused():
    with pytest.raises(ValueError, match="without a zone"):
        QuietHours.read(["22:00-06:00"], None)


CLOCKS = st.builds("{:02}:{:02}".format, st.integers(0, 23), st.sampled_from((0, 1, 15, 30, 59)))
STRETCHES = st.tuples(CLOCKS, CLOCKS).filter(lambda pair: pair[0] != pair[1]).map("-".join)
ZONES = st.sampled_from(("America/New_York", "Europe/Berlin", "Australia/Lord_Howe", "Asia/Kolkata", "UTC")).map(
    ZoneInfo
)
# Days around the clock changes of these zones, and any other day
DAYS = st.sampled_from(
    ("2026-03-07", "2026-03-28", "2026-04-04", "2026-10-03", "2026-10-24", "2026-10-31", "2026-01-05")
)


@given(st.lists(STRETCHES, min_size=1, max_size=3), ZONES, DAYS, st.integers(0, 3 * 24 * 3600))
@example(["01:59-03:00"], NEW_YORK, "2026-03-07", 28 * 3600)
def test_the_end_is_the_first_instant_that_is_not_quiet(hours, zone, day, seconds):
    try:
        quiet = QuietHours.read(hours, zone)
    except ValueError:
        return
    when = datetime.fromisoformat(day).replace(tzinfo=UTC) + timedelta(seconds=seconds)
    end = quiet.until(when)
    if end is None:
        assert not on_the_wall(hours, when, zone)
        return
    assert on_the_wall(hours, when, zone)
    assert not on_the_wall(hours, end, zone)
    assert quiet.until(end) is None
    step = when.replace(second=0) + MINUTE
    while step < end:
        assert on_the_wall(hours, step, zone)
        step += MINUTE


def on_the_wall(hours: list[str], when: datetime, zone: ZoneInfo) -> bool:
    """True if the local clock shows a quiet time; times of day sort as their text."""
    now = when.astimezone(zone).strftime("%H:%M")
    for start, _, end in (one.partition("-") for one in hours):
        if start <= now < end or (end < start and (now >= start or now < end)):
            return True
    return False
