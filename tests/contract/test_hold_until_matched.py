"""A report waits for its order and goes with it, or goes without it once the time is over (D48)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from fakes.charts import generic
from fakes.composed import Composing, composing
from fakes.fed import fed
from fakes.stated_orders import ORDER, StatedOrders, stating

from gateway.runtime import clock
from gateway.store.feed.alerts import WatchedDestination, feed_facts

WAITING = [("held", "order-awaited")]
_MINUTES = 60_000_000


@pytest.fixture
def stated(monkeypatch: pytest.MonkeyPatch) -> StatedOrders:
    """The hospital sends orders, and none for these studies."""
    return stating(monkeypatch, "no-order")


@asynccontextmanager
async def waiting(engine: Any, **more: Any) -> AsyncIterator[tuple[Composing, Any]]:
    """Sign a report that is not critical, for a destination that waits for orders, and compose once."""
    async with composing(engine, **{"hold_until_matched": 600.0, **more}) as here:
        signed = here.feed.account.sign_new(critical=False)
        await here.feed.tell(signed.study_id)
        await here.once()
        yield here, signed


async def later(here: Composing, minutes: int) -> None:
    """Let that time go by."""
    await here.write("UPDATE outbox SET decided = decided - :by, due = due - :by", by=minutes * _MINUTES)


async def test_a_report_without_its_order_is_held_and_sent_without_once_the_time_is_over(engine, stated):
    async with waiting(engine) as (here, _):
        assert await here.outbox() == WAITING
        await later(here, 9)
        assert await here.once() == 0
        assert await here.outbox() == WAITING
        await later(here, 1)
        assert await here.once() == 1
        [(state, remarks)] = await here.messages("state", "remarks")
        assert (state, "sent-without-order" in remarks.split()) == ("queued", True)


async def test_a_match_that_comes_earlier_releases_the_report_at_once(engine, stated):
    async with waiting(engine) as (here, signed):
        stated.orders = (ORDER,)
        await here.feed.pipeline.refresh(signed.study_id)
        assert await here.once() == 1
        [(state, remarks)] = await here.messages("state", "remarks")
        assert (state, "sent-without-order" in remarks.split()) == ("queued", False)


async def test_a_release_by_an_operator_ends_the_wait_at_once(engine, stated):
    async with waiting(engine) as (here, signed):
        stated.reason = "released"
        await here.feed.pipeline.refresh(signed.study_id)
        assert await here.once() == 1
        assert await here.messages("state") == [("queued",)]


async def test_a_correction_within_the_wait_does_not_begin_it_again(engine, stated):
    async with waiting(engine) as (here, signed):
        await later(here, 8)
        here.feed.account.change_text(signed.report_id, "IMPRESSION: Other.")
        await here.feed.tell(signed.study_id)
        await here.once()
        assert await here.outbox() == WAITING * 2
        await later(here, 2)
        assert await here.once() == 1
        assert sorted(await here.outbox()) == [("merged", ""), ("rendered", "")]
        assert "Other." in (await here.bodies())[0].decode()


async def test_a_correction_of_what_was_sent_without_its_order_does_not_wait(engine, stated):
    async with waiting(engine) as (here, signed):
        await later(here, 10)
        await here.once()
        await here.delivered()
        here.feed.account.change_text(signed.report_id, "IMPRESSION: Other.")
        await here.feed.tell(signed.study_id)
        assert await here.once() == 1
        assert [kind for (kind,) in await here.messages("kind")] == ["signed", "text_changed"]


async def test_a_critical_result_goes_at_once_also_one_that_became_critical_while_it_waited(engine, stated):
    async with waiting(engine) as (here, _):
        urgent = here.feed.account.sign_new(critical=True)
        await here.feed.tell(urgent.study_id)
        assert await here.once() == 1
        assert [study_id for (study_id,) in await here.messages("study_id")] == [urgent.study_id]
        assert await here.outbox() == [*WAITING, ("rendered", "")]


async def test_where_the_number_is_required_both_waits_begin_at_once(engine, stated):
    """Check that ten minutes for the order and an hour for the number are an hour together."""
    async with waiting(engine, receiver=generic(accession="required"), accession_wait=3600.0) as (here, _):
        watched = WatchedDestination("ehr", timedelta(1), timedelta(1), accession_after=timedelta(hours=1))
        assert await here.outbox() == WAITING
        await later(here, 10)
        await here.once()
        assert await here.outbox() == [("held", "accession-missing")]
        await later(here, 49)
        assert not (await feed_facts(here.engine, watched, clock.now())).held_rows
        await later(here, 1)
        assert len((await feed_facts(here.engine, watched, clock.now())).held_rows) == 1


async def test_a_report_that_waits_for_its_order_is_no_alert(engine, stated):
    async with waiting(engine) as (here, _):
        watched = WatchedDestination("ehr", timedelta(1), timedelta(1))
        known = await feed_facts(here.engine, watched, clock.now())
        assert (known.held_rows, known.critical_blocked) == ({}, {})


@pytest.mark.parametrize("switch", [{"accession": "required"}, {"placer_required": "on"}])
async def test_a_critical_result_that_lacks_a_required_number_is_an_alert_at_once(engine, stated, switch):
    watched = WatchedDestination("ehr", timedelta(1), timedelta(1))
    async with composing(engine, hold_until_matched=600.0, receiver=generic(**switch)) as here:
        urgent = here.feed.account.sign_new(critical=True)
        await here.feed.tell(urgent.study_id)
        await here.once()
        assert [state for state, _ in await here.outbox()] == ["held"]
        assert not (await feed_facts(here.engine, watched, clock.now())).critical_blocked
        await here.write(
            "INSERT INTO order_match (study_id, verdict, reason, orders, since)"
            " VALUES (:id, 'none', 'no-order', '[]', 1)",
            id=urgent.study_id,
        )
        blocked = (await feed_facts(here.engine, watched, clock.now())).critical_blocked
        assert list(blocked.values()) == [urgent.study_id]


async def test_a_report_whose_order_was_cancelled_before_it_was_sent_is_held_until_somebody_decides(engine, stated):
    stated.orders = (replace(ORDER, is_cancelled=True),)
    async with waiting(engine, hold_until_matched=0.0) as (here, signed):
        assert await here.outbox() == [("held", "order-cancelled")]
        await later(here, 10_000)
        assert await here.once() == 0
        watched = WatchedDestination("ehr", timedelta(1), timedelta(1))
        assert len((await feed_facts(here.engine, watched, clock.now())).held_rows) == 1
        stated.orders, stated.reason = (), "released"
        await here.feed.pipeline.refresh(signed.study_id)
        assert await here.once() == 1


async def test_a_critical_result_whose_order_was_cancelled_is_sent(engine, stated):
    stated.orders = (replace(ORDER, is_cancelled=True),)
    async with composing(engine) as here:
        urgent = here.feed.account.sign_new(critical=True)
        await here.feed.tell(urgent.study_id)
        assert await here.once() == 1
        assert await here.messages("state") == [("queued",)]


async def test_a_shorter_wait_in_the_settings_ends_the_waits_that_it_finds(engine, stated):
    async with waiting(engine) as (here, _):
        here.feed.restart(here.feed.settings or here.feed.pipeline.settings.site, hold_until_matched=0.0)
        assert await here.once() == 1


async def test_the_wait_ends_by_itself_while_the_destination_is_served(engine, stated):
    async with fed(engine, hold_until_matched=1.5) as (feed, _), feed.serving():
        await feed.sign(critical=False)
        outbox = "SELECT state, reason FROM outbox"
        await feed.until_rows(outbox, lambda found: [tuple(one) for one in found] == WAITING)
        await feed.until("delivered")
