"""Process stored webhooks: fetch the study of each event, until the study lists the event's report.

AutoScribe REST API, webhook `report.delivered`, which may come before `GET /reports` lists its report (decision D25).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Set
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from gateway.runtime import clock
from gateway.runtime.errors import GatewayError, UpstreamError
from gateway.runtime.log import code_of, get_logger
from gateway.runtime.metrics import Metrics
from gateway.runtime.work_queue import POLL, WorkQueue
from gateway.store.enrichment import StoredEvent, StoredWebhooks

# Ingests a study by its upstream id and returns the upstream ids of its signed reports. May raise anything.
Ingest = Callable[[str], Awaitable[Set[str]]]

WAITS: Final = (1, 2, 5, 10, 30, 60, 120, 300, 600, 1200, 1800)  # seconds; then the event is given up
OUTAGE_WAIT: Final = 60  # seconds; longest wait while AutoScribe is out of reach
LOOP: Final = "webhooks"
_NOT_LISTED: Final = "report-not-listed"
NEEDED: Final = frozenset({"studyId", "reportId"})
_NOT_UNDERSTOOD: Final = "not-understood"  # for example, recorded by another release
_MOST: Final = 200


@dataclass(frozen=True, slots=True)
class WorkPace:
    """Number of studies fetched at one time, and seconds between polls for work without a wake-up."""

    slots: int = 4
    poll: float = POLL


DEFAULT: Final = WorkPace()


class WebhookWork(WorkQueue[list[StoredEvent]]):
    """Worker for several studies at a time; all deliveries about one study share its fetch.

    Call `wake` when a delivery was recorded; otherwise the next poll finds it. A delivery is done when its study lists
    its report. An outage is waited out. After any other failure, or if the report is not listed, it is tried again with
    growing waits. After about an hour it is given up and logged as an error: the sweep finds the report.
    """

    def __init__(
        self,
        webhooks: StoredWebhooks,
        ingest: Ingest,
        metrics: Metrics,
        pace: WorkPace = DEFAULT,
        now: Callable[[], datetime] = clock.now,
    ) -> None:
        super().__init__(pace.slots, pace.poll)
        self._webhooks, self._ingest, self._metrics, self._now = webhooks, ingest, metrics, now

    async def due(self, most: int) -> dict[str, list[StoredEvent]]:
        """Read the due deliveries, by study; a delivery that names no report is given up."""
        by_study: dict[str, list[StoredEvent]] = {}
        for record in await self._webhooks.due(self._now(), max(most, _MOST)):
            if record.body.keys() >= NEEDED:
                by_study.setdefault(record.body["studyId"], []).append(record)
            else:
                await self._give_up(record, _NOT_UNDERSTOOD)
        return by_study

    async def work(self, item: list[StoredEvent]) -> None:
        """Fetch the study of these deliveries, and settle each."""
        listed, error = await self._fetched(item[0].body["studyId"])
        for record in item:
            await self._settle(record, listed, error)

    async def _fetched(self, study_id: str) -> tuple[Set[str], BaseException | None]:
        try:
            return await self._ingest(study_id), None
        except GatewayError as error:
            return frozenset(), error
        except (Exception, asyncio.CancelledError) as error:
            if _is_cancelled():
                raise
            # This task was not cancelled: the work inside the ingest was
            get_logger().error("webhook-ingest-failed", study_id=study_id, exc_info=error)
            return frozenset(), error

    async def _settle(self, record: StoredEvent, listed: Set[str], error: BaseException | None) -> None:
        if record.body["reportId"] in listed:
            await self._webhooks.done(record.webhook_id)
            self._metrics.worked_webhook("done")
            return
        code = _code(error)
        wait = _wait(record.attempts, error)
        if wait is not None:
            await self._webhooks.again(record.webhook_id, self._now() + timedelta(seconds=wait), code)
            self._metrics.worked_webhook("again")
            return
        await self._give_up(record, code)

    async def _give_up(self, record: StoredEvent, code: str) -> None:
        await self._webhooks.done(record.webhook_id, code)
        self._metrics.worked_webhook("given_up")
        report_id, study_id = record.body.get("reportId"), record.body.get("studyId")
        get_logger().error(
            "webhook-given-up", report_id=report_id, study_id=study_id, code=code, attempts=record.attempts + 1
        )

    def failed(self, error: Exception) -> None:
        """Count and log a failure; deliveries that could not be settled are still due."""
        self._metrics.failed_round(LOOP)
        get_logger().error("webhook-work-failed", exc_info=error)


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _code(error: BaseException | None) -> str:
    return _NOT_LISTED if error is None else code_of(error)


def _wait(attempts: int, error: BaseException | None) -> float | None:
    """Return the seconds until the next attempt, at least what AutoScribe asks for; None if there is none."""
    if isinstance(error, GatewayError) and error.retry == "transient":
        asked = error.retry_after if isinstance(error, UpstreamError) else None
        return max(min(WAITS[min(attempts, len(WAITS) - 1)], OUTAGE_WAIT), asked or 0)
    return WAITS[attempts] if attempts < len(WAITS) else None
