"""What a destination that is new is told of what was taken in before it was there.

Decision D31: a start is mandatory, and of every signed report the ledger says what became of it.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from fakes.fed import Fed, bodies, destination, fed
from fakes.store import rows
from gateway.pipeline.catching_up import CatchingUp

from gateway.sandbox.seed import generate
from gateway.sandbox.state import State
from gateway.store.statements import Statement, ask

STATES = "SELECT destination, state, reason FROM outbox ORDER BY number"


async def test_reports_that_nobody_took_go_to_the_destination_that_takes_them_now(engine):
    async with fed(engine) as (feed, receiver):
        before = Fed(engine, feed.account, ())
        await before.sign()
        assert [tuple(row) for row in await rows(engine, STATES)] == [("", "unrouted", "")]
        async with feed.serving():
            await feed.until("delivered")
        assert len(bodies(receiver)) == 1
        assert [tuple(row) for row in await rows(engine, STATES)] == [
            ("", "merged", "routed-later"),
            ("ehr", "rendered", ""),
        ]


async def test_what_was_signed_before_the_start_stands_in_the_ledger_as_that(engine):
    late = replace(destination(1), start=datetime(2199, 1, 1, tzinfo=UTC))
    feed = Fed(engine, State(generate(studies=20)), (late,))
    await Fed(engine, feed.account, ()).sign()
    assert await CatchingUp(engine, late).once() == 1
    assert [tuple(row) for row in await rows(engine, STATES)] == [
        ("", "merged", "routed-later"),
        ("ehr", "before_start", ""),
    ]


async def test_nothing_is_routed_twice(engine):
    one = destination(1)
    feed = Fed(engine, State(generate(studies=20)), (one,))
    await feed.sign()
    assert await CatchingUp(engine, one).once() == 0
    assert await CatchingUp(engine, replace(one, start=datetime(2021, 1, 1, tzinfo=UTC))).once() == 0
    assert [tuple(row) for row in await rows(engine, STATES)] == [("ehr", "waiting", "")]


async def test_a_correction_that_others_took_in_without_the_destination_is_told_all_the_same(engine):
    async with fed(engine) as (feed, receiver):
        async with feed.serving():
            signed = await feed.sign()
            await feed.until("delivered")
        without = Fed(engine, feed.account, ())
        feed.account.change_text(signed.report_id, "FINDINGS: Another text.")
        await without.tell(signed.study_id)
        assert await CatchingUp(engine, feed.destinations[0]).again() == 1
        assert await CatchingUp(engine, feed.destinations[0]).again() == 0
        async with feed.serving():
            await feed.until("delivered", "delivered")
        assert b"Another text." in bodies(receiver)[-1]
        assert [tuple(row) for row in await rows(engine, STATES)] == [
            ("ehr", "rendered", ""),
            ("", "merged", "routed-later"),
            ("ehr", "rendered", ""),
        ]


async def test_a_study_that_cannot_be_read_holds_up_no_other(engine):
    one = destination(1)
    feed = Fed(engine, State(generate(studies=20)), ())
    first, second = await feed.sign(), await feed.sign()
    broken = Statement("UPDATE study SET kept = :kept WHERE study_id = :study_id")
    await engine.do(lambda: ask(broken, kept=b"no zlib", study_id=min(first.study_id, second.study_id)))
    assert await CatchingUp(engine, one).once() == 1
