"""Whether AutoScribe answered when it was asked last.

Carries out no clause of a standard: `/readyz` says it, and is ready without.
"""

from __future__ import annotations

from datetime import datetime

from gateway.runtime import clock
from gateway.runtime.metrics import Metrics


class Reachability:
    """Called for every request to AutoScribe; counts it, and keeps in mind whether there was an answer, and when."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self.is_reachable: bool | None = None
        self.at: datetime | None = None

    def __call__(self, operation: str, status: int | None, seconds: float) -> None:
        """A request with the status of its answer, None for none."""
        self._metrics.asked_upstream(operation, status, seconds)
        self.is_reachable, self.at = status is not None, clock.now()
