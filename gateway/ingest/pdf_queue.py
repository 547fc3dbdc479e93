"""The PDF queue: fetches the PDFs that are wanted, keeps them, and has their studies say so.

AutoScribe REST API: `GET /v1/autoScribe/reports/pdf`; decision D28. Nothing but the bytes of the PDF is kept: its link
is a secret, and stands in no row, line or metric.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from typing import Final, Literal, Protocol

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
from gateway.settings import Pdf
from gateway.store.studies.pdfs import Overtaken, PdfClaim, Pdfs, Untold, WantedPdf
from gateway.upstream.pdf_stream import OPERATION, PdfStream

Fetch = Callable[[str], AbstractAsyncContextManager[PdfStream]]
Refresh = Callable[[str], Awaitable[object]]
Outcome = Literal["kept", "again", "unavailable", "overtaken"]

LOOP: Final = "pdf"
POLL: Final = 1.0  # seconds
LONGEST: Final = 1800.0  # seconds for one PDF
FIRST_WAIT: Final = 2.0  # seconds, doubled each time, after what passes by itself
FIRST_LONG_WAIT: Final = 30.0  # seconds, four times as long each time, after a refusal: a PDF may come late
TELL_AGAIN: Final = timedelta(minutes=2)
_MOST_DOUBLINGS: Final = 16


class PdfObserver(Protocol):
    """Told what the queue does, for metrics."""

    def worked_pdf(self, outcome: Outcome) -> None:
        """A PDF was fetched and kept, or not; `overtaken`: somebody else fetches it."""

    def changed_pdf(self) -> None:
        """A PDF has other bytes than were kept before, and its report's text is the same."""

    def failed_round(self, loop: str) -> None:
        """The store could not be asked or written; the loop goes on."""


class UnobservedPdfs:
    """The observer that does nothing."""

    def worked_pdf(self, outcome: Outcome) -> None:
        """Do nothing."""

    def changed_pdf(self) -> None:
        """Do nothing."""

    def failed_round(self, loop: str) -> None:
        """Do nothing."""


UNOBSERVED: Final = UnobservedPdfs()


class PdfQueue:
    """Several PDFs at a time, each once at a time; `wake` when one is wanted, else it is seen at the next poll.

    `fetch` is `UpstreamClient.stream_pdf`, `refresh` maps a stored study again. What passes by itself, an outage or a
    key that is refused, is waited out however long; a PDF that AutoScribe refuses is given up after a few attempts.
    """

    def __init__(
        self, pdfs: Pdfs, fetch: Fetch, refresh: Refresh, settings: Pdf, observer: PdfObserver = UNOBSERVED
    ) -> None:
        self._pdfs, self._source, self._refresh = pdfs, fetch, refresh
        self._settings, self._observer = settings, observer
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """Look for work at once."""
        self._woken.set()

    async def once(self) -> int:
        """One round: as many PDFs as there are slots for, until they are done; how many were begun.

        Raises:
            StoreUnavailable: the store could not be asked.
        """
        begun = await self._begin()
        await asyncio.gather(*self._tasks.values())
        return begun

    async def run(self) -> None:
        """Work until cancelled; what is under way is then stopped, and is due again when its hold ends."""
        try:
            while True:
                try:
                    await self._begin()
                except Exception as error:
                    self._failed(error)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(POLL):
                        await self._woken.wait()
                self._woken.clear()
        finally:
            under_way = list(self._tasks.values())
            for task in under_way:
                task.cancel()
            await asyncio.gather(*under_way, return_exceptions=True)

    async def _begin(self) -> int:
        """Start on what is due, as slots are free; studies that are to be told come first."""
        busy = set(self._tasks)  # before asking: what such a task does meanwhile may still be in the answer
        most = self._settings.concurrency
        found: list[Untold | WantedPdf] = [*await self._pdfs.untold(clock.now(), most + len(busy))]
        found += await self._pdfs.wanted(clock.now(), most + len(busy))
        work = {one.report_id: one for one in found if one.report_id not in busy}
        chosen = list(work.values())[: max(most - len(busy), 0)]
        for one in chosen:
            self._tasks[one.report_id] = asyncio.create_task(self._work(one))
        return len(chosen)

    async def _work(self, one: Untold | WantedPdf) -> None:
        try:
            await (self._tell(one) if isinstance(one, Untold) else self._fetch(one))
        except Overtaken:
            self._observer.worked_pdf("overtaken")
        except Exception as error:
            self._failed(error)
            await clock.sleep(POLL)  # it is still due, or will be when its hold ends
        finally:
            del self._tasks[one.report_id]
            self.wake()

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
            self._observer.changed_pdf()
        self._observer.worked_pdf("kept")
        await self._tell(untold)

    async def _copy(self, claim: PdfClaim) -> None:
        """From AutoScribe into the store, chunk by chunk.

        Raises:
            PdfUnavailable: it is refused, or it still is that of an earlier text.
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
        """It could not be had: again later, or no more."""
        wanted = claim.wanted
        code = code_of(error)
        attempts = wanted.attempts + 1 if wanted.code == code else 1
        said = {"report_id": wanted.report_id, "study_id": wanted.study_id, "code": code, "attempts": attempts}
        if code == "internal":
            get_logger().error("pdf-failed", **said, exc_info=error)
        if not _passes(error) and attempts >= self._settings.attempts:
            await claim.give_up(code, attempts)
            get_logger().error("pdf-unavailable", **said)
            self._observer.worked_pdf("unavailable")
            return
        wait = min(_wait(attempts, error), self._settings.max_wait)
        await claim.again(clock.now() + timedelta(seconds=wait), code, attempts)
        self._observer.worked_pdf("again")

    async def _tell(self, untold: Untold) -> None:
        """Have the study say of its PDF what is known by now (D28: another FHIR version, no v2 message)."""
        await self._pdfs.tell_by(untold, clock.now() + TELL_AGAIN)
        await self._refresh(untold.study_id)
        await self._pdfs.told(untold)

    def _failed(self, error: Exception) -> None:
        self._observer.failed_round(LOOP)
        get_logger().error("pdf-work-failed", exc_info=error)


def _passes(error: Exception) -> bool:
    """Whether it passes by itself, or as soon as a key is mended."""
    return isinstance(error, GatewayError) and (error.retry == "transient" or isinstance(error, UpstreamKeyRefused))


def _wait(attempts: int, error: Exception) -> float:
    """Seconds until the next attempt, at least what AutoScribe asks for."""
    times = min(attempts - 1, _MOST_DOUBLINGS)
    backoff: float = FIRST_WAIT * 2**times if _passes(error) else FIRST_LONG_WAIT * 4**times
    asked = error.retry_after if isinstance(error, UpstreamError) else None
    return max(backoff, asked or 0)
