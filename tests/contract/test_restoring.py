"""Restore a lane from a journal into a database that was restored, on both engines (decision D38)."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from fakes.fed import fed
from fakes.store import rows

from gateway.feed.plan.planner import apply_plan
from gateway.routing import Filter, Scope
from gateway.settings.feed import Feed
from gateway.store.feed import plans
from gateway.store.feed.alerts import WatchedDestination, feed_facts
from gateway.store.feed.restoring import JournaledMessage, restore_lane
from gateway.store.feed.sent import read_sent

STUDY, NOW = "stu_1", 1_000
LANE = "SELECT reason, culprit FROM lane"
MESSAGES = "SELECT control_id, state, reason, ack, has_body, remarks, superseded_by FROM message ORDER BY number"


def message(control_id="ID1", **more):
    usual = {
        "destination": "ehr",
        "study_id": STUDY,
        "report_id": "rep_1",
        "kind": "signed",
        "report_ids": ("rep_1",),
        "patient_id": "pat-1",
        "numbers": ("F1",),
        "restates": "F1/",
        "is_whole": True,
        "is_critical": False,
        "signed": 1,
        "body_hash": "ab",
        "told": "t1",
        "at": 10,
        "state": "delivered",
        "reason": "",
        "ack": "AA",
        "committed": None,
        "accepted": 11,
        "holds": "",
    }
    return JournaledMessage(control_id=control_id, **{**usual, **more})


async def replay(engine, *lane):
    return await engine.do(partial(restore_lane, lane, NOW))


async def found(engine):
    return [tuple(one) for one in await rows(engine, MESSAGES)]


async def test_what_the_database_does_not_have_is_added_with_its_numbers_and_once(engine):
    for _ in range(2):
        assert await replay(engine, message(), message("ID2", told="t2")) == ""
    assert [one[:6] for one in await found(engine)] == [
        ("ID1", "delivered", "", "AA", 0, "restored"),
        ("ID2", "delivered", "", "AA", 0, "restored"),
    ]
    assert [tuple(one) for one in await rows(engine, "SELECT kind, state, replay FROM outbox ORDER BY number")] == [
        ("replay", "rendered", 1),
        ("replay", "rendered", 2),
    ]
    sent = (await read_sent(engine, "ehr", [STUDY]))[STUDY]
    assert sent.numbers == {"rep_1": {"F1": "pat-1"}} and sent.signed == {"F1"}
    assert sent.restored == {"F1/": frozenset({"t2"})}


@pytest.mark.parametrize(("ids", "told"), [(("rep_1",), {"t2"}), (("rep_2",), {"t1", "t2"})])
async def test_of_messages_that_are_not_whole_the_last_of_each_report_counts(engine, ids, told):
    await replay(engine, message(is_whole=False), message("ID2", is_whole=False, report_ids=ids, told="t2"))
    assert (await read_sent(engine, "ehr", [STUDY]))[STUDY].restored == {"F1/": frozenset(told)}


async def test_a_dead_letter_stays_one_and_counts_as_told(engine):
    await replay(engine, message(state="dead_letter", reason="AE-101", ack="AE", accepted=None))
    assert [one[:4] for one in await found(engine)] == [("ID1", "dead_letter", "AE-101", "AE")]
    assert (await read_sent(engine, "ehr", [STUDY]))[STUDY].restored == {"F1/": frozenset({"t1"})}


@pytest.mark.parametrize(
    ("last", "reason"),
    [
        ({"state": "sending"}, "restored"),
        ({"state": "indeterminate", "holds": "indeterminate"}, "indeterminate"),
        ({"state": "held", "holds": "refused"}, "refused"),
        ({"state": "held"}, "refused"),
        ({"numbers": None}, "restored"),
        ({"told": ""}, "restored"),
        ({"holds": "awaits-AA"}, "awaits-AA"),
        ({"state": "queued"}, ""),
        ({"state": "dead_letter"}, ""),
    ],
)
async def test_a_lane_is_held_by_its_last_message_alone(engine, last, reason):
    assert await replay(engine, message(), message("ID2", **last)) == reason
    assert [str(one) for one, _ in await rows(engine, LANE)] == ([reason] if reason else [])
    assert await replay(engine, message("ID3", **{"study_id": "stu_2", **last}), message("ID4", study_id="stu_2")) == ""


async def of_lane(feed):
    """Return the message that is already in the database."""
    ((control_id, study_id, digest),) = await rows(feed.engine, "SELECT control_id, study_id, body_hash FROM message")
    return message(str(control_id), study_id=str(study_id), body_hash=str(digest))


async def test_what_was_queued_in_the_copy_and_sent_since_is_not_sent(engine):
    async with fed(engine) as (feed, receiver):
        await feed.queue(1)
        await replay(engine, await of_lane(feed))
        await feed.resume()
        async with feed.serving():
            await feed.until("delivered")
        assert not receiver.messages
        ((_, state, _, ack, has_body, remarks, _),) = await found(engine)
        assert (state, ack, has_body, remarks) == ("delivered", "AA", 1, "restored")


async def test_a_text_that_is_not_what_was_sent_is_let_go_of(engine):
    async with fed(engine) as (feed, _):
        await feed.queue(1)
        await replay(engine, replace(await of_lane(feed), body_hash="other"))
        assert [(one[4]) for one in await found(engine)] == [0]
        assert [str(one) for (one,) in await rows(engine, "SELECT body_hash FROM message")] == ["other"]
        assert not await rows(engine, "SELECT 1 FROM message_body")


async def test_what_nobody_knows_to_have_arrived_waits_and_goes_again_as_it_was_when_it_is_let_go(engine):
    async with fed(engine) as (feed, receiver):
        await feed.queue(1)
        known = replace(await of_lane(feed), state="sending", ack="", accepted=None)
        assert await replay(engine, known) == "restored"
        await feed.resume()
        async with feed.serving():
            await feed.seen("indeterminate")
            assert not receiver.messages
            await feed.release(known.study_id)
            await feed.all_delivered()
        assert [one.control_id for one in receiver.messages] == [known.control_id]


@pytest.mark.parametrize("is_in_the_copy", [True, False])
async def test_a_critical_result_in_doubt_stays_held_and_alerts(engine, is_in_the_copy):
    async with fed(engine) as (feed, receiver):
        await feed.pause()
        signed = await feed.sign(critical=True)
        if is_in_the_copy:
            async with feed.serving():
                await feed.until("queued")
        known = await of_lane(feed) if is_in_the_copy else message(study_id=signed.study_id)
        doubtful = replace(known, state="sending", ack="", accepted=None, is_critical=True)
        assert await replay(engine, doubtful) == "restored"
        await feed.resume()
        async with feed.serving():
            await asyncio.sleep(0.5)
        assert not receiver.messages
        facts = await feed_facts(engine, WatchedDestination("ehr", timedelta(), timedelta()), datetime.now(UTC))
        assert set(facts.critical.values()) == set(facts.held_lanes.values()) == {signed.study_id}


async def test_what_stood_in_the_copy_before_something_newer_was_sent_is_superseded(engine):
    async with fed(engine) as (feed, receiver):
        await feed.queue(1)
        known = await of_lane(feed)
        made = int((await rows(engine, "SELECT made FROM message"))[0][0])
        newer = replace(known, control_id="NEWER", at=made + 5, restates="x")
        await replay(engine, newer)
        await feed.resume()
        async with feed.serving():
            await feed.until("superseded", "delivered")
        assert not receiver.messages
        assert [one[6] is not None for one in await found(engine)] == [True, False]


async def test_what_was_held_in_the_copy_and_went_on_is_free(engine):
    async with fed(engine, "ae") as (feed, _):
        await feed.sign(critical=False)
        async with feed.serving():
            await feed.held_lane()
        known = await of_lane(feed)
        since = int((await rows(engine, "SELECT since FROM lane"))[0][0])
        assert await replay(engine, replace(known, at=since + 5)) == ""
        assert not await rows(engine, LANE)


async def test_a_message_that_was_over_before_the_next_is_never_sent_though_nobody_says_how(engine):
    async with fed(engine) as (feed, _):
        await feed.queue(1)
        known = replace(await of_lane(feed), state="sending")
        await replay(engine, known, replace(known, control_id="NEXT", state="delivered"))
        assert [one[1] for one in await found(engine)] == ["superseded", "delivered"]


async def test_what_a_plan_stopped_in_the_old_database_was_told_all_the_same_and_its_correction_is_owed(engine):
    async with fed(engine) as (feed, receiver):
        await feed.pause()
        signed = await feed.sign(critical=False)
        await feed.add(signed)
        async with feed.serving():
            await feed.until("queued")
        known = replace(await of_lane(feed), report_ids=await report_ids(feed))
        feed.restart(feed.settings, filter=Filter(Scope(facilities=frozenset({"nowhere"}))))
        async with feed.serving(settings=Feed(unasked_messages=0)):
            await feed.until_rows(
                "SELECT state FROM outbox", lambda found: {str(one) for (one,) in found} == {"to_stop"}
            )
        await apply_plan(engine, "ehr", await plans.plan_rows(engine, "ehr"))
        assert await outbox(engine) == [("excluded",), ("excluded",)]
        await replay(engine, known)
        assert await outbox(engine) in ([("rendered",), ("merged",)], [("merged",), ("rendered",)])
        await feed.resume()
        feed.account.change_text(signed.report_id, "FINDINGS: Another text.")
        await feed.tell(signed.study_id)
        async with feed.serving():
            await feed.all_delivered()
        assert b"Another text." in receiver.messages[-1].payload


async def outbox(engine):
    wanted = "SELECT state FROM outbox WHERE destination = 'ehr' ORDER BY number"
    return [tuple(one) for one in await rows(engine, wanted)]


async def report_ids(feed):
    ((found,),) = await rows(feed.engine, "SELECT report_ids FROM message")
    return tuple(json.loads(found))
