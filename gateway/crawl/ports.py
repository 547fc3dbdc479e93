"""Interfaces that the crawl needs: AutoScribe's listing, the ingest, and the store's knowledge of studies.

AutoScribe REST API: `GET /v1/autoScribe/studies`; decisions D21, D25, D26.
Proved by tests/gateway/crawl/test_crawler.py.
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
    """Upstream client as far as the crawl calls it: the same `PacedClient` that the ingest uses."""

    def studies(self, **filters: Unpack[StudyFilters]) -> AsyncGenerator[Answer, None]:
        """Yield the pages of `GET /studies`."""


class Ingest(Protocol):
    """Ingest of one study."""

    async def __call__(self, study_id: str, *, listed: Json | None) -> None:
        """Fetch the whole study with its reports, and store it.

        `listed` is the Study as listed, which saves a request. It may be minutes old while AutoScribe is slow or asks
        to wait.

        Raises:
            GatewayError: the study was not ingested; the error's `retry` class tells whether another try can help.
        """


class KnownStudies(Protocol):
    """Store's knowledge of the studies, so that unchanged ones are not fetched."""

    async def stale(self, listed: Sequence[Json], reports_before: datetime) -> list[str]:
        """Note that these Studies are listed now, and return the ids of those that must be fetched.

        Those are studies that are unknown, that differ from the stored ones, or whose reports were fetched before that
        instant.
        """

    async def missing(self, sweep_started: datetime) -> list[str]:
        """Return the ids of studies with signed reports that were neither listed nor ingested since then.

        The crawl asks with the start of the sweep that ended, and with that of an earlier one.
        """


@dataclass(frozen=True, slots=True)
class Crawl:
    """Everything that a loop of the crawl works with."""

    upstream: StudyListing
    ingest: Ingest
    known: KnownStudies
    cursors: StoredCursors
    settings: Sync
    observer: Observer = UNOBSERVED

    @property
    def report_lifetime(self) -> timedelta:
        """Age at which a sweep refetches a study's reports, so that they cannot expire before the next sweep.

        The next sweep ends within `max_index_age`, or the index counts as incomplete.
        """
        within = timedelta(hours=self.settings.report_refetch_hours)
        return max(within - timedelta(seconds=self.settings.max_index_age), within / 2)
