"""The receiver's last word is the upstream's, whatever is suspended, frozen, slow or late: by seed, in virtual time.

Decision D33; `SIMULATION_SEED=n` shows one schedule again.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from fakes.simulation.world import World
from structlog.testing import capture_logs

from gateway.metrics import Metrics

SCHEDULES = 1_000


@pytest.fixture
def silent():
    """A file that never has anything to read."""
    reader, writer = os.pipe()
    yield reader
    os.close(reader)
    os.close(writer)


def test_the_last_word_is_the_upstreams_in_every_schedule(migrated_sqlite: Path, silent: int, monkeypatch):
    seeds = [int(os.environ["SIMULATION_SEED"])] if "SIMULATION_SEED" in os.environ else range(SCHEDULES)
    metrics = Metrics()
    with capture_logs():
        for seed in seeds:
            with monkeypatch.context() as patches:
                World(seed, migrated_sqlite, silent, metrics).install(patches).run()
