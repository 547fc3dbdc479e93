"""Decisions D26, D27: the whole crawl against the sandbox over a socket, with its switches, measured by its log."""

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from fakes.crawl import Account, Cursors, Index, Noted, crawl_of, study
from fakes.virtual_clock import VirtualClock

from gateway.crawl.crawler import Cancelled, OpenSet, crawl_forever, crawl_once
from gateway.crawl.ports import Crawl
from gateway.crawl.sweep import Sweep
from gateway.runtime import clock
from gateway.runtime.errors import StoreUnavailable, UpstreamFailed, UpstreamKeyRefused
from gateway.runtime.serving import listening_socket, running
from gateway.sandbox.upstream import SandboxOptions, open_sandbox
from gateway.settings import Pdf, Sync, Upstream
from gateway.store.studies.crawling import read_record
from gateway.upstream.pace import Pace
from gateway.upstream.paced_client import PacedClient


@pytest.fixture
def time(monkeypatch):
    return VirtualClock().install(monkeypatch)


@dataclass
class Log:
    """ASGI layer that logs when each request came, how many were open at once, and the waits asked for."""

    app: Any
    came: list[tuple[float, str]] = field(default_factory=list)
    waits: list[tuple[float, float]] = field(default_factory=list)
    there: int = 0
    most: int = 0

    async def __call__(self, scope, receive, send):
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        self.came.append((clock.monotonic(), scope["path"]))
        self.there += 1
        self.most = max(self.most, self.there)

        async def watch(message):
            for name, value in message.get("headers", ()):
                if name == b"retry-after":
                    self.waits.append((clock.monotonic(), float(value)))
            await send(message)

        try:
            await self.app(scope, receive, watch)
        finally:
            self.there -= 1


@dataclass
class Stage:
    """Crawl of a sandbox."""

    crawl: Crawl
    account: Any
    log: Log
    pace: Pace
    sandbox: Any

    @property
    def index(self) -> Index:
        return self.crawl.known


@asynccontextmanager
async def stage(*switches, faults=(), studies=130, key="sandbox-key", latency_ms=0.0, **settings):
    with listening_socket("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        options = SandboxOptions(port=port, studies=studies, switches=switches, faults=faults, latency_ms=latency_ms)
        sandbox, account = open_sandbox(options)
        log, sync, noted = Log(sandbox), Sync(**settings), Noted()
        pace = Pace(sync.concurrency, noted)
        upstream = Upstream.model_validate({"api_key": key, "base_url": options.base_url})
        async with running(log, listener), PacedClient(upstream, Pdf(), pace) as client:
            index = Index(client)
            yield Stage(Crawl(client, index, index, Cursors(), sync, noted), account, log, pace, sandbox)


@pytest.mark.full
@pytest.mark.parametrize(
    "switch",
    [
        *("cursor=stable", "cursor=repeats", "cursor=once", "last_cursor=empty", "last_cursor=present"),
        *("study_order=shuffled", "study_order=oldest_first", "no_reports=404", "external_reports=data"),
        *("drift=all", "error_body=html", "unknown_id=403"),
    ],
)
async def test_one_sweep_takes_in_every_study_whatever_the_contract_leaves_open(switch):
    async with stage(switch, pages_per_second=50) as at:
        swept = await crawl_once(at.crawl)
        assert set(at.index.stored) == set(at.account.studies)
        assert (swept.failed, swept.missing) == (0, 0)


async def test_a_study_that_pages_pass_over_is_found_by_the_next_sweep():
    async with stage("cursor=skips", pages_per_second=50) as at:
        await crawl_once(at.crawl)
        assert len(at.index.stored) == 129
        await crawl_once(at.crawl)
        assert set(at.index.stored) == set(at.account.studies)


async def test_a_cursor_that_is_good_for_one_use_begins_a_broken_sweep_anew(time):
    async with stage("cursor=once", studies=330) as at:
        time.busy = lambda: at.pace.under_way > 0
        at.index.upstream = Account()
        task = asyncio.create_task(Sweep(at.crawl).once())
        await time.run_for(1.1)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert (await read_record(at.crawl.cursors)).running.cursor
        swept = await time.run(Sweep(at.crawl).once())
        assert swept.listed == 330
        assert set(at.index.stored) == set(at.account.studies)


async def test_a_signature_in_the_sandbox_is_taken_in_at_the_next_look():
    async with stage() as at:
        looks = OpenSet(at.crawl)
        await looks.once()
        report = next(one for reports in at.account.reports.values() for one in reports if one["status"] != "completed")
        at.account.sign(report["reportId"])
        await looks.once()
        assert at.index.stored[report["studyId"]]["studyReportStatus"] == "completed"


@pytest.mark.full
async def test_no_loop_sends_anything_before_retry_after_is_over(time):
    async with stage(
        faults=("429:rate=0.08:retry-after=17",), studies=60, open_interval=10, cancelled_interval=15
    ) as at:
        time.busy = lambda: at.pace.under_way > 0
        loops = asyncio.create_task(crawl_forever(at.crawl))
        await time.run_for(600)
        loops.cancel()
        await asyncio.gather(loops, return_exceptions=True)
    assert len(at.log.waits) >= 5
    for closed, seconds in at.log.waits:
        assert [came for came, _ in at.log.came if closed < came < closed + seconds] == []
    assert len(at.crawl.observer.throttles) >= 5
    assert {loop for loop, _ in at.crawl.observer.rounds} == {"open_set", "cancelled", "sweep"}


async def test_the_sandbox_never_sees_more_requests_at_one_time_than_are_allowed():
    async with stage(latency_ms=4, pages_per_second=50, concurrency=3) as at:
        await asyncio.gather(crawl_once(at.crawl), OpenSet(at.crawl).once(), Cancelled(at.crawl).once())
        assert len(at.index.stored) == 130
        assert at.log.most == 3


@pytest.mark.full
async def test_faults_of_every_kind_delay_studies_and_lose_none(time):
    faults = "500:rate=0.1,503:rate=0.05,broken-json:rate=0.05,non-json:rate=0.03,cut-off:rate=0.05,429:rate=0.02"
    async with stage(faults=(faults,), studies=60) as at:
        time.busy = lambda: at.pace.under_way > 0
        loops = asyncio.create_task(crawl_forever(at.crawl))
        await time.run_for(1200)
        loops.cancel()
        await asyncio.gather(loops, return_exceptions=True)
        assert set(at.index.stored) == set(at.account.studies)
        assert (await read_record(at.crawl.cursors)).sweeps >= 3
        assert at.crawl.observer.failed


async def test_a_key_that_is_refused_ends_a_crawl_that_somebody_waits_for_at_once():
    async with stage(key="wrong") as at:
        with pytest.raises(UpstreamKeyRefused):
            await crawl_once(at.crawl)
        assert len(at.log.came) == 1


async def test_a_listing_that_fails_now_and_then_is_asked_for_again_and_goes_on_where_it_stood(time):
    account = Account(*map(study, range(300)))
    failing = iter([True, False, False, True, True])
    account.trouble = lambda call: (
        UpstreamFailed("GET /studies") if call.startswith("page") and next(failing, False) else None
    )
    shown = []
    swept = await time.run(crawl_once(crawl_of(account), shown.append))
    assert (swept.listed, shown[-1].studies_seen) == (300, 300)
    assert account.asked("page") == ["", "", "100", "200", "100", "100", "200"]
    assert len(account.asked("reports")) == 300


async def test_a_crawl_that_somebody_waits_for_gives_up_in_the_end_and_says_why(time):
    account = Account(study(1))
    account.trouble = lambda call: UpstreamFailed("GET /studies")
    with pytest.raises(UpstreamFailed):
        await time.run(crawl_once(crawl_of(account)))
    assert len(account.asked("page")) == 6


@pytest.mark.full
async def test_a_store_that_does_not_answer_for_a_while_stops_no_loop(time):
    account = Account(study(1, "assigned"), study(2, isCancelled=True), study(3))
    crawl = crawl_of(account)
    keep, get = crawl.cursors.put, crawl.cursors.get

    async def fails(*_):
        raise StoreUnavailable("locked")

    loops = asyncio.create_task(crawl_forever(crawl))
    crawl.cursors.put = crawl.cursors.get = fails
    await time.run_for(300)
    assert set(crawl.observer.failed) == {"open_set", "cancelled", "sweep"}
    crawl.cursors.put, crawl.cursors.get = keep, get
    await time.run_for(700)
    assert {loop for loop, _ in crawl.observer.rounds} == {"open_set", "cancelled", "sweep"}
    assert len(crawl.known.stored) == 3
    loops.cancel()
    with pytest.raises(asyncio.CancelledError):
        await loops
