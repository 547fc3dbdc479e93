"""An order that comes, or is cancelled, after the report was sent: told once, and sent again only where asked (D20)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from fakes.charts import generic
from fakes.composed import Composing, composing
from fakes.er7_reader import all_of, field
from fakes.fed import bodies, fed
from fakes.stated_orders import ORDER, StatedOrders, stating
from fakes.store import rows

from gateway.runtime import clock
from gateway.store.feed.alerts import WatchedDestination, feed_facts
from gateway.store.feed.order_news import not_sent_again, order_news_of
from mappings.model import HospitalMessageName, StatedVisit
from mappings.profile import Rule
from mappings.profile.rule import place_of

WATCHED = WatchedDestination("ehr", timedelta(1), timedelta(1))
NEWS = "SELECT code, outcome FROM order_news ORDER BY number"


@pytest.fixture
def stated(monkeypatch: pytest.MonkeyPatch) -> StatedOrders:
    """The hospital sends orders, and none for these studies."""
    return stating(monkeypatch, "no-order")


@asynccontextmanager
async def sent(engine: Any, **more: Any) -> AsyncIterator[tuple[Any, Any, Any]]:
    """Serve a destination that was sent a report; return the feed, the receiver and what was signed."""
    async with fed(engine, **more) as (feed, receiver), feed.serving():
        signed = await feed.sign(critical=False)
        await feed.until("delivered")
        yield feed, receiver, signed


def statuses(body: bytes) -> set[str]:
    """OBX-11 of a message."""
    return {row[11] for row in all_of(body, "OBX")}


async def settled(feed: Any, *expected: tuple[str, str]) -> None:
    await feed.until_rows(NEWS, lambda found: [tuple(one) for one in found] == list(expected))


async def test_an_order_that_comes_late_is_noted_and_nothing_is_sent(engine, stated):
    async with sent(engine) as (feed, _, signed):
        stated.orders = (ORDER,)
        await feed.pipeline.refresh(signed.study_id)
        await settled(feed, ("sent-without-order", "noted"))
        assert await feed.states() == ["delivered"]
        known = await feed_facts(engine, WATCHED, clock.now())
        assert list(known.without_order.values()) == [signed.study_id]
        later = await feed_facts(engine, WATCHED, clock.now() + timedelta(days=2))
        assert later.without_order == {}


async def test_an_order_that_comes_late_is_told_once(engine, stated):
    async with sent(engine) as (feed, _, signed):
        stated.orders = (ORDER,)
        for _ in range(2):
            await feed.pipeline.refresh(signed.study_id)
        stated.orders = ()
        await feed.pipeline.refresh(signed.study_id)
        stated.orders = (replace(ORDER, priority="S"),)
        await feed.pipeline.refresh(signed.study_id)
        await settled(feed, ("sent-without-order", "noted"))


async def test_where_it_is_asked_for_the_report_is_sent_once_more_under_its_own_number(engine, stated):
    async with sent(engine, late_match="restate") as (feed, receiver, signed):
        stated.orders = (ORDER,)
        await feed.pipeline.refresh(signed.study_id)
        await settled(feed, ("sent-without-order", "restated"))
        await feed.until("delivered", "delivered")
        await feed.pipeline.refresh(signed.study_id)
        first, second = bodies(receiver)
        assert field(first, "OBR-3") == field(second, "OBR-3")
        assert (field(first, "OBR-25"), field(second, "OBR-25")) == ("F", "C")
        assert field(first, "MSH-10") != field(second, "MSH-10")
        remarks = [str(one) for (one,) in await rows(engine, "SELECT remarks FROM message ORDER BY number")]
        assert ["sent-without-order" in one.split() for one in remarks] == [True, False]
        assert not (await feed_facts(engine, WATCHED, clock.now())).without_order
        [news] = await order_news_of(engine, [signed.study_id])
        assert (news.study_id, news.destination, news.outcome) == (signed.study_id, "ehr", "restated")


async def test_where_it_is_asked_for_the_report_is_withdrawn_first_and_then_sent_with_its_order(engine, stated):
    async with sent(engine, late_match="withdraw_restate") as (feed, receiver, signed):
        stated.orders = (ORDER,)
        await feed.pipeline.refresh(signed.study_id)
        await settled(feed, ("sent-without-order", "restated"))
        await feed.until("delivered", "delivered", "delivered")
        _, withdrawn, again = bodies(receiver)
        assert [field(one, "OBR-25") for one in bodies(receiver)] == ["F", "C", "C"]
        assert len({field(one, "OBR-3") for one in bodies(receiver)}) == 1
        assert (statuses(withdrawn), "W" in statuses(again)) == ({"W"}, False)
        feed.account.change_text(signed.report_id, "IMPRESSION: Other.")
        await feed.tell(signed.study_id)
        await feed.until(*["delivered"] * 4)
        assert field(bodies(receiver)[-1], "OBR-25") == "C"


async def test_what_never_left_is_not_withdrawn_before_it_is_sent_with_its_order(engine, stated):
    async with fed(engine, late_match="withdraw_restate") as (feed, receiver):
        await feed.queue(1)
        [(study_id,)] = await rows(engine, "SELECT study_id FROM message")
        async with feed.serving():
            stated.orders = (ORDER,)
            await feed.pipeline.refresh(str(study_id))
            await settled(feed, ("sent-without-order", "restated"))
            await feed.until("superseded", "queued")
            await feed.resume()
            await feed.until("superseded", "delivered")
        assert [field(one, "OBR-25") for one in bodies(receiver)] == ["F"]


async def test_nothing_is_sent_again_before_the_withdrawal_is_acknowledged(engine, stated):
    async with sent(engine, late_match="withdraw_restate") as (feed, receiver, signed):
        receiver.ack = "ae"
        stated.orders = (ORDER,)
        await feed.pipeline.refresh(signed.study_id)
        await settled(feed, ("sent-without-order", "restated"))
        assert await feed.held_lane() == (signed.study_id, "refused")
        assert {frozenset(statuses(one)) for one in bodies(receiver)[1:]} == {frozenset({"W"})}
        receiver.ack = "aa"
        await feed.release(signed.study_id)
        await feed.until("delivered", "delivered", "delivered")
        assert "W" not in statuses(bodies(receiver)[-1])


async def test_a_receiver_that_takes_no_withdrawal_holds_the_report_and_nothing_is_lost(engine, stated):
    void = replace(generic(), rules=(Rule("no-w", "block", "no W", place_of("OBX-11"), "not_be_one_of", ("W",)),))
    async with sent(engine, late_match="withdraw_restate", receiver=void) as (feed, _, signed):
        stated.orders = (ORDER,)
        await feed.pipeline.refresh(signed.study_id)
        await settled(feed, ("sent-without-order", "restated"))
        outbox = "SELECT state, reason FROM outbox ORDER BY number"
        await feed.until_rows(outbox, lambda found: tuple(found[-1]) == ("held", "rule-no-w"))
        assert await feed.states() == ["delivered"]
        await feed.release(signed.study_id)
        await feed.until_rows(outbox, lambda found: tuple(found[-1]) == ("held", "rule-no-w"))
        await feed.release(signed.study_id, is_corrected=True)
        await feed.until("delivered", "delivered")


async def test_a_report_is_not_withdrawn_where_it_could_not_be_sent_again(engine, stated):
    final = replace(generic(), rules=(Rule("no-c", "block", "no C", place_of("OBX-11"), "not_be_one_of", ("C",)),))
    async with sent(engine, late_match="withdraw_restate", receiver=final) as (feed, _, signed):
        stated.orders = (ORDER,)
        await feed.pipeline.refresh(signed.study_id)
        outbox = "SELECT state, reason FROM outbox ORDER BY number"
        await feed.until_rows(outbox, lambda found: tuple(found[-1]) == ("held", "rule-no-c"))
        assert await feed.states() == ["delivered"]


async def test_a_report_that_is_still_queued_is_replaced_by_the_one_with_its_order(engine, stated):
    async with fed(engine, late_match="restate") as (feed, receiver):
        await feed.queue(1)
        [(study_id,)] = await rows(engine, "SELECT study_id FROM message")
        async with feed.serving():
            stated.orders = (ORDER,)
            await feed.pipeline.refresh(str(study_id))
            await settled(feed, ("sent-without-order", "restated"))
            await feed.until("superseded", "queued")
            await feed.resume()
            await feed.until("superseded", "delivered")
        assert len(bodies(receiver)) == 1


async def test_a_critical_result_that_was_never_delivered_stays_critical_when_it_is_restated(engine, stated):
    async with fed(engine, late_match="restate") as (feed, _):
        await feed.pause()
        async with feed.serving():
            signed = await feed.sign(critical=True)
            await feed.until("queued")
            stated.orders = (ORDER,)
            await feed.pipeline.refresh(signed.study_id)
            await feed.until("superseded", "queued")
        found = await rows(engine, "SELECT is_critical, priority FROM message ORDER BY number")
        assert [tuple(one) for one in found] == [(1, 0)] * 2


async def test_an_order_that_comes_while_nothing_was_made_is_no_news(engine, stated):
    async with composing(engine, hold_until_matched=600.0) as here:
        signed = await one_composed(here)
        stated.orders = (ORDER,)
        await here.feed.pipeline.refresh(signed.study_id)
        await here.once()
        assert await rows(engine, NEWS) == []


async def test_a_report_sent_with_its_order_has_no_news_of_it(engine, stated):
    stated.orders = (ORDER,)
    async with composing(engine) as here:
        signed = await one_composed(here)
        stated.orders = ()
        await here.feed.pipeline.refresh(signed.study_id)
        stated.orders = (ORDER,)
        await here.feed.pipeline.refresh(signed.study_id)
        assert await rows(engine, NEWS) == []


async def one_composed(here: Composing) -> Any:
    signed = here.feed.account.sign_new(critical=False)
    await here.feed.tell(signed.study_id)
    await here.once()
    return signed


@pytest.mark.parametrize("late_match", ["note", "restate"])
async def test_an_order_cancelled_after_the_report_was_sent_is_an_alert_and_no_withdrawal(engine, stated, late_match):
    stated.orders = (ORDER,)
    async with sent(engine, late_match=late_match) as (feed, _, signed):
        stated.orders = (replace(ORDER, is_cancelled=True),)
        for _ in range(2):
            await feed.pipeline.refresh(signed.study_id)
        await settled(feed, ("order-cancelled-after-send", "noted"))
        assert await feed.states() == ["delivered"]
        known = await feed_facts(engine, WATCHED, clock.now())
        assert list(known.order_cancelled.values()) == [signed.study_id]


@pytest.mark.parametrize("late_match", ["note", "restate"])
async def test_a_visit_that_was_another_patients_is_an_alert_and_listed_until_the_report_is_sent_again(
    engine, stated, late_match
):
    told = HospitalMessageName("adt", "2")
    stated.orders = (replace(ORDER, visit=StatedVisit(location=("WARD",), message=told)),)
    async with sent(engine, late_match=late_match) as (feed, _, signed):
        stated.orders = (replace(ORDER, refused=(told,)),)
        for _ in range(2):
            await feed.pipeline.refresh(signed.study_id)
        await settled(feed, ("wrong-visit-sent", "noted"))
        assert await feed.states() == ["delivered"]
        assert list((await feed_facts(engine, WATCHED, clock.now())).wrong_visit.values()) == [signed.study_id]
        assert await not_sent_again(engine, "ehr", "wrong-visit-sent", 0) == [signed.study_id]
        assert await not_sent_again(engine, "other", "wrong-visit-sent", 0) == []
        feed.account.change_text(signed.report_id, "IMPRESSION: Other.")
        await feed.tell(signed.study_id)
        await feed.until("delivered", "delivered")
        assert await not_sent_again(engine, "ehr", "wrong-visit-sent", 0) == []


async def test_a_correction_after_the_order_was_cancelled_is_sent(engine, stated):
    stated.orders = (ORDER,)
    async with sent(engine) as (feed, _, signed):
        stated.orders = (replace(ORDER, is_cancelled=True),)
        feed.account.change_text(signed.report_id, "IMPRESSION: Other.")
        await feed.tell(signed.study_id)
        await feed.until("delivered", "delivered")


async def test_without_orders_there_is_never_any_news(engine):
    async with sent(engine) as (feed, _, signed):
        await feed.pipeline.refresh(signed.study_id)
        assert await rows(engine, NEWS) == []
        [(remarks,)] = await rows(engine, "SELECT remarks FROM message")
        assert "sent-without-order" not in str(remarks)
