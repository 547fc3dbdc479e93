"""Record if AutoScribe answered the last request of this process, for `/readyz`, the metrics, and an alert.

Carries out no clause of a standard: `/readyz` shows it, but does not depend on it. While AutoScribe is away, no report
is read: an operator must know (D38).
"""

from __future__ import annotations

from datetime import datetime
from http import HTTPStatus
from typing import Final

from gateway.runtime import clock
from gateway.runtime.metrics import Metrics
from gateway.runtime.sibling import Figures

PATIENCE: Final = 60.0  # seconds without any usable answer until it is trouble
UNREACHABLE: Final = "autoscribe-unreachable"
REFUSES: Final = "autoscribe-refuses"
_REFUSED: Final = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)


class Reachability:
    """Observer of requests to AutoScribe: counts each one and remembers if and when it was answered."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self.is_reachable: bool | None = None
        self.at: datetime | None = None
        self._failed, self._since = "", 0.0

    @property
    def trouble(self) -> str:
        """Code of the alert once every request failed for `PATIENCE`: no answer or 5xx, or the key refused. Else ""."""
        return self._failed if self._failed and clock.monotonic() - self._since >= PATIENCE else ""

    def __call__(self, operation: str, status: int | None, seconds: float) -> None:
        """Record a request and the status of its answer, None if there was no answer."""
        self._metrics.asked_upstream(operation, status, seconds)
        self.is_reachable, self.at = status is not None, clock.now()
        failed = _failure(status)
        if failed and not self._failed:
            self._since = clock.monotonic()
        self._failed = failed

    def with_sibling(self, figures: Figures) -> tuple[bool | None, datetime | None]:
        """Return if AutoScribe answered the last request of this process or its sibling, and when that was."""
        if self.at is None or (figures.upstream_asked is not None and figures.upstream_asked > self.at):
            return figures.is_upstream_reachable, figures.upstream_asked
        return self.is_reachable, self.at


def _failure(status: int | None) -> str:
    if status is None or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return UNREACHABLE
    return REFUSES if status in _REFUSED else ""
