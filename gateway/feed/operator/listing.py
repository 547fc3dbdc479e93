"""Read AutoScribe for `feed certificate`: list the ids of all reports now signed, and read their studies anew.

AutoScribe REST API: `GET /v1/autoScribe/studies`, `/studies/{studyId}`, `/reports`; decisions D26 (at the pace of a
sweep, and of its refetches), D31.
Proved by tests/gateway/cli/test_feed.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import datetime

from gateway.ingest.assembly import pipeline_of
from gateway.ingest.read_through import ReadThrough
from gateway.runtime import clock
from gateway.runtime.errors import UpstreamError, UpstreamNotFound
from gateway.runtime.metrics import Metrics
from gateway.runtime.progress import Progress
from gateway.settings import Configuration
from gateway.store.database.postgres import Postgres
from gateway.store.database.sqlite import Sqlite
from gateway.upstream.metronome import Metronome
from gateway.upstream.pace import Pace
from gateway.upstream.paced_client import PacedClient

# Issues that make a listing incomplete: a study missing from a page, or no cursor although there is more
_DOUBTS = frozenset({"element-not-understood", "cursor-absent"})


@dataclass(slots=True)
class Listing:
    """Signed report ids by study, as listed; `fault` is a code if the listing is incomplete."""

    started: datetime
    ended: datetime
    studies: int = 0
    signed: dict[str, set[str]] = field(default_factory=dict)
    fault: str = ""

    @property
    def reports(self) -> int:
        """Number of signed reports listed."""
        return sum(map(len, self.signed.values()))


async def list_studies(configuration: Configuration) -> Listing:
    """List all studies; a faulty answer of AutoScribe ends the listing and becomes its `fault`.

    Raises:
        ConfigError: there is no API key.
    """
    settings = configuration.settings
    listing = Listing(clock.now(), clock.now())
    beat = Metronome(settings.sync.pages_per_second)
    client = PacedClient(settings.upstream, settings.pdf, settings.sync, Pace(settings.sync.concurrency))
    async with client:
        try:
            await beat.next()
            async with aclosing(client.studies()) as pages:
                async for page in pages:
                    for study in page.value["studies"]:
                        _add(listing, study)
                    doubts = [issue.code for issue in page.issues if issue.code in _DOUBTS]
                    listing.fault = listing.fault or next(iter(doubts), "")
                    await beat.next()
        except UpstreamError as error:
            listing.fault = error.code
    listing.ended = clock.now()
    return listing


async def read_anew(configuration: Configuration, engine: Sqlite | Postgres, study_ids: Sequence[str]) -> str:
    """Read these studies from AutoScribe and ingest them; return the code of the first fault, empty if all were read.

    A study that AutoScribe does not have any more stays as it is (D21).

    Raises:
        ConfigError: there is no API key.
        StoreUnavailable: the store cannot be reached.
    """
    settings, fault = configuration.settings, ""
    beat = Metronome(settings.sync.refetches_per_second)
    client = PacedClient(settings.upstream, settings.pdf, settings.sync, Pace(settings.sync.concurrency))
    reads = ReadThrough(client, engine, pipeline_of(configuration, engine), Metrics())
    async with client, aclosing(reads):
        with Progress("read anew", "studies") as progress:
            for done, study_id in enumerate(study_ids):
                await beat.next()
                progress(done, len(study_ids))
                try:
                    await reads.study(study_id, fresh=True)
                except UpstreamNotFound:
                    continue
                except UpstreamError as error:
                    fault = fault or error.code
    return fault


def _add(listing: Listing, study: dict[str, object]) -> None:
    """Add the signed reports of a study; external studies are not AutoScribe's to report on (D25)."""
    listing.studies += 1
    reports = study.get("reportIds")
    if study.get("studyType") == "external" or not isinstance(reports, list):
        return
    signed = {str(one["reportId"]) for one in reports if one["status"] == "completed"}
    if signed:
        listing.signed[str(study["studyId"])] = signed
