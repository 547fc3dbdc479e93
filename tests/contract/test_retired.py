"""Nothing is queued for a destination that was retired, also while its table is in the settings (D31, D37, D48)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from fakes.fed import Fed, bodies, fed, site
from fakes.in_force import plan_applied
from fakes.merging import knowing
from fakes.moving import OLD, PERSON, merged, sent, sign, told
from fakes.scale import EITHER_STORE
from fakes.stated_orders import ORDER
from fakes.store import rows

from gateway.feed.loops import SettingsWatch
from gateway.feed.operator.pausing import close
from gateway.ingest import map_study
from gateway.routing import Routes
from gateway.runtime.metrics import Metrics
from gateway.settings.feed import Feed
from gateway.store.feed.leases import Leases

OUTBOX = "SELECT state FROM outbox ORDER BY number"
NEWS = "SELECT code, outcome FROM order_news ORDER BY number"

pytestmark = pytest.mark.parametrize("engines", EITHER_STORE, indirect=True)


@pytest.fixture
def orders(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Orders that every study answers from its next ingest on; all ingests know the merges in the store."""
    made: list[Any] = []
    meet = map_study.meet_orders

    def met(*about: Any) -> Any:
        facts, match = meet(*about)
        return replace(facts, orders=tuple(made), order_reason="" if made else "no-order"), match

    monkeypatch.setattr(map_study, "meet_orders", met)
    with knowing(site()):
        yield made


async def off(feed: Fed) -> None:
    """Let the service run with `enabled = false` in the destination's table, as long as one look at the settings."""
    feed.restart(site(), is_enabled=False)
    leases = Leases(feed.engine, "watch", 6.0)
    await SettingsWatch(feed.engine, Routes(tuple(feed.destinations)), Feed(), Metrics(), leases).once()


async def states(engine: Any) -> list[str]:
    return [str(state) for (state,) in await rows(engine, OUTBOX)]


async def test_a_merge_queues_nothing_for_it_although_its_table_is_still_there_and_disabled(engine, orders):
    async with fed(engine, merge="move") as (feed, receiver):
        async with feed.serving():
            [signed] = await sent(feed, 1)
        await off(feed)
        await close(engine, "ehr", "gone")
        await off(feed)
        await merged(feed, [signed])
        assert await states(engine) == ["rendered"]
        assert told(receiver) == [(OLD, "F")]


async def test_another_patient_of_a_report_that_it_has_queues_nothing_for_it(engine, orders):
    async with fed(engine, merge="move") as (feed, _):
        async with feed.serving():
            [signed] = await sent(feed, 1)
        await off(feed)
        await close(engine, "ehr", "gone")
        await off(feed)
        feed.account.change_patient(signed.report_id, {**PERSON, "mrn": "SBXGEN-4712-0001", "patientName": "Rick Roe"})
        await feed.tell(signed.study_id)
        assert {"waiting", "held", "planned", "to_stop"}.isdisjoint(await states(engine))


@pytest.mark.parametrize("late_match", ["note", "restate", "withdraw_restate"])
async def test_an_order_that_comes_late_waits_for_nobody(engine, orders, late_match):
    async with fed(engine, late_match=late_match) as (feed, _):
        async with feed.serving():
            first, second = await sent(feed, 2)
        await off(feed)
        orders.append(ORDER)
        await feed.pipeline.refresh(first.study_id)
        assert await rows(engine, NEWS) == [("sent-without-order", "open")]
        await close(engine, "ehr", "gone")
        await off(feed)
        await feed.pipeline.refresh(second.study_id)
        assert await rows(engine, NEWS) == [("sent-without-order", "noted")]
        assert await states(engine) == ["rendered", "rendered"]


async def test_once_it_is_enabled_again_what_happens_from_then_on_counts(engine, orders):
    async with fed(engine, merge="move", late_match="restate") as (feed, receiver):
        async with feed.serving():
            await sent(feed, 1)
        await off(feed)
        await close(engine, "ehr", "gone")
        feed.restart(site(), is_enabled=True)
        await plan_applied(engine, feed.destinations[0])
        async with feed.serving():
            signed = await sign(feed)
            await feed.until("delivered", "delivered")
            orders.append(ORDER)
            await feed.pipeline.refresh(signed.study_id)
            await feed.until(*["delivered"] * 3)
        await off(feed)
        await merged(feed, [signed])
        assert "waiting" in await states(engine)
        assert len(bodies(receiver)) == 3
