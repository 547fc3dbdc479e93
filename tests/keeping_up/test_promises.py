"""Decision D26: time until a signature and a silent change are queued without webhooks, in simulated time.

All parts are real: sandbox over a socket, client, crawl, pipeline and store; only the clock is the test's.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass
from random import Random
from typing import Any

import pytest
from fakes.simulated import Account, Slow, configured, installed
from fakes.virtual_clock import VirtualClock

from gateway.app import crawling
from gateway.crawl.crawler import OPEN, crawl_forever
from gateway.runtime.metrics import PREFIX, Metrics
from gateway.store.database.engine import instant
from gateway.store.database.sqlite import Sqlite
from gateway.store.studies.crawling import StoredCursors, SweepRecord, read_record

pytestmark = pytest.mark.timeout(300)  # real time; a simulated day takes half a minute
_CAUSES = "SELECT kind, decided FROM outbox WHERE report_id = ? ORDER BY number"
_HOUR = 3_600.0


@dataclass
class Stage:
    """An account, the store that a crawl fills from it, and the clock of both."""

    account: Account
    engine: Sqlite
    time: VirtualClock
    metrics: Metrics

    async def queued(self, report_id: str) -> dict[str, float]:
        """Return the time at which each cause of a report was queued, in seconds of the clock."""
        rows = await self.engine.query(_CAUSES, [report_id])
        began = self.time.now().timestamp() - self.time.seconds
        return {kind: instant(decided).timestamp() - began for kind, decided in rows}

    async def record(self) -> SweepRecord:
        return await read_record(StoredCursors(self.engine))

    async def next_sweep(self) -> None:
        """Let time pass until a sweep that begins after this call has ended."""
        since = self.time.now()
        while (finished := (await self.record()).finished) is None or finished.started <= since:
            await self.time.run_for(1)

    def lag(self, name: str, **labels: str) -> float:
        found = self.metrics.registry.get_sample_value(f"{PREFIX}signature_to_queued_seconds_{name}", labels)
        assert found is not None
        return found

    def open_studies(self) -> list[str]:
        """Return the studies that are not completed, as the account lists them by status."""
        return [key for key, one in self.account.studies.items() if one["studyReportStatus"] in OPEN]

    def begun(self, study_id: str) -> str:
        """Return the unsigned report of an open study; begin one if there is none."""
        reports = self.account.reports[study_id]
        unsigned = (one["reportId"] for one in reports if one["status"] != "completed")
        return next(unsigned, None) or self.account.start_report(study_id)

    def completed(self) -> dict[str, Any]:
        """Return a signed report of a study that is fully completed."""
        return next(
            reports[0]
            for study_id, reports in self.account.reports.items()
            if self.account.studies[study_id]["studyReportStatus"] == "completed"
            and not self.account.studies[study_id]["isCancelled"]
            and len(reports) == 1
        )


@asynccontextmanager
async def stage(monkeypatch: Any, sqlite_engine: Sqlite, *, studies: int, latency: float = 0.0, **sync: float):
    """Run a crawl of that many studies, after its first sweep."""
    time, under_way = installed(monkeypatch)
    account, metrics = Account(studies), Metrics()
    database = f"sqlite:///{sqlite_engine.path}"
    async with (
        configured(account, database, lambda sandbox: Slow(sandbox, under_way, latency), **sync) as configuration,
        crawling(configuration, sqlite_engine, metrics) as crawl,
    ):
        loops = asyncio.create_task(crawl_forever(crawl))
        try:
            at = Stage(account, sqlite_engine, time, metrics)
            await at.next_sweep()
            yield at
        finally:
            loops.cancel()
            await asyncio.gather(loops, return_exceptions=True)


async def test_a_signature_on_a_study_seen_open_is_queued_within_a_minute(monkeypatch, sqlite_engine, say):
    dice, signed = Random(1), {}
    async with stage(monkeypatch, sqlite_engine, studies=240, latency=0.1) as at:
        await at.time.run_for(31)
        for study_id in at.open_studies():
            report_id = at.begun(study_id)
            at.account.sign(report_id)
            signed[report_id] = at.time.seconds
            await at.time.run_for(dice.uniform(0, 20))
        await at.time.run_for(60)
        waits = [min((await at.queued(one)).values(), default=float("inf")) - when for one, when in signed.items()]
        say(f"{len(waits)} signatures on open studies queued after {min(waits):.1f} to {max(waits):.1f} s")
        assert len(waits) >= 30
        assert max(waits) <= 60
        assert at.lag("count") == at.lag("bucket", le="60.0") == len(waits)
        assert at.lag("sum") == pytest.approx(sum(waits), abs=len(waits))  # signedAt is in whole seconds


async def test_what_opened_and_closed_between_two_looks_is_queued_within_a_sweep(monkeypatch, sqlite_engine, say):
    async with stage(monkeypatch, sqlite_engine, studies=240, latency=0.1) as at:
        await at.time.run_for(7)
        addendum = at.account.open_addendum(at.completed()["reportId"])
        at.account.sign(addendum)
        fresh = at.account.sign_new().report_id
        when = at.time.seconds
        await at.next_sweep()
        waits = [next(iter((await at.queued(one)).values())) - when for one in (addendum, fresh)]
        say(f"signatures on studies never seen open queued after {waits[0]:.1f} and {waits[1]:.1f} s, a sweep")
        assert list(await at.queued(addendum)) == ["addendum_signed"]
        assert list(await at.queued(fresh)) == ["signed"]
        assert at.lag("count") == 1  # the signature of a newly found study is not counted: it may be years old
        assert at.lag("sum") == pytest.approx(waits[0], abs=1)


@pytest.mark.soak
async def test_a_text_that_changes_in_silence_is_queued_within_a_day(monkeypatch, sqlite_engine, say):
    waits = []
    async with stage(monkeypatch, sqlite_engine, studies=40, sweep_interval=300, open_interval=300) as at:
        for pause in (0.0, 5 * _HOUR):
            await at.time.run_for(pause)
            report, when = at.completed(), at.time.seconds
            others = [one for one in at.account.reports[report["studyId"]] if one is not report]
            silent = {**report, "reportPlainText": f"IMPRESSION: Other, {when:.0f}."}
            at.account.reports[report["studyId"]] = (silent, *others)
            while "text_changed" not in (found := await at.queued(report["reportId"])) or found["text_changed"] < when:
                assert at.time.seconds - when <= 24 * _HOUR
                await at.time.run_for(60)
            waits.append((found["text_changed"] - when) / _HOUR)
    say(f"silent changes of a text queued after {waits[0]:.1f} and {waits[1]:.1f} h")
    assert max(waits) <= 24
