"""Work through the queue of report PDFs: fetch and store, retry or give up, then ingest the study again.

AutoScribe REST API: `GET /v1/autoScribe/reports/pdf`; decision D28. Only the bytes of a PDF are stored. Its link is a
secret, and appears in no row, log line or metric.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from typing import Final

from gateway.runtime import clock
from gateway.runtime.errors import (
    GatewayError,
    PdfInterrupted,
    PdfUnavailable,
    StoreError,
    UpstreamError,
    UpstreamKeyRefused,
)
from gateway.runtime.log import code_of, get_logger
from gateway.runtime.metrics import Metrics
from gateway.runtime.work_queue import WorkQueue
from gateway.store.stored_reports import Overtaken, PdfClaim, Pdfs, Untold, WantedPdf
from gateway.upstream.pdf_stream import OPERATION, PdfStream

Fetch = Callable[[str], AbstractAsyncContextManager[PdfStream]]
Refresh = Callable[[str], Awaitable[object]]

LOOP: Final = "pdf"
CONCURRENCY: Final = 2  # PDFs fetched at one time
ATTEMPTS: Final = 6  # for a PDF that AutoScribe refuses; outages do not count
LONGEST_WAIT: Final = 3600.0  # seconds between attempts
LONGEST: Final = 1800.0  # seconds for one PDF
FIRST_WAIT: Final = 2.0  # seconds, doubled each time, after a failure that passes by itself
FIRST_LONG_WAIT: Final = 30.0  # seconds, four times as long each time, after a refusal: a PDF may come late
TELL_AGAIN: Final = timedelta(minutes=2)
_MOST_DOUBLINGS: Final = 16


class PdfQueue(WorkQueue[Untold | WantedPdf]):
    """Queue that fetches several PDFs at a time, and refreshes their studies afterwards.

    `fetch` is `UpstreamClient.stream_pdf`, `refresh` ingests a stored study again. An outage or a refused API key is
    waited out without limit. A PDF that AutoScribe refuses is given up after a few attempts.
    """

    def __init__(self, pdfs: Pdfs, fetch: Fetch, refresh: Refresh, metrics: Metrics) -> None:
        super().__init__(CONCURRENCY)
        self._pdfs, self._source, self._refresh = pdfs, fetch, refresh
        self._metrics = metrics

    async def due(self, most: int) -> dict[str, Untold | WantedPdf]:
        """Read the work by report: studies to refresh first, then PDFs to fetch."""
        due: list[Untold | WantedPdf] = [*await self._pdfs.untold(clock.now(), most)]
        due += await self._pdfs.wanted(clock.now(), most)
        return {work_item.report_id: work_item for work_item in due}

    async def work(self, item: Untold | WantedPdf) -> None:
        """Fetch a PDF, or refresh the study of one that was fetched."""
        try:
            await (self._refresh_study(item) if isinstance(item, Untold) else self._fetch(item))
        except Overtaken:
            self._metrics.worked_pdf("overtaken")

    async def _fetch(self, wanted: WantedPdf) -> None:
        claim = await self._pdfs.claim(wanted)
        try:
            await self._copy(claim)
        except (Overtaken, StoreError):
            raise
        except Exception as error:
            await self._settle(claim, error)
            return
        untold = await claim.keep()
        if claim.is_other_of_same_text:
            get_logger().warning("pdf-changed", report_id=wanted.report_id, study_id=wanted.study_id)
            self._metrics.changed_pdf()
        self._metrics.worked_pdf("kept")
        await self._refresh_study(untold)

    async def _copy(self, claim: PdfClaim) -> None:
        """Copy the PDF from AutoScribe into the store, chunk by chunk.

        Raises:
            PdfUnavailable: it is refused, or it is still the PDF of an earlier text.
            PdfInterrupted: it broke off, or took too long.
        """
        try:
            async with asyncio.timeout(LONGEST), self._source(claim.wanted.report_id) as stream:
                async for data in stream:
                    await claim.write(data)
        except TimeoutError:
            raise PdfInterrupted(OPERATION, detail="it took too long") from None
        if claim.is_of_earlier_text:
            raise PdfUnavailable(OPERATION, detail="it is still the PDF of an earlier text")

    async def _settle(self, claim: PdfClaim, error: Exception) -> None:
        """Schedule another attempt after a failure, or give the PDF up."""
        wanted = claim.wanted
        code = code_of(error)
        attempts = wanted.attempts + 1 if wanted.code == code else 1
        fields = {"report_id": wanted.report_id, "study_id": wanted.study_id, "code": code, "attempts": attempts}
        if code == "internal":
            get_logger().error("pdf-failed", **fields, exc_info=error)
        if not _passes(error) and attempts >= ATTEMPTS:
            await claim.give_up(code, attempts)
            get_logger().error("pdf-unavailable", **fields)
            self._metrics.worked_pdf("unavailable")
            return
        wait = min(_wait(attempts, error), LONGEST_WAIT)
        await claim.again(clock.now() + timedelta(seconds=wait), code, attempts)
        self._metrics.worked_pdf("again")

    async def _refresh_study(self, untold: Untold) -> None:
        """Refresh the study, so that its resources show the PDF (D28: a new FHIR version, no v2 message)."""
        await self._pdfs.tell_by(untold, clock.now() + TELL_AGAIN)
        await self._refresh(untold.study_id)
        await self._pdfs.told(untold)

    def failed(self, error: Exception) -> None:
        """Count and log a failure; the work is still due, or will be when its claim expires."""
        self._metrics.failed_round(LOOP)
        get_logger().error("pdf-work-failed", exc_info=error)


def _passes(error: Exception) -> bool:
    """True if the failure may end by itself, or once the API key is corrected."""
    return isinstance(error, GatewayError) and (error.retry == "transient" or isinstance(error, UpstreamKeyRefused))


def _wait(attempts: int, error: Exception) -> float:
    """Return the seconds until the next attempt, at least what AutoScribe asks for."""
    times = min(attempts - 1, _MOST_DOUBLINGS)
    backoff: float = FIRST_WAIT * 2**times if _passes(error) else FIRST_LONG_WAIT * 4**times
    asked = error.retry_after if isinstance(error, UpstreamError) else None
    return max(backoff, asked or 0)
