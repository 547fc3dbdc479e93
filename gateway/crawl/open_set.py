"""Poll AutoScribe's unsigned studies (the open set) every half minute; ingest each study that changed or left the set.

AutoScribe REST API: `GET /v1/autoScribe/studies?studyReportStatus=`; no event tells of a begun report, an opened
addendum or a cancelled study, and webhooks can be lost. Decision D26: so a signature is noticed without them.
"""

from __future__ import annotations

from contextlib import aclosing
from typing import Final

from gateway.crawl.ports import Crawl
from gateway.crawl.retries import Retries
from gateway.crawl.workers import Intake
from gateway.runtime.log import get_logger
from gateway.runtime.loops import repeat
from gateway.store.studies.crawling import kept_position

NAME: Final = "open_set"
OPEN: Final = ("unassigned", "assigned", "in_progress", "addendum_active")
MOST_REMEMBERED: Final = 20_000
_IDS: Final = "ids"


class OpenSet:
    """Loop over the open set. The last set is stored, so that a restart notices which studies left meanwhile.

    It is also kept in memory, since another gateway may overwrite the stored one.
    """

    def __init__(self, crawl: Crawl) -> None:
        self._crawl = crawl
        self._seen: frozenset[str] = frozenset()
        self._retries = Retries(f"{NAME}_retry", crawl.cursors)

    async def run(self) -> None:
        """Poll again and again, until cancelled."""
        await repeat(NAME, self.once, self._crawl.settings.open_interval, self._crawl.observer)

    async def once(self) -> int:
        """Poll once; return how many studies are open. A poll that breaks off leaves the stored set as it was.

        Raises:
            GatewayError: AutoScribe did not list the studies, or the store did not answer.
        """
        before = await kept_position(self._crawl.cursors, NAME, lambda value: frozenset(value[_IDS]), frozenset[str]())
        open_ids: set[str] = set()
        async with Intake(NAME, self._crawl, self._retries) as intake:
            async with aclosing(self._crawl.upstream.studies(study_report_status=OPEN)) as pages:
                async for page in pages:
                    open_ids.update(study["studyId"] for study in page.value["studies"])
                    await intake.page(page)
            await intake.studies(sorted((before | self._seen) - open_ids))
        await self._remember(before, open_ids)
        self._seen = frozenset(open_ids)
        return len(open_ids)

    async def _remember(self, before: frozenset[str], found: set[str]) -> None:
        ids = sorted(found)[:MOST_REMEMBERED]
        if len(ids) < len(found):
            get_logger().warning("open-set-too-large", operation=NAME, count=len(found))
        if before != set(ids):
            await self._crawl.cursors.put(NAME, {_IDS: ids})
