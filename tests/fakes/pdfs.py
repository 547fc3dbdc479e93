"""Store with a few studies of one report each, and AutoScribe's PDFs of these reports, controlled by a test."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import random
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from fakes.looks import SITE, report
from fakes.store import resource_of
from fakes.upstream_json import USER_ID, response_json, study_json, user_json

from gateway.ingest import Fetched, Ingested, Pipeline
from gateway.runtime import clock
from gateway.store.database.engine import Engine, Statement, ask, micros
from gateway.store.stored_reports import PdfClaim, Pdfs, Untold, WantedPdf
from gateway.store.studies.write_versions import CURRENT
from gateway.upstream.pdf_stream import PdfStream
from mappings.patient.identifiers import fhir_id

START = datetime(2026, 11, 1, 12, tzinfo=UTC)
DRAFT = {"status": "in_progress", "signedAt": None}
_ROW = Statement("SELECT state, attempts, code, generation, size, sha1, due FROM pdf WHERE report_id = :report_id")
_GENERATIONS = Statement("SELECT DISTINCT generation FROM pdf_chunk")
_WANT = Statement("UPDATE pdf SET state = 'wanted', due = :now, attempts = 0 WHERE report_id = :report_id")


def pdf(size: int, seed: int = 0) -> bytes:
    """Make a PDF header with random bytes, that long, in which no two places are alike."""
    return (b"%PDF-" + random.Random(f"{size} {seed}").randbytes(size))[:size]


def sha1(data: bytes) -> str:
    return hashlib.sha1(data).hexdigest()


class Time:
    """Clock that stands still until it is set; it replaces `gateway.runtime.clock.now`."""

    def __init__(self, monkeypatch: Any) -> None:
        self.at = START
        monkeypatch.setattr(clock, "now", lambda: self.at)

    def forward(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


class Library:
    """The store: a digit names a report, and its study."""

    def __init__(self, engine: Engine) -> None:
        self.engine, self.pdfs = engine, Pdfs(engine)
        self.pipeline = Pipeline(engine, SITE, ZoneInfo("UTC"))
        self._asked = itertools.count(1)

    @staticmethod
    def report_id(digit: str = "3") -> str:
        return f"rep_{digit * 32}"

    @staticmethod
    def study_id(digit: str = "3") -> str:
        return f"stu_{digit * 32}"

    async def report(self, digit: str = "3", text: str = "IMPRESSION: Normal.", **changed: Any) -> Ingested:
        """Ingest a signed report with that text, alone in its study."""
        study_id = self.study_id(digit)
        names = {"studyId": study_id, "studyInstanceUid": f"1.2.{int(digit, 16)}"}
        about = report(digit, studyId=study_id, userId=USER_ID, reportPlainText=text, **changed)
        wire = Fetched(study_json(**names), {**response_json(about), **names}, [user_json()], asked=next(self._asked))

        async def fetch() -> Fetched:
            return wire

        return await self.pipeline.ingest(study_id, fetch)

    async def want(self, digit: str = "3") -> None:
        """Mark a report's PDF to be fetched again."""
        now, report_id = micros(clock.now()), self.report_id(digit)
        await self.engine.do(lambda: ask(_WANT, now=now, report_id=report_id))

    async def wanted(self) -> list[WantedPdf]:
        return await self.pdfs.wanted(clock.now(), 100)

    async def claim(self, digit: str = "3") -> PdfClaim:
        [wanted] = [one for one in await self.wanted() if one.report_id == self.report_id(digit)]
        return await self.pdfs.claim(wanted)

    async def keep(self, data: bytes, digit: str = "3") -> Untold:
        """Fetch the wanted PDF, with these bytes."""
        claim = await self.claim(digit)
        await claim.write(data)
        return await claim.keep()

    async def kept(self, digit: str = "3") -> bytes | None:
        """Return all bytes of the kept PDF."""
        found = await self.pdfs.current(self.report_id(digit))
        if found is None:
            return None
        return b"".join([piece async for piece in self.pdfs.read(found, 0, found.size - 1)])

    async def row(self, digit: str = "3") -> dict[str, Any]:
        [row] = await self.engine.fetch(_ROW, report_id=self.report_id(digit))
        return dict(zip(("state", "attempts", "code", "generation", "size", "sha1", "due"), row, strict=True))

    async def generations(self) -> set[str]:
        """Generations that have chunks."""
        return {str(one) for (one,) in await self.engine.fetch(_GENERATIONS)}

    async def current(self, digit: str = "3", kind: str = "DiagnosticReport") -> dict[str, Any]:
        """Current version of the report's DiagnosticReport."""
        [row] = await self.engine.fetch(CURRENT, address=f"{kind}/{fhir_id(self.report_id(digit))}")
        return resource_of(row[4], row[0], row[1])

    async def said_of_pdf(self, digit: str = "3") -> dict[str, Any]:
        """Size and hash of the PDF in the DiagnosticReport."""
        forms = (await self.current(digit))["presentedForm"]
        [form] = [one for one in forms if one["contentType"] == "application/pdf"]
        return {key: form.get(key) for key in ("size", "hash")}


class Source:
    """AutoScribe's PDFs by report id: pieces, or an exception raised in place of one; `asked` lists the ids."""

    def __init__(self) -> None:
        self.pieces: dict[str, Iterable[bytes | Exception]] = {}
        self.asked: list[str] = []
        self.open = self.most_open = 0
        self.gate: asyncio.Event | None = None

    def has(self, data: bytes, digit: str = "3", piece: int = 100_000) -> None:
        self.pieces[Library.report_id(digit)] = [data[start : start + piece] for start in range(0, len(data), piece)]

    def fails(self, *pieces: bytes | Exception, digit: str = "3") -> None:
        self.pieces[Library.report_id(digit)] = pieces

    @asynccontextmanager
    async def stream_pdf(self, report_id: str) -> AsyncIterator[PdfStream]:
        self.asked.append(report_id)
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        try:
            if self.gate is not None:
                await self.gate.wait()
            pieces = iter(self.pieces[report_id])
            yield PdfStream(_given(next(pieces)), self._rest(pieces), None, 2**40)
        finally:
            self.open -= 1

    async def _rest(self, pieces: Iterable[bytes | Exception]) -> AsyncIterator[bytes]:
        for one in pieces:
            yield _given(one)


def _given(piece: bytes | Exception) -> bytes:
    if isinstance(piece, Exception):
        raise piece
    return piece
