"""Late acknowledgements are stored and counted, and wait for the commit result if they come too early (D32)."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from fakes.breakers import breaker
from fakes.fed import destination
from fakes.lanes import AT, NOW, Scene, new
from fakes.store import rows

from gateway.feed.deliver.late_acks import LateAcks
from gateway.feed.payload import Acknowledgement
from gateway.routing import Retry
from gateway.runtime import clock
from gateway.runtime.metrics import PREFIX, Metrics
from gateway.settings.feed import Feed
from gateway.store.feed.leases import Leases
from gateway.store.feed.messages import SendResult

RETRY = Retry(first=2.0, cap=10.0, jitter=0.0, max_attempts=2)
SIGNED = AT - 30_000_000


@pytest.fixture
async def scene(sqlite_engine, monkeypatch):
    """Lanes of one committed message each."""
    monkeypatch.setattr(clock, "now", lambda: NOW + timedelta(seconds=12))
    made = Scene(sqlite_engine, await Leases(sqlite_engine, "one", 60.0).take("ehr"))
    for number in (1, 2, 3):
        await made.add(f"stu_{number}", new(number, is_critical=number == 1, signed=SIGNED))
        await made.deliver()
    return made


class Heard:
    """Acknowledgements to a destination, and the metrics that count them."""

    def __init__(self, scene, settings=None, **more):
        self.scene, self.metrics = scene, Metrics()
        self.breaker = breaker(scene.engine, self.metrics)
        to = destination(1, retry=RETRY, **more)
        self.late = LateAcks(scene.engine, to, settings or Feed(), self.metrics, self.breaker)

    async def hear(self, code, control_id="ID1", error="", **more):
        errors = (error,) if error else ()
        return await self.late.store(Acknowledgement(code, control_id, errors=errors), **more)

    def metric(self, name, **labels):
        return self.metrics.registry.get_sample_value(f"{PREFIX}{name}", {"destination": "ehr", **labels}) or 0

    def counted(self, outcome):
        return self.metric("feed_late_acks_total", outcome=outcome)


async def test_the_time_of_a_critical_result_ends_with_what_the_application_accepts(scene):
    heard = Heard(scene)
    assert await heard.hear("AA") == "written"
    assert heard.metric("feed_critical_seconds_count") == 1
    assert heard.metric("feed_critical_seconds_sum") == 42
    assert heard.metric("feed_messages_total", state="delivered", reason="") == 0, (
        "it was counted when it was committed"
    )
    assert await heard.hear("AA") == "repeated"
    assert await heard.hear("AA", "ID2") == "written"
    assert heard.metric("feed_critical_seconds_count") == 1
    assert (heard.counted("accepted"), heard.counted("repeated")) == (2, 1)


async def test_what_is_refused_late_is_counted_as_what_is_refused_at_once(scene):
    heard = Heard(scene)
    assert await heard.hear("AE", error="101") == "written"
    assert heard.metric("feed_messages_total", state="held", reason="AE-101") == 1
    assert (heard.counted("refused"), heard.metric("feed_critical_seconds_count")) == (1, 0)


async def test_tries_are_counted_and_have_their_end(scene):
    heard = Heard(scene)
    assert await heard.hear("AR") == "written"
    due = await rows(scene.engine, "SELECT state, due FROM message WHERE number = 1")
    assert due == [("queued", AT + 12_000_000 + 2_000_000)]
    await scene.deliver(now=NOW + timedelta(seconds=20))
    assert await heard.hear("AR") == "written"
    assert await rows(scene.engine, "SELECT state FROM message WHERE number = 1") == [("held",)]
    assert await rows(scene.engine, "SELECT study_id FROM lane") == [("stu_1",)]


async def test_what_it_means_is_the_destinations_to_say(scene):
    table = (("AE", "dead_letter"), ("AR 207", "delivered"))
    heard = Heard(scene, ack_table=table)
    await heard.hear("AE")
    await heard.hear("AR", "ID2", error="207")
    result_rows = await rows(scene.engine, "SELECT state, ack, accepted FROM message ORDER BY number")
    assert [tuple(one[:2]) for one in result_rows] == [("dead_letter", "AE"), ("delivered", "AR"), ("delivered", "CA")]
    assert result_rows[1][2] == AT + 12_000_000


async def test_a_receiver_whose_application_refuses_all_that_its_interface_takes_is_sent_nothing_more(scene):
    heard = Heard(scene, Feed(breaker_refusals=2, breaker_lanes=2))
    await heard.hear("AE")
    assert await Leases(scene.engine, "x", 6).paused("ehr") == ""
    await heard.hear("AE", "ID2")
    assert await Leases(scene.engine, "x", 6).paused("ehr") == "refused-in-a-row"


async def test_what_it_accepts_in_between_begins_the_count_anew(scene):
    heard = Heard(scene, Feed(breaker_refusals=2, breaker_lanes=2))
    for code, control_id in (("AE", "ID1"), ("AA", "ID2"), ("AE", "ID3")):
        await heard.hear(code, control_id)
    assert await Leases(scene.engine, "x", 6).paused("ehr") == ""


async def test_a_message_whose_type_is_not_supported_pauses_at_once(scene):
    await Heard(scene).hear("AR", error="200")
    assert await Leases(scene.engine, "x", 6).paused("ehr") == "messages-not-supported"


async def test_one_that_is_quicker_than_its_commit_is_written_down_waits_for_that(scene):
    await scene.add("stu_4", new(4))
    (head,) = await scene.heads()
    await scene.step(claims=[head])
    heard = Heard(scene)
    hearing = asyncio.create_task(heard.hear("AA", "ID4"))
    await asyncio.sleep(0.1)
    assert not hearing.done()
    await scene.step([SendResult(head, "delivered", ack="CA", committed=AT)])
    assert await hearing == "written"
    assert await rows(scene.engine, "SELECT ack FROM message WHERE number = 4") == [("AA",)]


async def test_it_is_not_waited_for_without_end(scene):
    await scene.add("stu_4", new(4))
    await scene.step(claims=await scene.heads())
    heard = Heard(scene)
    assert await heard.hear("AA", "ID4", within=0) == "too_early"
    assert await heard.hear("AA", "ID9") == "unmatched"
    assert (heard.counted("too_early"), heard.counted("unmatched")) == (1, 1)
