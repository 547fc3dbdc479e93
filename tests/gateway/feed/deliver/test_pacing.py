"""Pace of sending: the time at which the next message may go (D34)."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from fakes.fed import destination

from gateway.feed.deliver.sender import Pacing
from gateway.routing import QuietHours
from mappings.profile import receiver

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
USUAL = destination(1)


def test_without_a_pace_the_next_goes_at_once():
    pacing = Pacing(USUAL)
    pacing.used(NOON)
    assert pacing.wait(NOON) <= 0


@pytest.mark.parametrize(
    "one", [replace(USUAL, gap=2.0), replace(USUAL, receiver=replace(receiver("generic"), rate_limit=1), gap=2.0)]
)
def test_a_gap_is_kept_from_one_answer_to_the_next_message(one):
    pacing = Pacing(one)
    assert pacing.wait(NOON) <= 0
    pacing.used(NOON)
    assert pacing.wait(NOON + timedelta(seconds=0.5)) == 1.5
    assert pacing.wait(NOON + timedelta(seconds=2)) <= 0


def test_a_rate_is_a_least_time_between_two():
    pacing = Pacing(replace(USUAL, receiver=replace(receiver("generic"), rate_limit=4)))
    pacing.used(NOON)
    assert pacing.wait(NOON) == 0.25


def test_a_clock_that_is_set_back_does_not_stop_the_feed():
    pacing = Pacing(replace(USUAL, gap=2.0))
    pacing.used(NOON)
    assert pacing.wait(NOON - timedelta(days=1)) <= 2.0


def test_in_quiet_hours_nothing_goes_until_they_end():
    pacing = Pacing(replace(USUAL, quiet=QuietHours.read(["11:00-13:00"], ZoneInfo("UTC"))))
    assert pacing.wait(NOON) == 3600
    assert pacing.wait(NOON + timedelta(hours=1)) <= 0
