"""Each minute's deliveries are stored once, summed over processes, and read as a day's number, curve and quantiles."""

from __future__ import annotations

from datetime import timedelta

import pytest
from fakes.store import rows

from gateway.feed.loops import MINUTES_KEPT, Minutes
from gateway.runtime import clock
from gateway.runtime.metrics import Metrics
from gateway.store.feed.messages import DayDelivered, day_delivered

STORED = "SELECT destination, within, messages FROM minute ORDER BY destination, within"


@pytest.fixture
def now(monkeypatch):
    at = [clock.now()]
    monkeypatch.setattr(clock, "now", lambda: at[0])
    return at


def acknowledged(metrics, destination, *seconds):
    for one in seconds:
        metrics.fed(destination, "delivered", "")
        metrics.acknowledged(destination, one, is_critical=False)


async def test_what_was_delivered_since_the_last_minute_is_added_once(engine, now):
    metrics = Metrics()
    minutes = Minutes(engine, metrics)
    acknowledged(metrics, "ehr", 0.5, 4.0, 4.5, 100_000.0)
    metrics.fed("ehr", "queued", "ack-timeout")
    metrics.fed("pacs", "delivered", "")
    await minutes.once()
    await minutes.once()
    assert await rows(engine, STORED) == [
        ("ehr", 0, 4),
        ("ehr", 1, 1),
        ("ehr", 5, 2),
        ("ehr", 2**31, 1),
        ("pacs", 0, 1),
    ]
    acknowledged(metrics, "ehr", 4.0)
    await minutes.once()
    assert (await rows(engine, STORED))[:3] == [("ehr", 0, 5), ("ehr", 1, 1), ("ehr", 5, 3)]


async def test_counts_of_two_processes_in_one_minute_are_summed(engine, now):
    for _ in range(2):
        metrics = Metrics()
        acknowledged(metrics, "ehr", 2.0)
        await Minutes(engine, metrics).once()
    assert await rows(engine, STORED) == [("ehr", 0, 2), ("ehr", 2, 2)]


async def test_counts_that_could_not_be_stored_are_stored_by_the_next_minute(engine, now, monkeypatch):
    metrics = Metrics()
    minutes = Minutes(engine, metrics)
    acknowledged(metrics, "ehr", 2.0)
    with monkeypatch.context() as broken:
        broken.setattr(engine, "do", None)
        with pytest.raises(TypeError):
            await minutes.once()
    await minutes.once()
    assert await rows(engine, STORED) == [("ehr", 0, 1), ("ehr", 2, 1)]


async def test_a_day_is_read_in_half_hours_with_the_seconds_to_the_acknowledgement(engine, now):
    metrics = Metrics()
    minutes, begun = Minutes(engine, metrics), now[0]
    acknowledged(metrics, "ehr", 50.0)
    await minutes.once()
    now[0] = begun + timedelta(hours=25)
    acknowledged(metrics, "ehr", *[1.0] * 90, *[20.0] * 10)
    await minutes.once()
    metrics.fed("ehr", "delivered", "")
    now[0] += timedelta(hours=3)
    await minutes.once()
    found = await day_delivered(engine, "ehr")
    assert (found.messages, found.p50, found.p99) == (101, 1, 20)
    assert len(found.half_hours) == 48 and found.half_hours[-1] == 1 and found.half_hours[-7] == 100
    assert await day_delivered(engine, "pacs") == DayDelivered(0, (0,) * 48, None, None)


async def test_a_quantile_beyond_a_day_is_not_named(engine, now):
    metrics = Metrics()
    acknowledged(metrics, "ehr", 1.0, 100_000.0)
    await Minutes(engine, metrics).once()
    found = await day_delivered(engine, "ehr")
    assert (found.p50, found.p99) == (1, None)


async def test_minutes_older_than_32_days_are_dropped(engine, now):
    metrics = Metrics()
    minutes = Minutes(engine, metrics)
    for days in (0, 1, MINUTES_KEPT.days + 1):
        now[0] += timedelta(days=days)
        acknowledged(metrics, "ehr", 1.0)
        await minutes.once()
    assert await rows(engine, STORED) == [("ehr", 0, 1), ("ehr", 1, 1)]
