"""Decision D26: at most so many pages in a second."""

import pytest
from fakes.virtual_clock import VirtualClock

from gateway.upstream.metronome import Metronome


@pytest.fixture
def time(monkeypatch):
    return VirtualClock().install(monkeypatch)


async def test_steps_are_apart_and_lost_time_is_not_made_up_for(time):
    beat, steps = Metronome(2), []
    for lost in (0, 0, 0.3, 2, 0, 0):
        await time.run(beat.next())
        steps.append(time.seconds)
        time.seconds += lost
    assert steps == pytest.approx([0, 0.5, 1.0, 1.5, 3.5, 4.0])
