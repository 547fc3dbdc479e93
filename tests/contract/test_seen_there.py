"""Work that may have been sent before a restore is closed unsent when an operator saw it there (D38)."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from fakes.fed import bodies, fed
from fakes.store import rows

from gateway.feed.deliver.feed_journal import UNKEPT
from gateway.feed.fate import fate_of, fate_place
from gateway.feed.loops import HoldFeed
from gateway.runtime import clock
from gateway.store.database.engine import Statement, ask, micros
from gateway.store.feed.alerts import WatchedDestination, feed_facts
from gateway.store.feed.destinations import open_work_of_each, seen_there
from gateway.store.feed.ledger import dead_letters, report_records

ROWS = "SELECT state, reason FROM outbox ORDER BY number"
MESSAGES = "SELECT state, reason FROM message ORDER BY number"


class Accepting:
    """Journal of a database that an operator accepts as restored."""

    async def accept(self):
        """Accept the database as it is."""


async def restored(feed):
    """Start after a restore, unknown to any journal, to a copy of an hour ago, and let new work be sent."""
    hour_ago = micros(datetime.now(UTC) - timedelta(hours=1))
    await HoldFeed(restored_from=hour_ago).begin(feed.engine, Accepting(), ["ehr"])
    await feed.resume()


async def leave(feed, signed, reason="I saw it there"):
    return await feed.engine.do(partial(seen_there, "ehr", signed.study_id, reason, micros(clock.now())))


async def fates(feed, *signed):
    found = await report_records(feed.engine, [one.study_id for one in signed])
    ehr = feed.destinations[0]
    known = [fate_of(one.report_id, found[one.study_id].reports.get(one.report_id), fate_place(ehr)) for one in signed]
    return [(one.kind, one.detail, one.is_open) for one in known]


def with_addendum(feed, manner):
    ehr = feed.destinations[0]
    other = replace(ehr, receiver=replace(ehr.receiver, addendum=manner))
    return replace(feed, destinations=(other, *feed.destinations[1:]))


@pytest.mark.full
@pytest.mark.parametrize("state", ["held", "waiting", "planned", "to_stop"])
async def test_what_was_open_in_the_copy_is_left_and_its_addendum_alone_is_sent(engine, state):
    async with fed(engine) as (made, receiver):
        feed = with_addendum(made, "new_order")
        signed = await feed.sign(critical=True)
        copied = Statement("UPDATE outbox SET state = :state, reason = 'authority-unknown'")
        await engine.do(lambda: ask(copied, state=state))
        await restored(feed)
        assert await leave(feed, signed) == (1, 0)
        assert await leave(feed, signed) == (0, 0)
        assert await rows(engine, "SELECT 1 FROM lane") == []
        assert [tuple(one) for one in await rows(engine, ROWS)] == [("left", "may-have-been-sent")]
        assert await fates(feed, signed) == [("left", "may-have-been-sent", False)]
        noted = await rows(engine, "SELECT verb, argument, reason FROM audit")
        assert tuple(noted[0]) == ("feed-leave", f"ehr {signed.study_id}", "I saw it there")
        async with feed.serving(journal=UNKEPT):
            await asyncio.sleep(1.1)  # a signing time may have whole seconds
            assert not receiver.messages
            addendum = await feed.add(signed)
            await feed.all_delivered()
        assert len(bodies(receiver)) == 1
        assert [kind for kind, *_ in await fates(feed, signed, addendum)] == ["left", "AA"]


async def test_a_message_of_the_copy_is_closed_and_is_no_dead_letter_that_anybody_is_told_of(engine):
    async with fed(engine) as (feed, receiver):
        await feed.queue(1)
        ((study_id,),) = await rows(engine, "SELECT study_id FROM message")
        ((report_id,),) = await rows(engine, "SELECT report_id FROM report")
        await restored(feed)
        assert await feed.engine.do(partial(seen_there, "ehr", study_id, "seen", micros(clock.now()))) == (0, 1)
        assert [tuple(one) for one in await rows(engine, MESSAGES)] == [("dead_letter", "seen-there")]
        record = (await report_records(engine, [study_id]))[study_id].reports[report_id]
        known = fate_of(report_id, record, fate_place(feed.destinations[0]))
        assert (known.kind, known.detail, known.is_open) == ("left", "may-have-been-sent", False)
        assert await dead_letters(engine, "ehr") == []
        watched = WatchedDestination("ehr", timedelta(minutes=15), timedelta(minutes=15))
        facts = await feed_facts(engine, watched, datetime.now(UTC))
        assert (dict(facts.dead_letters), dict(facts.held_lanes)) == ({}, {})
        assert await open_work_of_each(engine, []) == []
        async with feed.serving():
            await asyncio.sleep(0.5)
        assert not receiver.messages


async def test_news_since_the_restore_that_waits_behind_it_goes(engine):
    async with fed(engine) as (feed, receiver):
        await feed.queue(1)
        ((study_id,),) = await rows(engine, "SELECT study_id FROM message")
        ((report_id,),) = await rows(engine, "SELECT report_id FROM report")
        await restored(feed)
        await asyncio.sleep(1.1)
        feed.account.sign(feed.account.open_addendum(report_id))
        await feed.tell(study_id)
        async with feed.serving():
            await feed.seen("held", "lane")
            await feed.until_rows("SELECT 1 FROM message", lambda found: len(found) == 2)
            assert not receiver.messages
            await feed.engine.do(partial(seen_there, "ehr", study_id, "seen", micros(clock.now())))
            await feed.all_delivered()
        assert len(receiver.messages) == 1


async def test_what_takes_something_back_is_not_closed_since_the_report_is_there(engine):
    async with fed(engine) as (feed, _):
        signed = await feed.sign(critical=False)
        held = "UPDATE outbox SET state = 'held', reason = 'may-have-been-sent', kind = 'withdrawn'"
        await engine.do(lambda: ask(Statement(held)))
        assert await leave(feed, signed) == (0, 0)
        assert [tuple(one) for one in await rows(engine, ROWS)] == [("held", "may-have-been-sent")]


async def test_what_is_held_for_another_reason_is_not_closed(engine):
    async with fed(engine, "ae") as (feed, _):
        signed = await feed.sign(critical=False)
        async with feed.serving():
            assert await feed.held_lane() == (signed.study_id, "refused")
        assert await leave(feed, signed) == (0, 0)
        assert [tuple(one) for one in await rows(engine, "SELECT reason FROM lane")] == [("refused",)]
        assert await feed.states() == ["held"]
