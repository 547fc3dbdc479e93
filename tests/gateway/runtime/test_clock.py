"""Clock of the process: UTC, and a clock that never goes back."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest

from gateway.runtime import clock


def test_the_wall_clock_is_utc() -> None:
    assert clock.now().tzinfo is UTC
    assert abs(clock.now() - datetime.now(UTC)) < timedelta(seconds=5)


def test_the_other_clock_goes_on_and_never_back() -> None:
    readings = [clock.monotonic() for _ in range(100)]
    assert readings == sorted(readings)
    before = clock.monotonic()
    time.sleep(0.01)
    assert 0.01 <= clock.monotonic() - before < 5


async def test_a_sleep_lasts_as_long_as_asked() -> None:
    before = clock.monotonic()
    await clock.sleep(0.02)
    assert 0.019 <= clock.monotonic() - before < 5


def test_a_system_without_a_clock_that_runs_on_in_sleep_has_the_usual_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(_: int) -> float:
        raise OSError

    monkeypatch.setattr(time, "clock_gettime", missing)
    assert clock._never_back() is time.monotonic


def test_the_clock_of_a_system_that_has_it_runs_on_in_sleep() -> None:
    if not hasattr(time, "CLOCK_BOOTTIME"):
        return
    assert abs(clock.monotonic() - time.clock_gettime(time.CLOCK_BOOTTIME)) < 5
