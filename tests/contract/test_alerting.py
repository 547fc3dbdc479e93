"""Alerts about the feed are sent once, and once more when they are over (D32)."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from fakes.fed import assert_nothing_of_a_patient, fed
from fakes.inbox import sample
from fakes.store import rows
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

from gateway.feed.alerts.monitor import EVERY, LEASE, AlertMonitor
from gateway.feed.holding import facilities_of
from gateway.runtime import clock
from gateway.runtime.loops import alongside
from gateway.runtime.metrics import Metrics
from gateway.runtime.serving import listening_socket, running
from gateway.settings.feed import Escalation, Feed
from gateway.store.database.engine import Statement, ask, micros
from gateway.store.enrichment import StoredEnrichments
from gateway.store.feed.alerts import WatchedDestination, acknowledge_alerts, feed_facts
from gateway.store.feed.cancelled_reports import item_of, leave_cancelled
from gateway.store.feed.destinations import retired
from gateway.store.feed.leases import Leases, lease_standings, resumed
from gateway.store.feed.leases import paused as pause
from gateway.store.feed.messages import hold
from gateway.store.feed.outbox import Resend, queue_replays
from gateway.store.studies.crawling import NAME, StoredCursors, SweepRecord
from mappings.profile import receiver as profile

HELD = ("held", "accession-missing")
KEY = base64.b64encode(b"k" * 32).decode()


class Hook:
    """Webhook of the site: keeps the alerts it gets while `is_up`."""

    def __init__(self):
        self.said, self.is_up = [], True

    async def answer(self, request):
        if not self.is_up:
            return Response(status_code=503)
        body = await request.body()
        signed = f"{request.headers['webhook-id']}.{request.headers['webhook-timestamp']}.".encode() + body
        made = base64.b64encode(hmac.digest(b"k" * 32, signed, hashlib.sha256)).decode()
        assert request.headers["webhook-signature"] == f"v1,{made}"
        posted = await request.json()
        assert (posted["type"], datetime.fromisoformat(posted["timestamp"]) <= clock.now()) == ("feed.alert", True)
        self.said.append(posted["data"])
        return Response()


@asynccontextmanager
async def hooked(minutes=()):
    """Run the webhooks of a site, the first called at once and the others after so many minutes, with the settings."""
    each = [Hook() for _ in (0, *minutes)]
    routes = [Route(f"/{number}", one.answer, methods=["POST"]) for number, one in enumerate(each)]
    with listening_socket("127.0.0.1", 0) as listener:
        async with running(Starlette(routes=routes), listener):
            urls = [SecretStr(f"http://127.0.0.1:{listener.getsockname()[1]}/{number}") for number in range(len(each))]
            later = tuple(Escalation(minutes=one, url=url) for one, url in zip(minutes, urls[1:], strict=True))
            yield each, Feed(alert_url=urls[0], alert_key=SecretStr(f"whsec_{KEY}"), escalate=later)


@asynccontextmanager
async def watched(engine, feed):
    async with hooked() as ([hook], settings):
        yield hook, AlertMonitor(engine, feed.destinations, settings, "one", feed.metrics)


async def write(engine, sql, **values):
    await engine.do(lambda: ask(Statement(sql), **values))


def said(hook, code):
    return [(one["state"], one["count"]) for one in hook.said if one["alert"] == code]


def changes(hook, code):
    return [(one["change"], one["count"]) for one in hook.said if one["alert"] == code]


async def test_what_is_refused_is_told_once_and_when_it_is_over(engine):
    async with fed(engine, "ae") as (feed, _), watched(engine, feed) as (hook, watch):
        async with feed.serving():
            await feed.sign()
            await feed.until("held")
        for _ in range(2):
            assert {one.code for one in await watch.once()} == {"lane-held"}
        [told] = hook.said
        facility = (await facilities_of(engine, {told["studies"][0]}))[told["studies"][0]]
        [(study_id, control_id)] = await rows(engine, "SELECT study_id, control_id FROM message")
        assert datetime.fromisoformat(told.pop("since")) <= clock.now()
        assert told == {
            "alert": "lane-held",
            "destination": "ehr",
            "state": "raised",
            "change": "begins",
            "count": 1,
            "studies": [study_id],
            "about": [f"{study_id}, message {control_id}: refused AE-101, facility {facility}"],
            "next": f"feed show {study_id} --at ehr",
            "runbook": "docs/runbooks.md#lane-held",
        }
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
        for report in signed:
            await write(engine, kill, it=report.report_id)
            for _ in range(2):
                await watch.once()
        for code in ("dead-letter", "critical-blocked"):
            assert said(hook, code) == [("raised", 1), ("raised", 2)]
            assert changes(hook, code) == [("begins", 1), ("grows", 2)]
        newest = [signed[1].study_id, signed[0].study_id]
        assert [one["studies"] for one in hook.said if one["alert"] == "critical-blocked"] == [newest[1:], newest]
        for count, report in enumerate(signed, 1):
            again = Resend(report.study_id, report.report_id, "v", False, 1, None)
            await engine.do(partial(queue_replays, "ehr", [again], micros(clock.now())))
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


async def test_a_message_without_its_accession_number_is_told_when_it_has_waited_long_enough(engine):
    """Check decision D18: it is held for so many minutes, then there is an alert; a critical one alerts at once."""
    needs = replace(profile("generic"), accession="required")
    waits = {"receiver": needs, "accession_wait": 600.0, "critical_alert": 1e9}
    async with fed(engine, **waits) as (feed, _), watched(engine, feed) as (_, watch), feed.serving():
        await feed.sign(critical=False)
        await feed.until_rows("SELECT state, reason FROM outbox", lambda found: found == [HELD])
        assert await watch.once() == []
        await write(engine, "UPDATE outbox SET decided = decided - 500000000")
        assert await watch.once() == []
        await write(engine, "UPDATE outbox SET decided = decided - 100000000")
        assert [(one.code, one.count) for one in await watch.once()] == [("message-held", 1)]
        await feed.sign(critical=True)
        await feed.until_rows("SELECT state, reason FROM outbox", lambda found: found == [HELD, HELD])
        assert [(one.code, one.count) for one in await watch.once()] == [("message-held", 2)]


async def test_a_message_goes_as_soon_as_its_accession_number_is_there(engine):
    needs = replace(profile("generic"), accession="required")
    async with fed(engine, receiver=needs) as (feed, _), feed.serving():
        signed = await feed.sign(critical=False)
        await feed.until_rows("SELECT state, reason FROM outbox", lambda found: found == [HELD])
        await StoredEnrichments(engine).keep(signed.study_instance_uid, "ACC-1", None, at=clock.now())
        await feed.pipeline.refresh(signed.study_id)
        await feed.until("delivered")


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
        watched_one = WatchedDestination("ehr", timedelta(1), timedelta(1))
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
    monkeypatch.setattr("gateway.feed.alerts.conditions.UNSERVED", 1.0)
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
        other = AlertMonitor(engine, feed.destinations, Feed(), "two", other_metrics)
        paused = {"code": "destination-paused", "destination": "ehr"}
        await engine.do(partial(pause, "ehr", "by hand", 1))
        await watch.turn()
        await other.turn()
        [lease] = [one for one in await lease_standings(engine) if one.name == LEASE]
        assert lease.expires - await engine.now() > 2 * EVERY * 1_000_000
        assert sample(feed.metrics, "feed_alert", **paused) == 1
        assert sample(other_metrics, "feed_alert", **paused) is None
        await write(engine, "UPDATE destination SET expires = 0 WHERE name = :name", name=LEASE)
        await other.turn()
        await watch.turn()
        assert sample(feed.metrics, "feed_alert", **paused) == 0
        assert sample(other_metrics, "feed_alert", **paused) == 1
        assert said(hook, "destination-paused") == [("raised", 1)]


async def critical(feed):
    """Make a critical result that is overdue at once."""
    return await feed.sign(critical=True)


async def test_what_was_told_is_neither_repeated_nor_forgotten_by_the_process_that_comes_next(engine):
    async with fed(engine, critical_alert=0.0) as (feed, _), hooked() as ([hook], settings):
        await critical(feed)

        def next_process():
            return AlertMonitor(engine, feed.destinations, settings, "next", Metrics())

        for _ in range(3):
            await next_process().once()
        assert changes(hook, "critical-overdue") == [("begins", 1)]
        await critical(feed)
        hook.is_up = False
        await next_process().once()
        hook.is_up = True
        for _ in range(2):
            await next_process().once()
        assert changes(hook, "critical-overdue") == [("begins", 1), ("grows", 2)]
        await write(engine, "UPDATE outbox SET is_critical = 0")
        hook.is_up = False
        await next_process().once()
        hook.is_up = True
        for _ in range(2):
            await next_process().once()
        assert changes(hook, "critical-overdue") == [("begins", 1), ("grows", 2), ("ends", 2)]
        assert len(hook.said[-1]["studies"]) == 2
        assert await rows(engine, "SELECT * FROM alert") == []


async def test_what_is_over_before_anybody_could_be_told_is_told_to_nobody(engine):
    async with fed(engine) as (feed, _), watched(engine, feed) as (hook, watch):
        hook.is_up = False
        await engine.do(partial(pause, "ehr", "by hand", 1))
        await watch.once()
        await engine.do(lambda: resumed("ehr"))
        await watch.once()
        hook.is_up = True
        await watch.once()
        assert hook.said == [] == await rows(engine, "SELECT * FROM alert")


async def test_a_line_of_the_log_is_written_once_though_nobody_takes_the_alert(engine):
    async with fed(engine) as (feed, _), watched(engine, feed) as (hook, watch):
        hook.is_up = False
        await engine.do(partial(pause, "ehr", "by hand", 1))
        await write(engine, "UPDATE outbox SET destination = ''")
        for _ in range(3):
            await watch.once()
        lines = [one for one in feed.logs if one["event"] == "alert"]
        assert [(one["code"], one["destination"]) for one in lines] == [("destination-paused", "ehr")]


async def test_of_what_no_destination_takes_the_log_names_none(engine):
    async with fed(engine) as (feed, _), watched(engine, feed) as (hook, watch):
        signed = await feed.sign()
        await write(engine, "UPDATE outbox SET destination = '', state = 'unrouted'")
        await watch.once()
        assert (hook.said[0]["alert"], hook.said[0]["studies"]) == ("unrouted", [signed.study_id])
        [line] = [one for one in feed.logs if one["event"] == "alert"]
        assert "destination" not in line


async def test_studies_that_no_sweep_lists_any_more_are_told_of_until_one_lists_them(engine):
    async with fed(engine) as (feed, _), watched(engine, feed) as (hook, watch):
        for not_listed in (3, 0):
            await StoredCursors(engine).put(NAME, SweepRecord(not_listed=not_listed).as_json())
            await watch.once()
        assert changes(hook, "studies-not-listed") == [("begins", 3), ("ends", 3)]


async def test_a_destination_that_no_process_serves_is_told_of_once_over_a_restart(engine, monkeypatch):
    async with fed(engine) as (feed, _), hooked() as ([hook], settings):
        await feed.sign()
        monkeypatch.setattr("gateway.feed.alerts.conditions.UNSERVED", 1.0)
        first = AlertMonitor(engine, feed.destinations, settings, "one", Metrics())
        await first.once()
        await asyncio.sleep(1.1)
        await first.once()
        monkeypatch.undo()
        await AlertMonitor(engine, feed.destinations, settings, "two", Metrics()).once()
        assert [one[0] for one in changes(hook, "not-served")] == ["begins"]


async def test_who_watches_lets_another_at_once_when_it_stops(engine):
    async with fed(engine) as (feed, _), watched(engine, feed) as (_, watch):
        other = AlertMonitor(engine, feed.destinations, Feed(), "two", Metrics())
        async with alongside([watch.run()]):
            await feed.until_rows(f"SELECT 1 FROM destination WHERE name = '{LEASE}' AND expires > 0", bool)
        await engine.do(partial(pause, "ehr", "by hand", 1))
        await other.turn()
        assert await rows(engine, "SELECT code FROM alert") == [("destination-paused",)]


@pytest.fixture
def wall_clock(monkeypatch):
    """Return a function that sets the wall clock forward, in minutes."""
    ahead = timedelta()

    def forward(minutes):
        nonlocal ahead
        ahead += timedelta(minutes=minutes)

    monkeypatch.setattr(clock, "now", lambda: datetime.now(UTC) + ahead)
    return forward


async def test_a_critical_result_that_nobody_acknowledges_is_told_to_one_after_another(engine, wall_clock):
    async with fed(engine, critical_alert=0.0) as (feed, _), hooked(minutes=(5, 20)) as ([first, *later], settings):
        watch = AlertMonitor(engine, feed.destinations, settings, "one", feed.metrics)
        signed = await critical(feed)
        told = []
        for minutes in (0, 4, 2, 13, 2, 60):
            wall_clock(minutes)
            await watch.once()
            told.append(tuple(len(changes(one, "critical-overdue")) for one in (first, *later)))
        assert told == [(1, 0, 0), (1, 0, 0), (1, 1, 0), (1, 1, 0), (1, 1, 1), (1, 1, 1)]
        assert [one["alert"] for hook in later for one in hook.said] == ["critical-overdue"] * 2
        assert later[0].said[0]["studies"] == [signed.study_id]
        assert changes(later[0], "critical-overdue") == [("escalates", 1)]
        await critical(feed)
        await watch.once()
        wall_clock(6)
        await watch.once()
        assert changes(later[0], "critical-overdue") == [("escalates", 1), ("escalates", 2)]
        assert len(changes(later[1], "critical-overdue")) == 1
        await write(engine, "UPDATE outbox SET is_critical = 0")
        await watch.once()
        assert [changes(one, "critical-overdue")[-1] for one in (first, *later)] == [("ends", 2)] * 3


async def test_what_an_operator_acknowledges_is_told_to_nobody_else_and_a_new_case_is(engine, wall_clock):
    async with fed(engine, critical_alert=0.0) as (feed, _), hooked(minutes=(5,)) as ([_, later], settings):
        watch = AlertMonitor(engine, feed.destinations, settings, "one", feed.metrics)
        await critical(feed)
        await watch.once()
        [alert] = [
            one for one in await engine.do(partial(acknowledge_alerts, "critical-overdue", None, "me", 1)) if one
        ]
        assert (alert.destination, len(alert.unacknowledged)) == ("ehr", 1)
        wall_clock(60)
        await watch.once()
        assert later.said == []
        signed = await critical(feed)
        await watch.once()
        wall_clock(6)
        await watch.once()
        assert [(one["change"], one["count"], one["studies"]) for one in later.said] == [
            ("escalates", 1, [signed.study_id])
        ]


async def test_nothing_of_a_patient_is_told(engine, wall_clock):
    async with fed(engine, "ae", critical_alert=0.0) as (feed, _), hooked(minutes=(5,)) as (both, settings):
        async with feed.serving():
            for _ in range(3):
                await critical(feed)
            await feed.until("held", "held", "held")
        watch = AlertMonitor(engine, feed.destinations, settings, "one", feed.metrics)
        for _ in range(2):
            await watch.once()
            wall_clock(10)
        assert [len(one.said) > 0 for one in both] == [True, True]
        assert_nothing_of_a_patient(feed, repr([one.said for one in both]))


async def test_what_is_left_open_for_a_destination_that_is_gone_is_told_until_it_is_retired(engine):
    async with fed(engine) as (feed, _):
        await feed.sign(critical=True)
        await feed.sign()
        feed.destinations = ()
        async with watched(engine, feed) as (hook, watch):
            for _ in range(2):
                await watch.once()
            assert changes(hook, "left-open") == [("begins", 2)]
            assert sample(feed.metrics, "feed_alert", code="left-open", destination="ehr") == 2
            await Leases(engine, "another", 60.0).take("ehr")
            await watch.once()
            await write(engine, "UPDATE destination SET expires = 0")
            await watch.once()
            await engine.do(partial(retired, "ehr", "replaced", 2, 2))
            await watch.once()
            assert [one["state"] for one in hook.said if one["alert"] == "left-open"] == ["raised", "cleared"] * 2


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
        assert changes(hook, "lane-held") == [("begins", 1), ("grows", 2)]
        await feed.release(first.study_id)
        await watch.once()
        assert changes(hook, "lane-held")[2:] == []
        async with feed.serving():
            await feed.until("held", "held")
        await watch.once()
        assert changes(hook, "lane-held")[2:] == [("grows", 2)]


async def test_a_lane_that_is_held_for_another_reason_is_told_again(engine):
    async with fed(engine, "ae") as (feed, _), watched(engine, feed) as (hook, watch):
        async with feed.serving():
            signed = await feed.sign()
            await feed.until("held")
        await watch.once()
        await engine.do(partial(hold, "ehr", signed.study_id, "move", None, 9))
        await watch.once()
        assert changes(hook, "lane-held") == [("begins", 1), ("grows", 1)]


async def test_a_second_report_of_which_no_message_is_made_is_told_too(engine):
    async with fed(engine) as (feed, _), watched(engine, feed) as (hook, watch):
        for _ in range(2):
            await feed.sign()
            await write(engine, "UPDATE outbox SET state = 'held', reason = 'name-absent'")
            await watch.once()
        assert changes(hook, "message-held") == [("begins", 1), ("grows", 2)]


async def test_each_report_that_autoscribe_cancelled_is_told_and_the_critical_ones_escalate(engine, wall_clock):
    async with fed(engine) as (feed, _), hooked(minutes=(5,)) as ([hook, later], settings):
        watch = AlertMonitor(engine, feed.destinations, settings, "one", feed.metrics)
        quiet, loud = await feed.sign(critical=False), await feed.sign(critical=True)
        for one in (quiet, loud):
            feed.account.cancel_study(one.study_id)
            await feed.tell(one.study_id)
            await watch.once()
        assert changes(hook, "cancelled-after-sign") == [("begins", 1), ("grows", 2)]
        assert sample(feed.metrics, "feed_alert", code="cancelled-after-sign", destination="") == 2
        wall_clock(6)
        await watch.once()
        told = [one for one in later.said if one["alert"] == "cancelled-after-sign"]
        assert [(one["change"], one["count"], one["studies"]) for one in told] == [("escalates", 1, [loud.study_id])]
        for one in (quiet, loud):
            await engine.do(partial(leave_cancelled, await item_of(engine, one.report_id), "seen", 1))
        await watch.once()
        assert [changes(one, "cancelled-after-sign")[-1] for one in (hook, later)] == [("ends", 2)] * 2
