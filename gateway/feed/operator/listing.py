"""Every signed report as AutoScribe lists it at this moment: what a certificate is held against.

AutoScribe REST API: `GET /v1/autoScribe/studies`; decisions D26 (at the pace of a sweep), D31.
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

# A study that is left out of a page, or a listing that ends where it says there is more
_DOUBTS = frozenset({"element-not-understood", "cursor-absent"})


@dataclass(slots=True)
class Listing:
    """What was listed: by study the ids of its signed reports; `fault` is a code where it is not all there is."""

    started: datetime
    ended: datetime
    studies: int = 0
    signed: dict[str, set[str]] = field(default_factory=dict)
    fault: str = ""

    @property
    def reports(self) -> int:
        """How many signed reports were listed."""
        return sum(map(len, self.signed.values()))


async def listed(configuration: Configuration) -> Listing:
    """List all studies; what AutoScribe answers badly ends the listing, and is its `fault`.

    Raises:
        ConfigError: there is no API key.
    """
    settings = configuration.settings
    found = Listing(clock.now(), clock.now())
    beat = Metronome(settings.sync.pages_per_second)
    client = PacedClient(settings.upstream, settings.pdf, settings.sync, Pace(settings.sync.concurrency))
    async with client:
        try:
            await beat.next()
            async with aclosing(client.studies()) as pages:
                async for page in pages:
                    for study in page.value["studies"]:
                        _add(found, study)
                    doubts = [issue.code for issue in page.issues if issue.code in _DOUBTS]
                    found.fault = found.fault or next(iter(doubts), "")
                    await beat.next()
        except UpstreamError as error:
            found.fault = error.code
    found.ended = clock.now()
    return found


def _add(found: Listing, study: dict[str, object]) -> None:
    """Note the signed reports of a study; an external one is not AutoScribe's to report on (D25)."""
    found.studies += 1
    reports = study.get("reportIds")
    if study.get("studyType") == "external" or not isinstance(reports, list):
        return
    signed = {str(one["reportId"]) for one in reports if one["status"] == "completed"}
    if signed:
        found.signed[str(study["studyId"])] = signed
