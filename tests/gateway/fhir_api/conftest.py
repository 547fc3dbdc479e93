"""The facade over a sandbox that behaves by its defaults, and what its errors look like."""

import pytest
from fakes.facade import facade

from gateway import clock


@pytest.fixture
async def stage():
    async with facade() as playing:
        yield playing


@pytest.fixture
def no_waiting(monkeypatch):
    """Nobody waits; the pauses that were asked for are listed."""
    pauses = []

    async def sleep(seconds):
        pauses.append(seconds)

    monkeypatch.setattr(clock, "sleep", sleep)
    return pauses
