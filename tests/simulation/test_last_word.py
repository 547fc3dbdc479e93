"""The receiver's last state equals the upstream's, whatever is suspended, frozen or late: by seed, in virtual time.

Decision D33. A failure names its seed; `SIMULATION_SEED=n` runs that schedule alone.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from fakes.scale import SCHEDULES
from fakes.simulation.world import LawBroken, World
from structlog.testing import capture_logs

from gateway.feed.deliver.channel import MllpChannel
from gateway.mllp.permit import Permit
from gateway.runtime.metrics import Metrics

MOST_UNTIL_RED = 200


@pytest.fixture
def silent() -> Iterator[int]:
    """A file object that never has anything to read."""
    reader, writer = os.pipe()
    yield reader
    os.close(reader)
    os.close(writer)


def run(seeds: Iterable[int], migrated: Path, silent: int, monkeypatch: pytest.MonkeyPatch) -> list[World]:
    metrics, worlds = Metrics(), []
    for seed in seeds:
        with monkeypatch.context() as patches, capture_logs():
            worlds.append(World(seed, migrated, silent, metrics).install(patches))
            worlds[-1].run()
    return worlds


@pytest.mark.parametrize(("first", "count"), [size for one in SCHEDULES for size in one.both()])
def test_the_last_word_is_the_upstreams_in_every_schedule(migrated_sqlite, silent, monkeypatch, first, count):
    only = os.environ.get("SIMULATION_SEED")
    seeds = [int(only)] if only else range(first, first + count)
    run(seeds, migrated_sqlite, silent, monkeypatch)


def test_a_seed_replays_exactly_what_happened(migrated_sqlite, silent, monkeypatch):
    one, other = run([7, 7], migrated_sqlite, silent, monkeypatch)
    assert one.events == other.events
    assert len(one.events) > 10


def test_a_lease_that_is_checked_before_connecting_is_found_out(migrated_sqlite, silent, monkeypatch):
    exchanged = MllpChannel._sent

    async def checked_before(channel, head):
        channel._permit.check()
        permit, channel._permit = channel._permit, Permit()
        try:
            return await exchanged(channel, head)
        finally:
            channel._permit = permit

    monkeypatch.setattr(MllpChannel, "_sent", checked_before)
    with pytest.raises(LawBroken, match="writes without a lease"):
        run(range(MOST_UNTIL_RED), migrated_sqlite, silent, monkeypatch)
