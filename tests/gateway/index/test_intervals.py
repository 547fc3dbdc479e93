"""https://hl7.org/fhir/R4/search.html#date: the interval of a date, at every precision."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.index.intervals import interval, widened

NEW_YORK = ZoneInfo("America/New_York")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SECOND = 1_000_000
ZONES = st.sampled_from(["UTC", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "America/Sao_Paulo"]).map(
    ZoneInfo
)

MOMENTS = st.integers(-(70 * 365 * 86_400 * SECOND), 130 * 365 * 86_400 * SECOND).map(
    lambda ticks: EPOCH + timedelta(microseconds=ticks)
)


def micros(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(microseconds=1)


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        ("2024", "2024-01-01T00:00-05:00", "2025-01-01T00:00-05:00"),
        ("2024-02", "2024-02-01T00:00-05:00", "2024-03-01T00:00-05:00"),
        ("2024-12", "2024-12-01T00:00-05:00", "2025-01-01T00:00-05:00"),
        ("2024-02-29", "2024-02-29T00:00-05:00", "2024-03-01T00:00-05:00"),
        ("2024-03-10", "2024-03-10T00:00-05:00", "2024-03-11T00:00-04:00"),
        ("2024-11-03", "2024-11-03T00:00-04:00", "2024-11-04T00:00-05:00"),
        ("2024-07-01T14:20", "2024-07-01T14:20-04:00", "2024-07-01T14:21-04:00"),
        ("2024-07-01T14:20Z", "2024-07-01T14:20Z", "2024-07-01T14:21Z"),
        ("2024-07-01T14:20:05+05:30", "2024-07-01T14:20:05+05:30", "2024-07-01T14:20:06+05:30"),
        ("2024-07-01T14:20:05 05:30", "2024-07-01T14:20:05+05:30", "2024-07-01T14:20:06+05:30"),
        ("2024-07-01T14:20:05-14:00", "2024-07-01T14:20:05-14:00", "2024-07-01T14:20:06-14:00"),
        ("2024-07-01T14:20:05.1Z", "2024-07-01T14:20:05.1Z", "2024-07-01T14:20:05.2Z"),
        ("2024-07-01T14:20:05.123Z", "2024-07-01T14:20:05.123Z", "2024-07-01T14:20:05.124Z"),
        ("2024-07-01T14:20:05.123456789Z", "2024-07-01T14:20:05.123456Z", "2024-07-01T14:20:05.123457Z"),
        ("2016-12-31T23:59:60Z", "2017-01-01T00:00:00Z", "2017-01-01T00:00:01Z"),
    ],
)
def test_a_date_covers_all_that_it_does_not_say_finer(text, low, high):
    assert interval(text, NEW_YORK) == (micros(datetime.fromisoformat(low)), micros(datetime.fromisoformat(high)))


@pytest.mark.parametrize(
    "text",
    [
        *("", "24", "2024-", "2024-1", "2024-13", "2024-02-30", "0000", "2024-02-03T", "2024-02-03T10", "today"),
        *("2024-02-03T24:00", "2024-02-03T10:60", "2024-02-03T10:00:61", "2024-02-03T10:00:00.", "2024-02-03Z"),
        *("2024-02-03T10:00:00+15:00", "2024-02-03T10:00:00+14:01", "2024-02-03T10:00:00+1:00", "٢٠٢٤", " 2024"),
        "2024-02-03T10:00:00z",
    ],
)
def test_what_is_no_date_has_no_interval(text):
    assert interval(text, NEW_YORK) is None


@pytest.mark.parametrize("text", ["0001", "0001-01", "0001-01-01", "0001-01-01T00:00:00+14:00"])
@pytest.mark.parametrize("zone", [UTC, NEW_YORK, timezone(timedelta(hours=14))])
def test_the_first_dates_of_the_calendar_have_intervals_in_every_zone(text, zone):
    low, high = interval(text, zone)
    assert low < high < 0


@pytest.mark.parametrize("text", ["9999", "9999-12", "9999-12-31", "9999-12-31T23:59:59-14:00"])
@pytest.mark.parametrize("zone", [UTC, NEW_YORK, timezone(-timedelta(hours=14))])
def test_the_last_dates_of_the_calendar_have_intervals_in_every_zone(text, zone):
    low, high = interval(text, zone)
    assert micros(datetime(9998, 12, 31, tzinfo=UTC)) < low < high < 2**63


def test_the_last_year_month_and_day_end_together():
    assert len({interval(text, NEW_YORK)[1] for text in ("9999", "9999-12", "9999-12-31")}) == 1


@given(MOMENTS, ZONES)
def test_the_longer_a_date_is_written_the_less_it_covers(moment, zone):
    written = moment.astimezone(zone).isoformat(timespec="microseconds")
    offset = written[26:]
    texts = [written[:4], written[:7], written[:10], *(written[:end] + offset for end in (16, 19, 21, 23, 26))]
    if offset.count(":") == 1:
        intervals = [interval(text, zone) for text in texts]
        for outer, inner in pairwise(intervals):
            assert outer[0] <= inner[0] < inner[1] <= outer[1]
        assert intervals[-1] == (micros(moment), micros(moment) + 1)


@given(st.dates(date(1900, 1, 1), date(2100, 1, 1)), ZONES)
def test_a_day_ends_when_the_next_begins(day, zone):
    tomorrow = day + timedelta(days=1)
    assert interval(day.isoformat(), zone)[1] == interval(tomorrow.isoformat(), zone)[0]


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (1000, 1010, (1000, 1010)),
        (900, 905, (890, 915)),
        (1105, 1110, (1095, 1120)),
        (990, 1005, (990, 1005)),
    ],
)
def test_about_a_date_is_a_tenth_of_its_distance_from_now_more_on_each_side(low, high, expected):
    now = EPOCH + timedelta(seconds=1005)
    assert widened(low * SECOND, high * SECOND, now) == tuple(one * SECOND for one in expected)
