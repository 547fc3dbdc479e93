"""List AutoScribe's cancelled studies every ten minutes, and ingest those whose stored copy is out of date.

AutoScribe REST API: `GET /v1/autoScribe/studies?isCancelled=true`; no event says that a study was cancelled (D21, D26).
"""

from __future__ import annotations

from contextlib import aclosing
from typing import Final

from gateway.crawl.ports import Crawl
from gateway.crawl.retries import Retries
from gateway.crawl.workers import Intake
from gateway.runtime.loops import repeat
from gateway.upstream.metronome import Metronome

NAME: Final = "cancelled"


class Cancelled:
    """Loop over the cancelled studies."""

    def __init__(self, crawl: Crawl) -> None:
        self._crawl = crawl
        self._retries = Retries(f"{NAME}_retry", crawl.cursors)

    async def run(self) -> None:
        """Read the list again and again, until cancelled."""
        await repeat(NAME, self.once, self._crawl.settings.cancelled_interval, self._crawl.observer)

    async def once(self) -> int:
        """Read the list once; return how many studies are cancelled.

        Raises:
            GatewayError: AutoScribe did not list the studies, or the store did not answer.
        """
        beat = Metronome(self._crawl.settings.pages_per_second)
        await beat.next()
        async with (
            Intake(NAME, self._crawl, self._retries) as intake,
            aclosing(self._crawl.upstream.studies(is_cancelled=True)) as pages,
        ):
            async for page in pages:
                await intake.page(page)
                await beat.next()
        return intake.listed
