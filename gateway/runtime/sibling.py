"""Exchange metrics and health between the two processes of a service, and merge the metrics.

https://prometheus.io/docs/instrumenting/exposition_formats/; decision D46. They travel over a pipe, once a second.
"""

from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from multiprocessing.connection import Connection
from typing import Final

from prometheus_client import Metric
from prometheus_client.registry import Collector

from gateway.runtime import clock

EVERY: Final = 1.0  # seconds


@dataclass(frozen=True, slots=True)
class Figures:
    """Metrics of a process, and its last request to AutoScribe: if it was answered, and when (None: none made)."""

    families: tuple[Metric, ...] = ()
    is_upstream_reachable: bool | None = None
    upstream_asked: datetime | None = None


class Sibling:
    """Other process of the service, with the figures it last sent; a broken pipe keeps the last ones."""

    def __init__(self, connection: Connection) -> None:
        self.figures = Figures()
        self._connection = connection
        self._heard = clock.monotonic()
        threading.Thread(target=self._read, name="sibling", daemon=True).start()

    def _read(self) -> None:
        try:
            while True:
                self.figures = self._connection.recv()
                self._heard = clock.monotonic()
        except (EOFError, OSError):
            return

    @property
    def silent(self) -> float:
        """Seconds since the sibling last sent its figures."""
        return clock.monotonic() - self._heard


async def send(connection: Connection, figures: Figures) -> None:
    """Send this process's figures. A sibling that does not read delays only this call."""
    await asyncio.to_thread(connection.send, figures)


class Together(Collector):
    """Metrics of two processes, merged into one set."""

    def __init__(self, own: Collector, sibling: Sibling) -> None:
        self._own, self._sibling = own, sibling

    def collect(self) -> Iterator[Metric]:
        """Yield each family of this process with the samples of both: sums, and for a gauge the greater value."""
        theirs = {family.name: family for family in self._sibling.figures.families}
        for family in self._own.collect():
            other = theirs.get(family.name)
            yield family if other is None else _both(family, other)


def _both(own: Metric, other: Metric) -> Metric:
    together = Metric(own.name, own.documentation, own.type, own.unit)
    samples: dict[tuple[str, tuple[tuple[str, str], ...]], float] = {}
    for sample in (*own.samples, *other.samples):
        key = (sample.name, tuple(sorted(sample.labels.items())))
        samples[key] = _joined(own.type, samples[key], sample.value) if key in samples else sample.value
    for (name, labels), value in samples.items():
        together.add_sample(name, dict(labels), value)
    return together


def _joined(kind: str, one: float, other: float) -> float:
    if kind != "gauge":
        return one + other
    return other if math.isnan(one) else one if math.isnan(other) else max(one, other)
