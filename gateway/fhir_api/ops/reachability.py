"""Record if AutoScribe answered the last request of this process, for `/readyz` and the metrics.

Carries out no clause of a standard: `/readyz` shows it, but does not depend on it.
"""

from __future__ import annotations

from datetime import datetime

from gateway.runtime import clock
from gateway.runtime.metrics import Metrics
from gateway.runtime.sibling import Figures


class Reachability:
    """Observer of requests to AutoScribe: counts each one and remembers if and when it was answered."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self.is_reachable: bool | None = None
        self.at: datetime | None = None

    def __call__(self, operation: str, status: int | None, seconds: float) -> None:
        """Record a request and the status of its answer, None if there was no answer."""
        self._metrics.asked_upstream(operation, status, seconds)
        self.is_reachable, self.at = status is not None, clock.now()

    def with_sibling(self, figures: Figures) -> tuple[bool | None, datetime | None]:
        """Return if AutoScribe answered the last request of this process or its sibling, and when that was."""
        if self.at is None or (figures.upstream_asked is not None and figures.upstream_asked > self.at):
            return figures.is_upstream_reachable, figures.upstream_asked
        return self.is_reachable, self.at
