"""Whoever watches over the feed is told once, and once more when it is over (D32)."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial

import pytest
from fakes.fed import fed
from fakes.inbox import sample
from fakes.store import rows
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

from gateway import clock
from gateway.feed.alerting import EVERY, LEASE, Alerting
from gateway.metrics import Metrics
from gateway.serving import listening_socket, running
from gateway.settings.feed import Feed
from gateway.store.feed_facts import Watched, feed_facts
from gateway.store.holding import hold
from gateway.store.instants import micros
from gateway.store.leases import Leases, resumed, standing
from gateway.store.leases import paused as pause
from gateway.store.leaving import retired
from gateway.store.resending import Resend, resent
from gateway.store.statements import Statement, ask

KEY = base64.b64encode(b"k" * 32).decode()


class Hook:
    """A webhook of the site's: keeps what it was told, if `is_up`."""

    def __init__(self):
        self.said, self.is_up = [], True

    async def answer(self, request):
        if not self.is_up:
            return Response(status_code=503)
        body = await request.body()
        signed = f"{request.headers['webhook-id']}.{request.headers['webhook-timestamp']}.".encode() + body
        made = base64.b64encode(hmac.digest(b"k" * 32, signed, hashlib.sha256)).decode()
        assert request.headers["webhook-signature"] == f"v1,{made}"
        self.said.append((await request.json())["data"])
        return Response()


@asynccontextmanager
async def watched(engine, feed):
    hook = Hook()
    app = Starlette(routes=[Route("/alerts", hook.answer, methods=["POST"])])
    with listening_socket("127.0.0.1", 0) as listener:
        async with running(app, listener):
            url = f"http://127.0.0.1:{listener.getsockname()[1]}/alerts"
            settings = Feed(alert_url=SecretStr(url), alert_key=SecretStr(f"whsec_{KEY}"))
            yield hook, Alerting(engine, feed.destinations, settings, "one", feed.metrics)


async def write(engine, sql, **values):
    await engine.do(lambda: ask(Statement(sql), **values))


def said(hook, code):
    return [(one["state"], one["count"]) for one in hook.said if one["alert"] == code]


async def test_what_is_refused_is_told_once_and_when_it_is_over(engine):
    async with fed(engine, "ae") as (feed, _), watched(engine, feed) as (hook, watch):
        async with feed.serving():
            await feed.sign()
            await feed.until("held")
        for _ in range(2):
            assert {one.code for one in await watch.once()} == {"lane-held"}
        assert hook.said == [{"alert": "lane-held", "destination": "ehr", "count": 1, "state": "raised"}]
        await engine.query("SELECT 1", [])
        await engine.do(partial(pause, "ehr", "by hand", 1))
        await watch.once()
        await engine.do(lambda: resumed("ehr"))
        await watch.once()
        assert [(one["alert"], one["state"]) for one in hook.said[1:]] == [
            ("destination-paused", "raised"),
            ("destination-paused", "cleared"),
        ]


async def test_what_could_not_be_posted_is_posted_later(engine):
    async with fed(engine, "ae") as (feed, _), watched(engine, feed) as (hook, watch):
        async with feed.serving():
            await feed.sign()
            await feed.until("held")
        hook.is_up = False
        await watch.once()
        hook.is_up = True
        await watch.once()
        assert [one["alert"] for one in hook.said] == ["lane-held"]


async def test_a_critical_result_that_is_not_acknowledged_is_told(engine):
    async with fed(engine, "none", ack_timeout=30.0, critical_alert=0.0) as (feed, _):
        await feed.sign(critical=True)
        async with watched(engine, feed) as (hook, watch):
            await watch.once()
            assert "critical-overdue" in {one["alert"] for one in hook.said}


async def test_every_dead_letter_is_told_until_a_newer_message_says_it(engine):
    async with fed(engine) as (feed, _), watched(engine, feed) as (hook, watch), feed.serving():
        signed = [await feed.sign(), await feed.sign()]
        await feed.until("delivered", "delivered")
        kill = "UPDATE message SET state = 'dead_letter', reason = 'AE-207', is_critical = 1 WHERE report_id = :it"
        for one in signed:
            await write(engine, kill, it=one.report_id)
            for _ in range(2):
                await watch.once()
        assert said(hook, "dead-letter") == said(hook, "critical-blocked") == [("raised", 1), ("raised", 2)]
        for count, one in enumerate(signed, 1):
            again = Resend(one.study_id, one.report_id, "v", False, 1, None)
            await engine.do(partial(resent, "ehr", [again], micros(clock.now())))
            await feed.until("dead_letter", "dead_letter", *["delivered"] * count)
            await watch.once()
        assert said(hook, "dead-letter")[2:] == said(hook, "critical-blocked")[2:] == [("cleared", 1)]


async def test_one_that_takes_the_place_of_another_in_the_count_is_told_too(engine):
    async with fed(engine) as (feed, _), watched(engine, feed) as (hook, watch), feed.serving():
        await feed.sign()
        await feed.sign()
        await feed.until("delivered", "delivered")
        for number in (1, 2):
            await write(engine, "UPDATE message SET state = 'delivered'")
            await write(engine, "UPDATE message SET state = 'dead_letter' WHERE number = :it", it=number)
            await watch.once()
        assert said(hook, "dead-letter") == [("raised", 1), ("raised", 1)]


async def test_what_was_taken_back_unsent_is_no_alert(engine):
    async with fed(engine) as (feed, _), watched(engine, feed) as (hook, watch), feed.serving():
        await feed.sign()
        await feed.until("delivered")
        await write(engine, "UPDATE message SET state = 'dead_letter', reason = 'withdrawn-unsent'")
        assert await watch.once() == []
        assert hook.said == []


@pytest.mark.parametrize("mode", ["two_phase", "commit"])
async def test_where_the_application_is_to_answer_its_silence_is_told(engine, mode):
    async with fed(engine, "ca", ack_mode=mode, critical_alert=0.0) as (feed, _):
        async with feed.serving():
            await feed.sign(critical=True)
            await feed.until("delivered")
        assert await rows(engine, "SELECT ack, accepted FROM message") == [("CA", None)]
        async with watched(engine, feed) as (_, watch):
            expected = {"critical-overdue"} if mode == "two_phase" else set()
            assert {one.code for one in await watch.once()} == expected
            await write(engine, "UPDATE message SET committed = 1, is_critical = 0")
            expected = {"application-ack-missing"} if mode == "two_phase" else set()
            assert {one.code for one in await watch.once()} == expected
            await write(engine, "UPDATE message SET accepted = 2, ack = 'AA', is_critical = 1")
            assert await watch.once() == []


async def test_the_oldest_of_all_priorities_counts_and_what_is_not_made_though_it_is_due(engine):
    async with fed(engine) as (feed, _):
        watched_one = Watched("ehr", timedelta(1), timedelta(1))
        assert (await feed_facts(engine, watched_one, clock.now())).oldest == 0
        await feed.sign()
        now = micros(clock.now())
        await write(engine, "UPDATE outbox SET due = :due", due=now + 60_000_000)
        assert (await feed_facts(engine, watched_one, clock.now())).oldest == 0
        await write(engine, "UPDATE outbox SET due = :due", due=now - 60_000_000)
        assert 60 <= (await feed_facts(engine, watched_one, clock.now())).oldest < 90
        await feed.sign(critical=True)
        async with feed.serving():
            await feed.until("delivered", "delivered")
        await write(engine, "UPDATE message SET state = 'queued'")
        await write(engine, "UPDATE message SET made = :made WHERE priority = 1", made=now - 120_000_000)
        assert 120 <= (await feed_facts(engine, watched_one, clock.now())).oldest < 150


async def test_a_destination_that_no_process_serves_is_told_of_once_something_waits(engine, monkeypatch):
    monkeypatch.setattr("gateway.feed.alerts.UNSERVED", 1.0)
    async with fed(engine) as (feed, _), watched(engine, feed) as (_, watch):
        assert await watch.once() == []
        await asyncio.sleep(1.1)
        assert await watch.once() == []
        await feed.sign()
        assert [one.code for one in await watch.once()] == ["not-served"]
        await Leases(engine, "one", 60.0).take("ehr")
        assert await watch.once() == []


async def test_what_is_over_is_no_number_any_more_though_it_could_not_be_posted(engine):
    async with fed(engine) as (feed, _), watched(engine, feed) as (hook, watch):
        hook.is_up = False
        await engine.do(partial(pause, "ehr", "by hand", 1))
        await watch.once()
        assert sample(feed.metrics, "feed_alert", code="destination-paused", destination="ehr") == 1
        await engine.do(lambda: resumed("ehr"))
        await watch.once()
        assert sample(feed.metrics, "feed_alert", code="destination-paused", destination="ehr") == 0


async def test_one_process_of_several_watches_and_the_next_goes_on_when_it_is_gone(engine):
    async with fed(engine) as (feed, _), watched(engine, feed) as (hook, watch):
        other_metrics = Metrics()
        other = Alerting(engine, feed.destinations, Feed(), "two", other_metrics)
        paused = {"code": "destination-paused", "destination": "ehr"}
        await engine.do(partial(pause, "ehr", "by hand", 1))
        await watch.turn()
        await other.turn()
        [lease] = [one for one in await standing(engine) if one.name == LEASE]
        assert lease.expires - await engine.now() > 2 * EVERY * 1_000_000
        assert sample(feed.metrics, "feed_alert", **paused) == 1
        assert sample(other_metrics, "feed_alert", **paused) is None
        await write(engine, "UPDATE destination SET expires = 0 WHERE name = :name", name=LEASE)
        await other.turn()
        await watch.turn()
        assert sample(feed.metrics, "feed_alert", **paused) == 0
        assert sample(other_metrics, "feed_alert", **paused) == 1
        assert said(hook, "destination-paused") == [("raised", 1)]


async def test_what_is_left_open_for_a_destination_that_is_gone_is_told_until_it_is_retired(engine):
    async with fed(engine) as (feed, _):
        await feed.sign(critical=True)
        await feed.sign()
        gone = {"alert": "left-open", "destination": "ehr"}
        feed.destinations = ()
        async with watched(engine, feed) as (hook, watch):
            for _ in range(2):
                await watch.once()
            assert hook.said == [{**gone, "count": 2, "state": "raised"}]
            assert sample(feed.metrics, "feed_alert", code="left-open", destination="ehr") == 2
            await Leases(engine, "another", 60.0).take("ehr")
            assert await watch.once() == []
            await write(engine, "UPDATE destination SET expires = 0")
            await watch.once()
            await engine.do(partial(retired, "ehr", "replaced", 2, 2))
            assert await watch.once() == []
            assert [one["state"] for one in hook.said] == ["raised", "cleared", "raised", "cleared"]


async def test_a_second_study_that_is_held_beside_the_first_is_told_too(engine):
    async with fed(engine, "ae") as (feed, _), watched(engine, feed) as (hook, watch):
        async with feed.serving():
            first = await feed.sign()
            await feed.until("held")
            await watch.once()
            await feed.sign()
            await feed.until("held", "held")
            for _ in range(2):
                await watch.once()
        assert said(hook, "lane-held") == [("raised", 1), ("raised", 2)]
        await feed.release(first.study_id)
        await watch.once()
        assert said(hook, "lane-held")[2:] == []
        async with feed.serving():
            await feed.until("held", "held")
        await watch.once()
        assert said(hook, "lane-held")[2:] == [("raised", 2)]


async def test_a_lane_that_is_held_for_another_reason_is_told_again(engine):
    async with fed(engine, "ae") as (feed, _), watched(engine, feed) as (hook, watch):
        async with feed.serving():
            signed = await feed.sign()
            await feed.until("held")
        await watch.once()
        await engine.do(partial(hold, "ehr", signed.study_id, "move", None, 9))
        await watch.once()
        assert said(hook, "lane-held") == [("raised", 1), ("raised", 1)]


async def test_a_second_report_of_which_no_message_is_made_is_told_too(engine):
    async with fed(engine) as (feed, _), watched(engine, feed) as (hook, watch):
        for _ in range(2):
            await feed.sign()
            await write(engine, "UPDATE outbox SET state = 'held', reason = 'accession-missing'")
            await watch.once()
        assert said(hook, "message-held") == [("raised", 1), ("raised", 2)]
