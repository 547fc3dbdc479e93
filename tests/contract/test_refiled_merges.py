"""A report sent without its order, whose patient's number gives way before the order comes (D13, D48).

HL7 v2.5.1 §3.6.2.1 (the old number is never referenced in future transactions), §3.3.40 (A40)
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from fakes.composed import composing
from fakes.er7_reader import all_of, field
from fakes.fed import bodies, fed, site
from fakes.merging import knowing
from fakes.moving import HELD, LAST, NEW, OLD, PERSON, chart, merged, number, sent, sign, told
from fakes.scale import EITHER_STORE
from fakes.stated_orders import ORDER

from gateway.ingest import map_study
from gateway.routing import Filter
from gateway.runtime import clock
from gateway.store.database.engine import micros
from gateway.store.feed.order_news import open_news, settle_news

pytestmark = pytest.mark.parametrize("engines", EITHER_STORE, indirect=True)

SOMEBODY = {"mrn": LAST, "patientName": "Rick Roe", "dateOfBirth": "1931-01-31", "sex": "male"}


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
    """Return the placer order number of each message, empty without an order."""
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


async def test_an_order_that_comes_with_the_merge_is_sent_with_the_move_and_nothing_is_withdrawn_twice(engine, orders):
    async with fed(engine, merge="move", late_match="withdraw_restate") as (feed, receiver), feed.serving():
        [signed] = await sent(feed, 1)
        orders.append(ORDER)
        await merged(feed, [signed])
        await feed.until_rows("SELECT outcome FROM order_news", lambda found: [one for (one,) in found] == ["restated"])
        await feed.all_delivered()
        assert told(receiver)[:3] == [(OLD, "F"), (OLD, "W"), (NEW, "C")]
        assert set(told(receiver)[3:]) <= {(NEW, "C")}
        assert placers(receiver) == ["", "", *["PL-7"] * (len(bodies(receiver)) - 2)]
        assert chart(receiver) == [(field(bodies(receiver)[0], "OBR-3"), NEW)]


async def test_a_report_that_moved_by_a_merge_is_withdrawn_under_the_surviving_number(engine, orders):
    async with fed(engine, merge="move", late_match="withdraw_restate") as (feed, receiver), feed.serving():
        [signed] = await sent(feed, 1)
        await merged(feed, [signed])
        await feed.until(*["delivered"] * 3)
        orders.append(ORDER)
        await feed.pipeline.refresh(signed.study_id)
        await feed.until(*["delivered"] * 5)
        assert told(receiver) == [(OLD, "F"), (OLD, "W"), (NEW, "C"), (NEW, "W"), (NEW, "C")]
        assert placers(receiver) == ["", "", "", "", "PL-7"]


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
        assert placers(receiver) == ["", "", "PL-7"]


@pytest.mark.parametrize("is_released_before", [True, False])
async def test_what_is_released_is_withdrawn_without_the_order_where_the_setting_was_taken_back_before_it_went(
    engine, orders, is_released_before
):
    async with fed(engine, late_match="withdraw_restate") as (feed, receiver):
        signed = await waiting_for_an_operator(feed, orders)
        if is_released_before:
            await feed.release(signed.study_id)
        feed.restart(site(), merge="follow", late_match="withdraw_restate")
        if not is_released_before:
            await feed.release(signed.study_id)
        async with feed.serving():
            await feed.until(*["delivered"] * 3)
        assert told(receiver) == [(OLD, "F"), (NEW, "W"), (NEW, "C")]
        assert placers(receiver) == ["", "", "PL-7"]


async def test_an_order_that_was_noted_before_the_merge_is_not_in_the_withdrawal(engine, orders):
    async with fed(engine, merge="move", late_match="note") as (feed, receiver), feed.serving():
        [signed] = await sent(feed, 1)
        orders.append(ORDER)
        await feed.pipeline.refresh(signed.study_id)
        await merged(feed, [signed])
        await feed.until(*["delivered"] * 3)
        assert told(receiver) == [(OLD, "F"), (OLD, "W"), (NEW, "C")]
        assert placers(receiver) == ["", "", "PL-7"]


async def test_an_order_that_comes_while_the_move_waits_is_sent_with_it_and_not_in_the_withdrawal(engine, orders):
    finals = replace(Filter(), statuses=frozenset({"final"}))
    async with fed(engine, merge="move", late_match="withdraw_restate", filter=finals) as (feed, receiver):
        async with feed.serving():
            [signed] = await sent(feed, 1)
            await merged(feed, [signed])
            await feed.until_rows(HELD, lambda found: len(found) == 1)
            orders.append(ORDER)
            await feed.pipeline.refresh(signed.study_id)
            await feed.until_rows(HELD, lambda found: [reason for _, reason in found] == ["merge-move"] * 2)
            await feed.release(signed.study_id)
            await feed.until(*["delivered"] * 3)
        assert told(receiver) == [(OLD, "F"), (OLD, "W"), (NEW, "C")]
        assert placers(receiver) == ["", "", "PL-7"]


@pytest.mark.parametrize("addendum", ["new_order", pytest.param("replace", marks=pytest.mark.soak)])
async def test_an_addendum_that_is_signed_meanwhile_waits_with_its_report_and_is_not_withdrawn(
    engine, orders, addendum
):
    async with fed(engine, late_match="withdraw_restate", addendum=addendum) as (feed, receiver):
        signed = await waiting_for_an_operator(feed, orders)
        async with feed.serving():
            later = feed.account.sign(feed.account.open_addendum(signed.report_id))
            feed.account.change_patient(later.report_id, {**PERSON, "mrn": OLD})
            await feed.tell(signed.study_id)
            await feed.until_rows(HELD, lambda found: [reason for _, reason in found] == ["merge-move"] * 2)
            await feed.release(signed.study_id)
            await feed.all_delivered()
        own = [(NEW, "F")] if addendum == "new_order" else []
        assert told(receiver) == [(OLD, "F"), (OLD, "W"), (NEW, "C"), *own]
        assert placers(receiver) == ["", "", "PL-7", *["PL-7"] * len(own)]


async def test_where_the_chart_was_corrected_by_hand_the_report_goes_with_its_order_and_without_a_withdrawal(
    engine, orders
):
    async with fed(engine, late_match="withdraw_restate") as (feed, receiver):
        signed = await waiting_for_an_operator(feed, orders)
        async with feed.serving():
            await feed.release(signed.study_id, is_corrected=True)
            await feed.until("delivered", "delivered")
        assert told(receiver) == [(OLD, "F"), (NEW, "C")]
        assert placers(receiver) == ["", "PL-7"]


async def test_a_report_that_moves_to_somebody_else_and_waits_is_withdrawn_without_the_order(engine, orders):
    async with fed(engine, late_match="withdraw_restate") as (feed, receiver), feed.serving():
        [signed] = await sent(feed, 1)
        feed.account.change_patient(signed.report_id, SOMEBODY)
        await feed.tell(signed.study_id)
        await feed.until_rows(HELD, bool)
        orders.append(ORDER)
        await feed.pipeline.refresh(signed.study_id)
        await feed.until_rows(HELD, lambda found: len(found) == 2)
        await feed.release(signed.study_id)
        await feed.until(*["delivered"] * 3)
        assert told(receiver) == [(OLD, "F"), (OLD, "W"), (LAST, "C")]
        assert placers(receiver) == ["", "", "PL-7"]


async def test_a_report_that_moved_since_it_was_sent_with_its_order_is_withdrawn_with_it_once_released(engine, orders):
    async with composing(engine, merge="move", late_match="withdraw_restate") as here:
        signed = await sign(here.feed)
        await made_and_sent(here)
        orders.append(ORDER)
        await merged(here.feed, [signed])
        await made_and_sent(here)
        [news] = await open_news(engine, "ehr")
        await engine.do(partial(settle_news, here.lease, news, "withdraw_restate", micros(clock.now())))
        here.feed.account.change_patient(signed.report_id, SOMEBODY)
        await here.feed.tell(signed.study_id)
        await here.once()
        assert [one for one in await here.outbox() if one[0] == "held"] == [("held", "move")] * 2
        await here.feed.release(signed.study_id)
        await here.once()
        assert {state for state, _ in await here.outbox()} <= {"rendered", "merged"}
        sent_of = [patient_and_placer(one) for one in await here.bodies()]
        assert sent_of[:3] == [(OLD, "F", ""), (OLD, "W", ""), (NEW, "C", "PL-7")]
        assert sent_of[3] == (NEW, "W", "PL-7")
        assert sent_of[4:] and set(sent_of[4:]) == {(LAST, "C", "PL-7")}


async def test_what_was_sent_with_the_order_before_another_report_was_sent_without_is_withdrawn_with_it(engine, orders):
    orders.append(ORDER)
    async with fed(engine, late_match="withdraw_restate", addendum="new_order") as (feed, receiver), feed.serving():
        [signed] = await sent(feed, 1)
        orders.clear()
        later = feed.account.sign(feed.account.open_addendum(signed.report_id))
        feed.account.change_patient(later.report_id, {**PERSON, "mrn": OLD})
        await feed.tell(signed.study_id)
        await feed.until("delivered", "delivered")
        orders.append(ORDER)
        await feed.pipeline.refresh(signed.study_id)
        await feed.until(*["delivered"] * 6)
        first, second = (field(one, "OBR-3") for one in bodies(receiver)[:2])
        assert first != second
        made = {(field(one, "OBR-3"), *patient_and_placer(one)) for one in bodies(receiver)}
        assert {told_of[2:] for told_of in made if told_of[0] == first} == {(code, "PL-7") for code in "FWC"}
        assert {told_of[2:] for told_of in made if told_of[0] == second} == {("F", ""), ("W", ""), ("C", "PL-7")}


async def test_what_was_refused_without_the_order_is_withdrawn_without_it(engine, orders):
    async with fed(engine, "ae", late_match="withdraw_restate") as (feed, receiver), feed.serving():
        signed = await sign(feed)
        await feed.held_lane()
        orders.append(ORDER)
        await feed.pipeline.refresh(signed.study_id)
        await feed.until("superseded", "held", "held")
        receiver.ack = "aa"
        await feed.release(signed.study_id)
        await feed.until("superseded", "delivered", "delivered")
        assert [patient_and_placer(one) for one in bodies(receiver)] == [
            (OLD, "F", ""),
            *[(OLD, "W", "")] * 2,
            (OLD, "F", "PL-7"),
        ]


async def made_and_sent(here):
    """Compose what waits, and have all of it delivered."""
    await here.once()
    while heads := await here.claimed():
        await here.settled(heads)


def patient_and_placer(body):
    """Return the patient number of a message, the OBX-11 of its texts, and its placer order number."""
    codes = "".join(sorted({row[11] for row in all_of(body, "OBX")}))
    return number(body), codes, field(body, "OBR-2").partition("^")[0]


async def waiting_for_an_operator(feed, orders):
    """Have a report that was merged before `merge = "move"` wait as `merge-move`, since its order has come."""
    async with feed.serving():
        [signed] = await sent(feed, 1)
        await merged(feed, [signed])
    feed.restart(site(), merge="move", late_match="withdraw_restate")
    async with feed.serving():
        orders.append(ORDER)
        await feed.pipeline.refresh(signed.study_id)
        await feed.until_rows(HELD, lambda found: [tuple(one) for one in found] == [(signed.study_id, "merge-move")])
    return signed
