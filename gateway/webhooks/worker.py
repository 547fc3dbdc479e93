"""Process recorded webhooks: fetch the study of each, until the study lists the event's report.

AutoScribe REST API, webhook `report.delivered`, which may come before `GET /reports` lists its report (decision D25).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Set
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from gateway.runtime import clock
from gateway.runtime.errors import GatewayError, UpstreamError
from gateway.runtime.log import code_of, get_logger
from gateway.runtime.metrics import Metrics
from gateway.store.webhooks import StoredEvent, StoredWebhooks

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
    poll: float = 1.0


DEFAULT: Final = WorkPace()


class WebhookWork:
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
        self._webhooks, self._ingest, self._metrics = webhooks, ingest, metrics
        self._pace, self._now = pace, now
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """Look for work at once."""
        self._woken.set()

    async def once(self) -> int:
        """Run one round: fetch as many studies as there are free slots, and wait for them; return how many were begun.

        Raises:
            Exception: the store could not be asked.
        """
        begun = await self._begin()
        await asyncio.gather(*self._tasks.values())
        return begun

    async def run(self) -> None:
        """Work until cancelled; fetches under way are then stopped, and are due again at the next start."""
        try:
            while True:
                try:
                    await self._begin()
                except Exception as error:
                    self._failed(error)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._pace.poll):
                        await self._woken.wait()
                self._woken.clear()
        finally:
            under_way = list(self._tasks.values())
            for task in under_way:
                task.cancel()
            await asyncio.gather(*under_way, return_exceptions=True)

    async def _begin(self) -> int:
        """Start due work as slots are free, one task for each study."""
        busy = set(self._tasks)  # before the query: the rows of a task that ends meanwhile may still be in the result
        by_study: dict[str, list[StoredEvent]] = {}
        for record in await self._webhooks.due(self._now(), _MOST):
            if record.body.keys() >= NEEDED:
                by_study.setdefault(record.body["studyId"], []).append(record)
            else:
                await self._give_up(record, _NOT_UNDERSTOOD)
        free = max(self._pace.slots - len(self._tasks), 0)
        chosen = [study_id for study_id in by_study if study_id not in busy][:free]
        for study_id in chosen:
            self._tasks[study_id] = asyncio.create_task(self._work(study_id, by_study[study_id]))
        return len(chosen)

    async def _work(self, study_id: str, records: list[StoredEvent]) -> None:
        try:
            listed, error = await self._fetched(study_id)
            for record in records:
                await self._settle(record, listed, error)
        except Exception as failure:
            self._failed(failure)
            await clock.sleep(self._pace.poll)  # deliveries that could not be settled are still due
        finally:
            del self._tasks[study_id]
            self.wake()

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

    def _failed(self, error: Exception) -> None:
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
