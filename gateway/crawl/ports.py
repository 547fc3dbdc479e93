"""Interfaces that the crawl loops need: client, store, settings, and the function that ingests a study.

AutoScribe REST API: `GET /v1/autoScribe/studies`; decisions D21, D25, D26.
Proved by tests/gateway/crawl/test_crawler.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from gateway.crawl.sharing import Sharing
from gateway.runtime.loops import UNOBSERVED, Observer
from gateway.settings import Sync
from gateway.store.studies.crawling import StoredCursors, StoredStudies
from gateway.upstream.paced_client import PacedClient

Json = Mapping[str, Any]


class Ingest(Protocol):
    """Function that ingests one study."""

    async def __call__(self, study_id: str, *, listed: Json | None) -> None:
        """Fetch the whole study with its reports, and store it.

        `listed` is the Study as listed, which saves a request. It may be minutes old while AutoScribe is slow or asks
        to wait.

        Raises:
            GatewayError: the study was not ingested; the error's `retry` class tells whether another try can help.
        """


@dataclass(frozen=True, slots=True)
class Crawl:
    """Everything that a crawl loop works with; the ingest uses the same `upstream` client.

    With `sharing`, other processes take part in the crawl.
    """

    upstream: PacedClient
    ingest: Ingest
    known: StoredStudies
    cursors: StoredCursors
    settings: Sync
    observer: Observer = UNOBSERVED
    sharing: Sharing | None = None
