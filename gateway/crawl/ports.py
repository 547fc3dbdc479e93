"""What the crawl is given: AutoScribe's listing, what takes a study in, what the store knows and keeps for it.

AutoScribe REST API: `GET /v1/autoScribe/studies`; decisions D21, D25, D26.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol, Unpack

from gateway.runtime.observer import UNOBSERVED, Observer
from gateway.settings import Sync
from gateway.store.studies.coverage import StoredCursors
from gateway.upstream.answers import Answer
from gateway.upstream.query import StudyFilters

Json = Mapping[str, Any]


class StudyListing(Protocol):
    """The upstream client, as far as the crawl calls it itself; a `PacedClient`, the same that the ingest uses."""

    def studies(self, **filters: Unpack[StudyFilters]) -> AsyncGenerator[Answer, None]:
        """The pages of `GET /studies`."""


class Ingest(Protocol):
    """What takes a study in."""

    async def __call__(self, study_id: str, *, listed: Json | None) -> None:
        """Fetch the whole study and its reports and store them.

        `listed` is the Study as it was listed, which spares asking for it. While AutoScribe is slow or asks to wait,
        that may be minutes ago.

        Raises:
            GatewayError: not done; its `retry` class says whether trying again can help.
        """


class KnownStudies(Protocol):
    """What the store knows of the studies, so that those which did not change are not fetched."""

    async def stale(self, listed: Sequence[Json], reports_before: datetime) -> list[str]:
        """Note that these Studies are listed at this instant; returns the ids of those that must be fetched.

        Those are unknown to the index, or other than stored, or their reports were fetched before that instant.
        """

    async def missing(self, sweep_started: datetime) -> list[str]:
        """The ids of studies with signed reports that were not listed since then, nor taken in; changes nothing.

        It is asked for the start of the sweep that ended, and for that of an earlier one.
        """


@dataclass(frozen=True, slots=True)
class Crawl:
    """What every loop of the crawl works with."""

    upstream: StudyListing
    ingest: Ingest
    known: KnownStudies
    cursors: StoredCursors
    settings: Sync
    observer: Observer = UNOBSERVED

    @property
    def report_lifetime(self) -> timedelta:
        """How old a study's reports may be when a sweep comes by: by the next they may not be over their time.

        That one ends within `max_index_age`, or the index is said to be incomplete.
        """
        within = timedelta(hours=self.settings.report_refetch_hours)
        return max(within - timedelta(seconds=self.settings.max_index_age), within / 2)
