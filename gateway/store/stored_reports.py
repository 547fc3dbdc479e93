"""Read a stored report with its study, and store its PDF: the queue of PDFs to fetch, and their bytes.

https://hl7.org/fhir/R4/diagnosticreport.html; decision D28. PDFs are written and read in chunks. A process claims a PDF
while it fetches it: the row says until when. If it finds another instant there, another process or another text has
taken over. The new bytes get a generation of their own, `<report id>/<digest of the text>/<number>`, which one
transaction makes current. Chunks left by a crash are deleted with the next fetch.
Proved by tests/gateway/store/test_pdfs.py and tests/gateway/fhir_api/operations/test_trace.py.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from gateway.runtime import clock
from gateway.runtime.errors import StoreUnavailable
from gateway.store.database.engine import Engine, Statement, Steps, ask, instant, micros
from gateway.store.database.kept import Kept, kept, unpacked
from gateway.store.feed.outbox import DUE_NOW
from mappings.model import PdfFacts, Report
from mappings.values.text import normal_form

STUDY_OF_REPORT: Final = Statement(
    "SELECT s.kept FROM report r JOIN study s ON s.study_id = r.study_id WHERE r.report_id = :report_id"
)


async def stored_report(engine: Engine, report_id: str) -> Report | None:
    """Return the report with that upstream id (`rep_…`); None if it is not stored or no longer part of its study."""
    rows = await engine.fetch(STUDY_OF_REPORT, report_id=report_id)
    if not rows:
        return None
    stored = await asyncio.to_thread(kept, rows[0][0])
    return next((one for one in stored.study.reports if one.report_id == report_id), None)


_OF_REPORT: Final = Statement(
    "SELECT s.kept, s.received, s.study_id FROM report r JOIN study s ON s.study_id = r.study_id"
    " WHERE r.report_id = :report_id"
)


@dataclass(frozen=True, slots=True)
class StoredStudy:
    """Stored study and one of its reports, by their AutoScribe ids; `packed` and `received` are compressed JSON."""

    study_id: str
    report_id: str
    packed: bytes
    received: bytes

    def kept(self) -> Kept:
        """Unpack the mapped study and the facts that it was mapped with."""
        return kept(self.packed)

    def document(self) -> dict[str, Any]:
        """Unpack AutoScribe's own JSON: the Study with its `reports` and `users`."""
        received = unpacked(self.received)
        reports = received["reports"]
        rows = reports["reports"] if isinstance(reports, Mapping) else reports
        return {**received["study"], "reports": rows, "users": received["users"]}


async def stored_study(engine: Engine, report_id: str) -> StoredStudy | None:
    """Read the study of a report; None if it is not stored.

    Raises:
        StoreUnavailable: the store cannot be reached.
    """
    rows = await engine.fetch(_OF_REPORT, report_id=report_id)
    return next((StoredStudy(str(one[2]), report_id, bytes(one[0]), bytes(one[1])) for one in rows), None)


CHUNK: Final = 256 * 1024  # bytes
HOLD: Final = timedelta(minutes=2)  # between two chunks, at most
_NEVER: Final = 2**62

WANTED: Final = Statement(
    "SELECT report_id, study_id, due, attempts, code FROM pdf WHERE state = 'wanted' AND due <= :now"
    " ORDER BY due DESC LIMIT :most"
)
UNTOLD: Final = Statement(
    "SELECT report_id, study_id, generation FROM pdf WHERE state = 'kept' AND due <= :now ORDER BY due LIMIT :most"
)
COUNT: Final = Statement("SELECT count(*) FROM pdf WHERE state = :state")
CURRENT: Final = Statement("SELECT generation, size, sha1, kept FROM pdf WHERE report_id = :report_id")
DATA: Final = Statement("SELECT data FROM pdf_chunk WHERE generation = :generation AND place = :place")
HOLD_ON: Final = Statement(
    "UPDATE pdf SET due = :until WHERE report_id = :report_id AND state = 'wanted' AND due = :held"
    " RETURNING generation, size, sha1, kept"
)
ADD: Final = Statement("INSERT INTO pdf_chunk (generation, place, data) VALUES (:generation, :place, :data)")
SWEEP: Final = Statement(
    "DELETE FROM pdf_chunk WHERE generation > :first AND generation < :last AND generation <> :current"
)
KEEP: Final = Statement(
    "UPDATE pdf SET state = 'kept', due = :now, attempts = 0, code = '', generation = :generation, size = :size,"
    " sha1 = :sha1, kept = :kept WHERE report_id = :report_id AND state = 'wanted' AND due = :held RETURNING report_id"
)
AGAIN: Final = Statement(
    "UPDATE pdf SET due = :due, attempts = :attempts, code = :code"
    " WHERE report_id = :report_id AND state = 'wanted' AND due = :held RETURNING report_id"
)
GIVE_UP: Final = Statement(
    "UPDATE pdf SET state = 'unavailable', attempts = :attempts, code = :code"
    " WHERE report_id = :report_id AND state = 'wanted' AND due = :held RETURNING report_id"
)
TELL_BY: Final = Statement(
    "UPDATE pdf SET due = :due WHERE report_id = :report_id AND state = 'kept' AND generation = :generation"
)


class Overtaken(Exception):
    """Error: another process fetches this PDF now, or the text of the report has changed."""


@dataclass(frozen=True, slots=True)
class WantedPdf:
    """PDF to fetch. `attempts` failed in a row for the reason `code`; `held` is its due time, needed for the claim."""

    report_id: str
    study_id: str
    held: int
    attempts: int
    code: str


@dataclass(frozen=True, slots=True)
class Untold:
    """Stored PDF that the FHIR resources of its study do not show yet."""

    report_id: str
    study_id: str
    generation: str


@dataclass(frozen=True, slots=True)
class StoredPdf:
    """Stored PDF: its size, the SHA-1 of its bytes in hex, and the time it was stored."""

    generation: str
    size: int
    sha1: str
    kept: datetime

    @property
    def text(self) -> str:
        """Digest of the report text that this PDF was fetched for."""
        return self.generation.split("/")[1]

    @property
    def number(self) -> int:
        """Number of this PDF among those of its report, from 1."""
        return int(self.generation.split("/")[2])


class Pdfs:
    """PDFs in the store. Every method raises `StoreUnavailable`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def wanted(self, now: datetime, most: int) -> list[WantedPdf]:
        """Return PDFs to fetch, the last due first: a report signed just now does not wait behind a backlog."""
        rows = await self._engine.fetch(WANTED, now=micros(now), most=most)
        return [WantedPdf(*row) for row in rows]

    async def count(self, state: str) -> int:
        """Count the PDFs in each state: `wanted`, `kept` or `unavailable`."""
        return int((await self._engine.fetch(COUNT, state=state))[0][0])

    async def claim(self, wanted: WantedPdf) -> PdfClaim:
        """Claim a PDF, so that no other process fetches it.

        Raises:
            Overtaken: another process claimed it first.
        """
        report = await stored_report(self._engine, wanted.report_id)
        until = micros(clock.now() + HOLD)

        def work() -> Steps[PdfClaim]:
            rows = yield from ask(HOLD_ON, report_id=wanted.report_id, held=wanted.held, until=until)
            if not rows:
                raise Overtaken
            before = _stored(rows[0])
            yield from sweep(wanted.report_id, before)
            return PdfClaim(self._engine, wanted, until, _digest(report), before)

        return await self._engine.do(work)

    async def untold(self, now: datetime, most: int) -> list[Untold]:
        """Return stored PDFs that their studies' resources do not show yet, the longest due first."""
        rows = await self._engine.fetch(UNTOLD, now=micros(now), most=most)
        return [Untold(*row) for row in rows]

    async def tell_by(self, untold: Untold, at: datetime) -> None:
        """Schedule the next refresh of the PDF's study, unless `told` is called before."""
        await self._tell_by(untold, micros(at))

    async def told(self, untold: Untold) -> None:
        """Note that the study's resources show the PDF, and release messages that wait for it (D28)."""
        await self._tell_by(untold, _NEVER)
        key = {"study_id": untold.study_id, "report_id": untold.report_id}
        await self._engine.do(lambda: ask(DUE_NOW, **key, now=micros(clock.now())))

    async def _tell_by(self, untold: Untold, due: int) -> None:
        key = {"report_id": untold.report_id, "generation": untold.generation}
        await self._engine.do(lambda: ask(TELL_BY, due=due, **key))

    async def current(self, report_id: str) -> StoredPdf | None:
        """Return the stored PDF of a report, by its upstream id; None unless it is of the report's present text."""
        rows = await self._engine.fetch(CURRENT, report_id=report_id)
        pdf = _stored(rows[0]) if rows else None
        if pdf is None or pdf.text != _digest(await stored_report(self._engine, report_id)):
            return None
        return pdf

    async def with_data(self, known: Mapping[str, PdfFacts], most: int) -> dict[str, PdfFacts]:
        """Add the bytes of stored PDFs no larger than `most` to these facts by report id."""
        facts_of = dict(known)
        for report_id, facts in known.items():
            pdf = await self.current(report_id)
            if pdf is not None and pdf.size <= most:
                data = b"".join([chunk async for chunk in self.read(pdf, 0, pdf.size - 1)])
                facts_of[report_id] = replace(facts, data=data)
        return facts_of

    async def read(self, pdf: StoredPdf, first: int, last: int) -> AsyncGenerator[bytes, None]:
        """Yield the bytes from `first` to `last` (from 0, both included), in pieces of at most `CHUNK`.

        Raises:
            StoreUnavailable: another PDF replaced this one meanwhile.
        """
        for place in range(first // CHUNK, last // CHUNK + 1):
            rows = await self._engine.fetch(DATA, generation=pdf.generation, place=place)
            if not rows:
                raise StoreUnavailable("another PDF took the place of the one that was being read")
            begin = place * CHUNK
            yield bytes(rows[0][0])[max(first - begin, 0) : last - begin + 1]


class PdfClaim:
    """Claim to fetch one PDF. `size` counts the bytes written, `before` is the PDF stored earlier.

    Every method raises `Overtaken` and `StoreUnavailable`; then nothing was done.
    """

    def __init__(self, engine: Engine, wanted: WantedPdf, until: int, text: str, before: StoredPdf | None) -> None:
        self.wanted, self.before, self.size = wanted, before, 0
        self._engine, self._until, self._text = engine, until, text
        self._generation = f"{wanted.report_id}/{text}/{before.number + 1 if before else 1}"
        self._hash = hashlib.sha1(usedforsecurity=False)
        self._rest, self._place = bytearray(), 0

    @property
    def is_of_earlier_text(self) -> bool:
        """True if the written bytes equal those stored for an earlier text of the report."""
        before = self.before
        return before is not None and before.text != self._text and before.sha1 == self._hash.hexdigest()

    @property
    def is_other_of_same_text(self) -> bool:
        """True if the written bytes differ from those stored for the same text."""
        before = self.before
        return before is not None and before.text == self._text and before.sha1 != self._hash.hexdigest()

    async def write(self, data: bytes) -> None:
        """Add fetched bytes; full chunks are stored, and at most one stays in memory."""
        self._hash.update(data)
        self.size += len(data)
        self._rest += data
        while len(self._rest) >= CHUNK:
            await self._add(bytes(self._rest[:CHUNK]))
            del self._rest[:CHUNK]

    async def keep(self) -> Untold:
        """Store the written bytes as the report's PDF; the resources of its study do not show it yet.

        The same bytes for the same text change nothing: the earlier generation stays.
        """
        if self._rest:
            await self._add(bytes(self._rest))
        now, before = clock.now(), self.before
        made = StoredPdf(self._generation, self.size, self._hash.hexdigest(), now)
        if before is not None and (before.text, before.sha1) == (made.text, made.sha1):
            made = before
        columns = {"generation": made.generation, "size": made.size, "sha1": made.sha1, "kept": micros(made.kept)}
        await self._end(KEEP, made, now=micros(now), **columns)
        return Untold(self.wanted.report_id, self.wanted.study_id, made.generation)

    async def again(self, at: datetime, code: str, attempts: int) -> None:
        """Schedule another fetch at `at`, after `attempts` failures in a row for the reason `code`."""
        await self._end(AGAIN, self.before, due=micros(at), code=code, attempts=attempts)

    async def give_up(self, code: str, attempts: int) -> None:
        """Stop trying to fetch the PDF, until the text of its report changes."""
        await self._end(GIVE_UP, self.before, code=code, attempts=attempts)

    async def _add(self, data: bytes) -> None:
        until = micros(clock.now() + HOLD)

        def work() -> Steps[None]:
            rows = yield from ask(HOLD_ON, report_id=self.wanted.report_id, held=self._until, until=until)
            if not rows:
                raise Overtaken
            yield from ask(ADD, generation=self._generation, place=self._place, data=data)

        await self._engine.do(work)
        self._until, self._place = until, self._place + 1

    async def _end(self, statement: Statement, current: StoredPdf | None, **values: Any) -> None:
        def work() -> Steps[None]:
            rows = yield from ask(statement, report_id=self.wanted.report_id, held=self._until, **values)
            if not rows:
                raise Overtaken
            yield from sweep(self.wanted.report_id, current)

        await self._engine.do(work)


def sweep(report_id: str, current: StoredPdf | None) -> Steps[None]:
    """Delete all stored PDFs of a report except the current one, also one that is being written."""
    # `0` follows `/` in byte order
    generation = current.generation if current else ""
    yield from ask(SWEEP, first=f"{report_id}/", last=f"{report_id}0", current=generation)


def _stored(row: Any) -> StoredPdf | None:
    generation, size, sha1, kept = row
    return None if generation is None else StoredPdf(generation, size, sha1, instant(kept))


def _digest(report: Report | None) -> str:
    """Return a digest of the report's text in normal form, N(text), by which texts are compared (D20)."""
    text = normal_form((report.text if report else None) or "")
    return hashlib.sha256(text.encode()).hexdigest()[:32]
