"""List the ids of all reports now signed in AutoScribe, by study, for `feed certificate` to check each delivery.

AutoScribe REST API: `GET /v1/autoScribe/studies`; decisions D26 (at the pace of a sweep), D31.
Proved by tests/gateway/cli/test_feed.py.
"""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import datetime

from gateway.runtime import clock
from gateway.runtime.errors import UpstreamError
from gateway.settings import Configuration
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


def _add(listing: Listing, study: dict[str, object]) -> None:
    """Add the signed reports of a study; external studies are not AutoScribe's to report on (D25)."""
    listing.studies += 1
    reports = study.get("reportIds")
    if study.get("studyType") == "external" or not isinstance(reports, list):
        return
    signed = {str(one["reportId"]) for one in reports if one["status"] == "completed"}
    if signed:
        listing.signed[str(study["studyId"])] = signed
