"""Decision D28: PDFs have a queue of their own; an outage is waited out, a refusal is not."""

import asyncio
import base64
from contextlib import asynccontextmanager, suppress

import pytest
import structlog
from fakes.pdfs import Library, Source, Time, pdf, sha1

from gateway.ingest import pdf_queue
from gateway.ingest.pdf_queue import TELL_AGAIN, PdfQueue
from gateway.runtime.errors import (
    PdfInterrupted,
    PdfUnavailable,
    StoreUnavailable,
    UpstreamKeyRefused,
    UpstreamNotFound,
    UpstreamThrottled,
)
from gateway.store.database.engine import Statement
from gateway.store.stored_reports import CHUNK, HOLD

OTHER_TEXT = "IMPRESSION: Fracture."
NOT_A_PDF = PdfUnavailable("GET the PDF", detail="the bytes are not those of a PDF")
BROKEN = PdfInterrupted("GET the PDF", detail="ReadError")
_OUTBOX = Statement("SELECT count(*) FROM outbox")


class Observed:
    """Metrics that count their calls."""

    def __init__(self):
        self.outcomes = []
        self.changed = self.failed = 0

    def worked_pdf(self, outcome):
        self.outcomes.append(outcome)

    def changed_pdf(self):
        self.changed += 1

    def failed_round(self, loop):
        assert loop == "pdf"
        self.failed += 1


class Bench(Library):
    """Queue over a store, with a clock that is set by hand."""

    def __init__(self, engine, time):
        super().__init__(engine)
        self.time, self.source, self.observed = time, Source(), Observed()
        self.refreshed = []
        self.queue = self.made()

    def made(self):
        """Return a queue of its own, as of another process."""
        return PdfQueue(self.pdfs, self.source.stream_pdf, self.refresh, self.observed)

    async def refresh(self, study_id):
        self.refreshed.append(study_id)
        return await self.pipeline.refresh(study_id)

    @asynccontextmanager
    async def running(self, queue):
        task = asyncio.create_task(queue.run())
        yield
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    async def until(self, condition):
        for _ in range(3_000):
            if await condition():
                return
            await asyncio.sleep(0.002)
        raise AssertionError("it did not come about")

    async def has_kept(self, count):
        return await self.pdfs.count("kept") == count


@pytest.fixture
async def bench(engine, monkeypatch):
    return Bench(engine, Time(monkeypatch))


@pytest.fixture
def log():
    with structlog.testing.capture_logs() as lines:
        yield lines


async def test_a_pdf_is_kept_as_it_is_and_its_report_says_its_size_and_hash_and_nothing_else_is_told(bench):
    data = pdf(2 * CHUNK + 17)
    await bench.report()
    queued = await bench.engine.fetch(_OUTBOX)
    version = int((await bench.current())["meta"]["versionId"])
    bench.source.has(data)
    assert await bench.queue.once() == 1
    assert await bench.kept() == data
    assert await bench.said_of_pdf() == {
        "size": len(data),
        "hash": base64.b64encode(bytes.fromhex(sha1(data))).decode(),
    }
    assert int((await bench.current())["meta"]["versionId"]) == version + 1
    assert list(await bench.engine.fetch(_OUTBOX)) == list(queued)
    assert bench.observed.outcomes == ["kept"]
    assert await bench.queue.once() == 0
    bench.time.forward(1e6)
    assert await bench.queue.once() == 0


async def test_an_outage_is_waited_out_with_growing_waits_however_long(bench):
    await bench.report()
    bench.source.fails(pdf(CHUNK + 1), BROKEN)
    for wait in (2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 3600, 3600):
        assert await bench.queue.once() == 1
        assert await bench.generations() == set()
        bench.time.forward(wait - 0.001)
        assert await bench.queue.once() == 0
        bench.time.forward(0.001)
    row = await bench.row()
    assert (row["state"], row["code"], row["attempts"]) == ("wanted", "pdf-interrupted", 13)
    bench.source.has(pdf(99))
    await bench.queue.once()
    assert await bench.kept() == pdf(99)
    assert bench.observed.outcomes == ["again"] * 13 + ["kept"]


@pytest.mark.parametrize(("asked", "wait"), [(77.5, 77.5), (1, 2), (1e15, 3600)])
async def test_the_wait_that_autoscribe_asks_for_is_kept_within_bounds(bench, asked, wait):
    await bench.report()
    bench.source.fails(UpstreamThrottled("GET /reports/pdf", status=429, retry_after=asked))
    await bench.queue.once()
    bench.time.forward(wait - 0.001)
    assert await bench.wanted() == []
    bench.time.forward(0.001)
    assert len(await bench.wanted()) == 1


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (NOT_A_PDF, "pdf-unavailable"),
        (UpstreamNotFound("GET /reports/pdf", status=404), "upstream-not-found"),
        (ValueError("Jane Doe"), "internal"),
    ],
    ids=lambda one: str(one)[:12],
)
async def test_a_pdf_that_is_refused_may_come_late_and_is_given_up_after_a_few_long_waits(bench, log, error, code):
    await bench.report()
    bench.source.fails(error)
    for wait in (30, 120, 480, 1920, 3600):
        assert await bench.queue.once() == 1
        bench.time.forward(wait - 0.001)
        assert await bench.queue.once() == 0
        bench.time.forward(0.001)
    assert await bench.queue.once() == 1
    row = await bench.row()
    assert (row["state"], row["code"], row["attempts"]) == ("unavailable", code, 6)
    assert bench.observed.outcomes == ["again"] * 5 + ["unavailable"]
    assert log[-1] == {
        "event": "pdf-unavailable",
        "log_level": "error",
        "report_id": bench.report_id(),
        "study_id": bench.study_id(),
        "code": code,
        "attempts": 6,
    }
    bench.time.forward(1e6)
    assert await bench.queue.once() == 0


async def test_a_pdf_that_comes_late_is_kept(bench):
    await bench.report()
    bench.source.fails(NOT_A_PDF)
    await bench.queue.once()
    bench.time.forward(30)
    bench.source.has(pdf(99))
    await bench.queue.once()
    assert await bench.kept() == pdf(99)
    assert (await bench.row())["code"] == ""


async def test_how_often_it_is_tried_and_how_long_the_waits_are_is_bounded(bench, monkeypatch):
    monkeypatch.setattr(pdf_queue, "ATTEMPTS", 3)
    monkeypatch.setattr(pdf_queue, "LONGEST_WAIT", 40)
    queue = bench.made()
    await bench.report()
    bench.source.fails(NOT_A_PDF)
    for wait in (30, 40, 1):
        await queue.once()
        bench.time.forward(wait)
    assert (await bench.row())["state"] == "unavailable"


async def test_refusals_that_an_outage_parts_are_counted_anew(bench):
    await bench.report()
    for error in (NOT_A_PDF, BROKEN, NOT_A_PDF):
        bench.source.fails(error)
        await bench.queue.once()
        assert (await bench.row())["attempts"] == 1
        bench.time.forward(30)


async def test_no_pdf_is_given_up_because_of_a_key_that_is_refused(bench):
    await bench.report()
    bench.source.fails(UpstreamKeyRefused("GET /reports/pdf", status=401))
    for _ in range(20):
        await bench.queue.once()
        bench.time.forward(3600)
    assert (await bench.row())["state"] == "wanted"


async def test_other_bytes_for_the_same_text_are_kept_and_an_issue(bench, log):
    await bench.report()
    bench.source.has(pdf(500, 1))
    await bench.queue.once()
    await bench.want()
    bench.source.has(pdf(500, 2))
    await bench.queue.once()
    assert await bench.kept() == pdf(500, 2)
    assert bench.observed.changed == 1
    assert log == [
        {
            "event": "pdf-changed",
            "log_level": "warning",
            "report_id": bench.report_id(),
            "study_id": bench.study_id(),
        }
    ]


async def test_the_same_bytes_make_no_new_version(bench, log):
    await bench.report()
    bench.source.has(pdf(500))
    await bench.queue.once()
    before = await bench.current()
    await bench.want()
    await bench.queue.once()
    assert await bench.current() == before
    assert (bench.observed.changed, log) == (0, [])


async def test_the_pdf_of_the_earlier_text_is_not_taken_for_that_of_the_corrected_one(bench, log):
    await bench.report()
    bench.source.has(pdf(500, 1))
    await bench.queue.once()
    await bench.report(text=OTHER_TEXT)
    await bench.queue.once()
    assert await bench.kept() is None
    assert (await bench.row())["code"] == "pdf-unavailable"
    bench.source.has(pdf(500, 2))
    bench.time.forward(30)
    await bench.queue.once()
    assert await bench.kept() == pdf(500, 2)
    assert (bench.observed.changed, log) == (0, [])


async def test_a_study_that_cannot_be_refreshed_is_refreshed_later(bench):
    bench.queue.poll = 0
    refresh = bench.pipeline.refresh

    async def failing(study_id):
        raise StoreUnavailable("locked")

    bench.pipeline.refresh = failing
    await bench.report()
    bench.source.has(pdf(500))
    await bench.queue.once()
    assert (await bench.said_of_pdf())["size"] is None
    assert bench.observed.failed == 1
    bench.pipeline.refresh = refresh
    assert await bench.queue.once() == 0
    bench.time.forward(TELL_AGAIN.total_seconds())
    assert await bench.queue.once() == 1
    assert (await bench.said_of_pdf())["size"] == 500
    assert bench.source.asked == [bench.report_id()]


async def test_a_crash_between_keeping_and_telling_is_made_up_for(bench):
    await bench.report()
    await bench.keep(pdf(500))
    assert (await bench.said_of_pdf())["size"] is None
    assert await bench.queue.once() == 1
    assert (await bench.said_of_pdf())["size"] == 500
    assert bench.source.asked == []


async def test_two_processes_fetch_it_once(bench):
    await bench.report()
    bench.source.has(pdf(500))
    begun = await asyncio.gather(bench.made().once(), bench.made().once())
    assert sum(begun) in {1, 2}
    assert bench.source.asked == [bench.report_id()]
    assert bench.observed.outcomes.count("kept") == 1


async def test_who_finds_that_somebody_else_has_it_leaves_it(bench, monkeypatch):
    await bench.report()
    before = await bench.wanted()
    await bench.claim()

    async def wanted(now, most):
        return before

    monkeypatch.setattr(bench.pdfs, "wanted", wanted)
    assert await bench.queue.once() == 1
    assert (bench.observed.outcomes, bench.source.asked) == (["overtaken"], [])


async def test_a_text_that_changes_during_the_fetch_has_its_own_pdf_fetched(bench):
    await bench.report()

    class Changing:
        def __iter__(self):
            yield pdf(CHUNK)
            yield pdf(500)

    bench.source.pieces[bench.report_id()] = Changing()
    stream_pdf = bench.source.stream_pdf

    @asynccontextmanager
    async def stream(report_id):
        async with stream_pdf(report_id) as inner:
            await bench.report(text=OTHER_TEXT)
            yield inner

    queue = PdfQueue(bench.pdfs, stream, bench.refresh, bench.observed)
    await queue.once()
    assert (bench.observed.outcomes, await bench.kept()) == (["overtaken"], None)
    bench.source.has(pdf(600))
    await bench.queue.once()
    assert await bench.kept() == pdf(600)
    assert len(await bench.generations()) == 1


async def test_no_more_are_fetched_at_one_time_than_allowed_and_none_is_left(bench, monkeypatch):
    monkeypatch.setattr(pdf_queue, "CONCURRENCY", 3)
    queue = bench.made()
    queue.poll = 0.01
    for digit in "123456789":
        await bench.report(digit)
        bench.source.has(pdf(CHUNK + 5, int(digit)), digit)
    bench.source.gate = asyncio.Event()

    async def is_full():
        return bench.source.open == 3

    async with bench.running(queue):
        await bench.until(is_full)
        await asyncio.sleep(0.03)
        bench.source.gate.set()
        await bench.until(lambda: bench.has_kept(9))
    assert bench.source.most_open == 3
    assert len(bench.source.asked) == 9
    assert [await bench.kept(digit) for digit in "123456789"] == [pdf(CHUNK + 5, int(one)) for one in "123456789"]


async def test_it_begins_at_once_when_woken_and_polls_when_not(bench):
    bench.queue.poll = 60
    bench.source.has(pdf(500), "3")
    bench.source.has(pdf(500), "4")
    async with bench.running(bench.queue):
        await asyncio.sleep(0.02)
        await bench.report("3")
        bench.queue.wake()
        await bench.until(lambda: bench.has_kept(1))
    bench.queue.poll = 0.005
    async with bench.running(bench.queue):
        await asyncio.sleep(0.02)
        await bench.report("4")
        await bench.until(lambda: bench.has_kept(2))


async def test_a_pdf_that_hangs_keeps_no_other_waiting_and_is_not_waited_for_without_end(bench, monkeypatch):
    monkeypatch.setattr(pdf_queue, "LONGEST", 0.5)
    await bench.report("3")
    await bench.report("4")
    bench.source.has(pdf(500), "4")
    stream_pdf = bench.source.stream_pdf

    @asynccontextmanager
    async def stream(report_id):
        if report_id == bench.report_id("3"):
            await asyncio.Event().wait()
        async with stream_pdf(report_id) as inner:
            yield inner

    queue = PdfQueue(bench.pdfs, stream, bench.refresh, bench.observed)
    queue.poll = 0.005
    async with bench.running(queue):
        await bench.until(lambda: bench.has_kept(1))
        assert (await bench.row("3"))["attempts"] == 0

        async def is_settled():
            return (await bench.row("3"))["code"] == "pdf-interrupted"

        await bench.until(is_settled)


async def test_while_the_store_is_out_of_reach_nothing_is_lost_and_it_goes_on_afterwards(bench, monkeypatch, log):
    bench.queue.poll = 0.005
    await bench.report()
    bench.source.has(pdf(500))
    wanted = bench.pdfs.wanted

    async def failing(now, most):
        raise StoreUnavailable("no disk")

    monkeypatch.setattr(bench.pdfs, "wanted", failing)

    async def has_failed():
        return bench.observed.failed >= 2

    async with bench.running(bench.queue):
        await bench.until(has_failed)
        monkeypatch.setattr(bench.pdfs, "wanted", wanted)
        await bench.until(lambda: bench.has_kept(1))
    assert {line["event"] for line in log} == {"pdf-work-failed"}


async def test_a_store_that_fails_during_a_fetch_is_no_fault_of_the_pdf(bench):
    bench.queue.poll = 0
    await bench.report()
    bench.source.fails(pdf(500), StoreUnavailable("no disk"))
    await bench.queue.once()
    row = await bench.row()
    assert (row["state"], row["code"], row["attempts"]) == ("wanted", "", 0)
    assert (bench.observed.failed, bench.observed.outcomes) == (1, [])
    bench.source.has(pdf(500))
    bench.time.forward(HOLD.total_seconds())
    await bench.queue.once()
    assert await bench.kept() == pdf(500)


async def test_stopping_leaves_what_is_under_way_to_the_next_start(bench):
    await bench.report()
    bench.source.gate = asyncio.Event()
    bench.source.has(pdf(500))

    async def is_under_way():
        return bench.source.open == 1

    async with bench.running(bench.queue):
        await bench.until(is_under_way)
    assert (bench.source.open, await bench.wanted()) == (0, [])
    bench.time.forward(HOLD.total_seconds())
    bench.source.gate.set()
    assert await bench.queue.once() == 1
    assert await bench.kept() == pdf(500)
