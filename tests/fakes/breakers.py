"""Circuit breaker of a destination, and one that never opens."""

from __future__ import annotations

from typing import Any

from gateway.feed.deliver.circuit_breaker import CircuitBreaker
from gateway.runtime.metrics import Metrics


def breaker(engine: Any = None, metrics: Metrics | None = None, name: str = "ehr") -> CircuitBreaker:
    """Make the breaker of a destination; without an engine it stays closed."""
    return CircuitBreaker(engine, name, metrics or Metrics())
