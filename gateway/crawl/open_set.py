"""Looks every half minute at the studies that are not signed, and fetches those that are so no longer.

AutoScribe REST API: `GET /v1/autoScribe/studies?studyReportStatus=`; no event says that a report was begun, an addendum
opened or a study cancelled, and webhooks can be lost. Decision D26: this is how a signature is noticed without them.
"""

from __future__ import annotations

from contextlib import aclosing
from typing import Final

from gateway.crawl.ports import Crawl
from gateway.crawl.retries import Retries
from gateway.crawl.workers import Intake
from gateway.runtime.log import get_logger
from gateway.runtime.loops import repeat
from gateway.store.studies.positions import kept

NAME: Final = "open_set"
OPEN: Final = ("unassigned", "assigned", "in_progress", "addendum_active")
MOST_REMEMBERED: Final = 20_000
_IDS: Final = "ids"


class OpenSet:
    """The loop over the open set. The set of the last look is kept, so that a restart notices what left meanwhile.

    It is also remembered, for another gateway that looked before may keep its own in place of it.
    """

    def __init__(self, crawl: Crawl) -> None:
        self._crawl = crawl
        self._seen: frozenset[str] = frozenset()
        self._retries = Retries(f"{NAME}_retry", crawl.cursors)

    async def run(self) -> None:
        """Look again and again until cancelled."""
        await repeat(NAME, self.once, self._crawl.settings.open_interval, self._crawl.observer)

    async def once(self) -> int:
        """One look; returns how many studies are open. A look that breaks off leaves the last set as it was.

        Raises:
            GatewayError: AutoScribe did not list the studies, or the store did not answer.
        """
        before = await kept(self._crawl.cursors, NAME, lambda value: frozenset(value[_IDS]), frozenset[str]())
        found: set[str] = set()
        async with Intake(NAME, self._crawl, self._retries) as intake:
            async with aclosing(self._crawl.upstream.studies(study_report_status=OPEN)) as pages:
                async for page in pages:
                    found.update(study["studyId"] for study in page.value["studies"])
                    await intake.page(page)
            await intake.studies(sorted((before | self._seen) - found))
        await self._remember(before, found)
        self._seen = frozenset(found)
        return len(found)

    async def _remember(self, before: frozenset[str], found: set[str]) -> None:
        ids = sorted(found)[:MOST_REMEMBERED]
        if len(ids) < len(found):
            get_logger().warning("open-set-too-large", operation=NAME, count=len(found))
        if before != set(ids):
            await self._crawl.cursors.put(NAME, {_IDS: ids})
