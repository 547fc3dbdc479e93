"""Faults of events, F65 and F66: events that come twice, never, or for unknown studies; one receiver of five down.

AutoScribe REST API, webhook `report.delivered`; decisions D25, D26, D31, D32.
"""

from __future__ import annotations

import asyncio

import pytest
from fakes.fed import assert_all_arrived, bodies, fed, stopped
from fakes.simulated import UnderWay
from fakes.store import rows
from fakes.virtual_clock import VirtualClock

from gateway.feed.deliver import destination_worker, lookahead, sender
from gateway.feed.deliver.channel import MllpChannel
from gateway.routing import Retry
from gateway.runtime import clock
from gateway.runtime.errors import UpstreamNotFound
from gateway.runtime.metrics import Metrics
from gateway.settings.feed import Feed
from gateway.store.enrichment import StoredWebhooks
from gateway.webhooks.worker import WebhookWork

HOURS = 72
LOOK = 300.0  # seconds


async def test_f65_an_event_that_comes_twice_or_of_no_known_study_or_not_at_all_neither_repeats_nor_loses(engine):
    async with fed(engine) as (feed, receiver), feed.serving():

        async def ingest(study_id):
            if study_id not in feed.account.studies:
                raise UpstreamNotFound("GET the study", status=404)
            await feed.tell(study_id)
            return {one["reportId"] for one in feed.account.reports[study_id]}

        webhooks = StoredWebhooks(engine)
        work = WebhookWork(webhooks, ingest, Metrics())
        told, silent = feed.account.sign_new(critical=False), feed.account.sign_new(critical=False)

        async def comes(number, study_id, report_id):
            body = {"studyId": study_id, "reportId": report_id}
            name = f"{number}"
            return await webhooks.record(f"msg_{name}", f"whe_{name}", "report.delivered", body, clock.now())

        assert await comes(1, told.study_id, told.report_id)
        assert not await comes(1, told.study_id, told.report_id)
        assert await comes(2, told.study_id, told.report_id)
        assert await comes(3, f"stu_{'9' * 32}", f"rep_{'9' * 32}")
        await asyncio.gather(work.once(), feed.tell(told.study_id))
        await work.once()
        await feed.until("delivered")
        states = "SELECT webhook_id, state, code FROM webhook ORDER BY webhook_id"
        assert [tuple(one) for one in await rows(engine, states)] == [
            ("msg_1", "done", ""),
            ("msg_2", "done", ""),
            ("msg_3", "waiting", "upstream-not-found"),
        ]
        await feed.tell(silent.study_id)  # the sweep
        await feed.until("delivered", "delivered")
        assert len(bodies(receiver)) == 2
        await assert_all_arrived(feed, receiver)


@pytest.mark.soak
async def test_f66_one_of_five_destinations_that_is_down_for_three_days_costs_the_others_nothing(
    sqlite_engine, monkeypatch, say
):
    time, under_way = VirtualClock().install(monkeypatch), UnderWay(monkeypatch)
    monkeypatch.setattr(MllpChannel, "exchange", under_way._counted(MllpChannel.exchange))
    monkeypatch.setattr(destination_worker, "_LOOK", LOOK)
    monkeypatch.setattr(destination_worker, "_PLAN", LOOK)
    monkeypatch.setattr(destination_worker, "_OLD_COPIES", LOOK)
    monkeypatch.setattr(lookahead, "_IDLE", LOOK)
    monkeypatch.setattr(sender, "_LONGEST", LOOK)
    time.busy = lambda: under_way.count > 0
    waits = []
    async with fed(sqlite_engine, count=5, retry=Retry(first=1.0, jitter=0.0)) as (feed, receivers):
        *others, down = receivers
        for one in others:
            one.on_message = lambda _: waits.append(time.seconds - signed_at)
        async with feed.serving(settings=Feed().model_copy(update={"lease": 7_200.0})):
            async with stopped(down):
                for hour in range(HOURS):
                    signed_at = time.seconds
                    await time.run(feed.sign(critical=False))
                    await time.run_for((hour + 1) * 3_600 - time.seconds)
                assert [len(bodies(one)) for one in others] == [HOURS] * 4
                assert set(await feed.states()) == {"delivered", "queued"}
                assert max(waits) <= 2 * LOOK
            await time.run_for(600)
        assert len(bodies(down)) == HOURS
        say(f"3 days, 5 destinations: the others waited {max(waits):.0f} s at most, at a look every {LOOK:.0f} s")
        tries = [one for one in feed.logs if one["event"] == "message-not-acknowledged"]
        assert {one["destination"] for one in tries} == {"ehr5"}
        assert len(tries) < HOURS * 3_600 / LOOK + 20
        feed.logs[:] = {repr({**one, "attempt": 0}): one for one in feed.logs}.values()  # each only once
        for one, receiver in zip(feed.destinations, receivers, strict=True):
            await assert_all_arrived(feed, receiver, name=one.name)
