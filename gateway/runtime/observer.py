"""Counts what the loops of the crawl do, for metrics.

Carries out no clause of a standard; decision D26.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final, Protocol


class Observer(Protocol):
    """Told what the loops do, for metrics; `loop` is `open_set`, `cancelled` or `sweep`. All times in seconds."""

    def ingested(self, trigger: str, outcome: str) -> None:
        """The loop `trigger` had a study taken in (`outcome` is `done`), or could not: the code of the error."""

    def finished_round(self, loop: str, at: datetime, seconds: float, studies: int) -> None:
        """A loop ended a round, having listed so many studies."""

    def failed_round(self, loop: str) -> None:
        """A round broke off; the loop goes on."""

    def missing(self, count: int) -> None:
        """A whole sweep ended that did not list so many studies with signed reports."""

    def throttled(self, seconds: float) -> None:
        """AutoScribe asked for no request within so many seconds."""


class Unobserved:
    """The observer that does nothing."""

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
