"""Work that waits to be sent is counted, and a trial is rolled back (D37)."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial

from fakes.fed import fed
from fakes.store import rows

from gateway.runtime import clock
from gateway.store.database.engine import Statement, ask, micros
from gateway.store.feed.leases import paused
from gateway.store.feed.outbox import BackloadSpan, ToSend, queue_backload, to_backload, to_send, tried

LATER = datetime(2090, 1, 1, tzinfo=UTC)
END = micros(datetime(2100, 1, 1, tzinfo=UTC))


async def test_what_is_queued_and_what_is_to_be_made_is_counted_of_all_studies_and_of_one(engine):
    async with fed(engine) as (feed, _):
        await feed.queue(2)
        signed = await feed.sign(critical=True)
        total = await tried(engine, partial(to_send, "ehr"))
        assert (total.messages, total.critical) == (3, 1)
        moments = await rows(engine, "SELECT min(signed), max(signed) FROM outbox")
        assert (total.oldest, total.newest) == moments[0]
        assert (await tried(engine, partial(to_send, "ehr", signed.study_id))).messages == 1
        assert await tried(engine, partial(to_send, "his")) == ToSend()


async def test_what_is_tried_has_its_result_and_leaves_nothing(engine):
    assert await tried(engine, partial(paused, "ehr", "by hand", 1)) is True
    assert await rows(engine, "SELECT name FROM destination") == []


async def test_a_backload_counts_what_it_would_send_and_of_what_is_missing_only_that(engine):
    async with fed(engine, start=LATER) as (feed, _):
        first, second = await feed.sign(critical=True), await feed.sign(critical=False)
        span, missing = BackloadSpan("ehr", 0, END, 1), BackloadSpan("ehr", 0, END, 1, missing=True)
        both = await to_backload(engine, span)
        assert (both.messages, both.reports, both.studies, both.critical) == (2, 2, 2, 1)
        assert await to_backload(engine, missing) == both
        assert await engine.do(partial(queue_backload, BackloadSpan("ehr", 0, END, 1), micros(clock.now()), 1)) == (
            1,
            1,
        )
        async with feed.serving():
            await feed.until("delivered")
        again = "UPDATE outbox SET state = 'before_start'"
        await engine.do(lambda: ask(Statement(again)))
        assert (await to_backload(engine, missing)).messages == 1
        assert await engine.do(partial(queue_backload, missing, micros(clock.now()), 5)) == (1, 1)
        waiting = "SELECT study_id FROM outbox WHERE state = 'waiting'"
        told = await rows(engine, "SELECT study_id FROM message")
        assert {*await rows(engine, waiting), *told} == {(first.study_id,), (second.study_id,)}


def test_together_they_are_as_many_and_as_old_as_both():
    one, other = ToSend(1, 1, 5, 7, 2, 1), ToSend(2, 0, None, None)
    assert one + other == ToSend(3, 1, 5, 7, 2, 1)
    assert one + ToSend(0, 0, 2, 9) == ToSend(1, 1, 2, 9, 2, 1)
