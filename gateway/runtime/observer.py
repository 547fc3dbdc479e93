"""Interface through which the loops that read AutoScribe report their progress and failures to the metrics.

Carries out no clause of a standard; decision D26.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final, Protocol


class Observer(Protocol):
    """Observer of the loops; `loop` is `open_set`, `cancelled` or `sweep`. All times in seconds."""

    def ingested(self, trigger: str, outcome: str) -> None:
        """Count a study that the loop `trigger` had ingested (`outcome` is `done`), or could not: the error's code."""

    def finished_round(self, loop: str, at: datetime, seconds: float, studies: int) -> None:
        """Record a finished round that listed so many studies."""

    def failed_round(self, loop: str) -> None:
        """Count a round that broke off; the loop goes on."""

    def missing(self, count: int) -> None:
        """Set the number of studies with signed reports that the last whole sweep did not list."""

    def throttled(self, seconds: float) -> None:
        """Add a time for which AutoScribe asked for no request."""


class Unobserved:
    """Observer that does nothing."""

    def ingested(self, trigger: str, outcome: str) -> None:
        """Do nothing."""

    def finished_round(self, loop: str, at: datetime, seconds: float, studies: int) -> None:
        """Do nothing."""

    def failed_round(self, loop: str) -> None:
        """Do nothing."""

    def missing(self, count: int) -> None:
        """Do nothing."""

    def throttled(self, seconds: float) -> None:
        """Do nothing."""


UNOBSERVED: Final = Unobserved()
