"""A report sent without its order, whose patient's number gives way before the order comes (D13, D48).

HL7 v2.5.1 §3.6.2.1 (the old number is never referenced in future transactions), §3.3.40 (A40)
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from fakes.er7_reader import field
from fakes.fed import bodies, fed, site
from fakes.merging import knowing
from fakes.moving import HELD, NEW, OLD, chart, merged, sent, told
from fakes.scale import EITHER_STORE
from fakes.stated_orders import ORDER

from gateway.ingest import map_study

pytestmark = pytest.mark.parametrize("engine", EITHER_STORE, indirect=True)


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


def placers(receiver):
    return [field(one, "OBR-2").partition("^")[0] for one in bodies(receiver)]


async def test_a_receiver_that_follows_merges_is_told_of_the_withdrawal_under_the_surviving_number(engine, orders):
    async with fed(engine, late_match="withdraw_restate") as (feed, receiver), feed.serving():
        [signed] = await sent(feed, 1)
        await merged(feed, [signed])
        orders.append(ORDER)
        await feed.pipeline.refresh(signed.study_id)
        await feed.until(*["delivered"] * 3)
        assert told(receiver) == [(OLD, "F"), (NEW, "W"), (NEW, "C")]
        assert placers(receiver) == ["", "", "PL-7"]
        assert len({field(one, "OBR-3") for one in bodies(receiver)}) == 1


async def test_an_order_that_comes_with_the_merge_is_sent_with_the_move_and_only_once(engine, orders):
    async with fed(engine, merge="move", late_match="withdraw_restate") as (feed, receiver), feed.serving():
        [signed] = await sent(feed, 1)
        orders.append(ORDER)
        await merged(feed, [signed])
        await feed.all_delivered()
        assert told(receiver)[:3] == [(OLD, "F"), (OLD, "W"), (NEW, "C")]
        assert chart(receiver) == [(field(bodies(receiver)[0], "OBR-3"), NEW)]
        assert placers(receiver)[-1] == "PL-7"


async def test_a_report_that_moved_by_a_merge_is_withdrawn_under_the_surviving_number(engine, orders):
    async with fed(engine, merge="move", late_match="withdraw_restate") as (feed, receiver), feed.serving():
        [signed] = await sent(feed, 1)
        await merged(feed, [signed])
        await feed.until(*["delivered"] * 3)
        orders.append(ORDER)
        await feed.pipeline.refresh(signed.study_id)
        await feed.until(*["delivered"] * 5)
        assert told(receiver) == [(OLD, "F"), (OLD, "W"), (NEW, "C"), (NEW, "W"), (NEW, "C")]


async def test_what_was_merged_before_the_setting_waits_and_is_withdrawn_under_the_number_that_was_told(engine, orders):
    async with fed(engine, late_match="withdraw_restate") as (feed, receiver):
        async with feed.serving():
            [signed] = await sent(feed, 1)
            await merged(feed, [signed])
        feed.restart(site(), merge="move", late_match="withdraw_restate")
        async with feed.serving():
            orders.append(ORDER)
            await feed.pipeline.refresh(signed.study_id)
            await feed.until_rows(
                HELD, lambda found: [tuple(one) for one in found] == [(signed.study_id, "merge-move")]
            )
            await feed.release(signed.study_id)
            await feed.until(*["delivered"] * 3)
        assert told(receiver) == [(OLD, "F"), (OLD, "W"), (NEW, "C")]
        assert placers(receiver)[-1] == "PL-7"
