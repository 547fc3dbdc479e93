"""Decision D48: what hospitals sent is deleted once it serves no more, and the deletion is in the audit."""

from __future__ import annotations

import json
from datetime import timedelta
from functools import partial

import pytest
from fakes.hospital_source import Hospital, merging, ordering, visiting
from fakes.met import STUDY, matching, read
from fakes.store import rows
from structlog.testing import capture_logs

from gateway.ingest.orders import loops
from gateway.ingest.orders.loops import OrderRetention
from gateway.runtime import clock
from gateway.store.database.engine import Statement, ask
from gateway.store.orders.matches import StoredDecision, decide
from gateway.store.orders.numbers import key_text, number_text, put_study_keys
from mappings.hospital.authorities import HospitalNumber, OrderKey

ACCESSION = key_text(OrderKey("accession", "urn:oid:1.2.2", "A1"))
PATIENT = number_text(HospitalNumber("patient", "urn:oid:1.2.1", "MR", "4711"))


class Later:
    """Clock that can be set forward."""

    def __init__(self, monkeypatch) -> None:
        self._now, self.days = clock.now, 0.0
        monkeypatch.setattr(clock, "now", lambda: self._now() + timedelta(days=self.days))


@pytest.fixture
def later(monkeypatch):
    return Later(monkeypatch)


@pytest.fixture
def his(engine):
    return Hospital(engine)


async def left(his):
    tables = ("inbound", "inbound_key", "hospital_order", "order_key", "visit")
    return [int((await rows(his.engine, f"SELECT COUNT(*) FROM {table}"))[0][0]) for table in tables]


async def test_messages_go_after_a_week_and_what_they_said_stays(his, later):
    await his.sends(ordering(), visiting(control_id="2"), merging("7", "8", control_id="3"))
    before = await left(his)
    retention = OrderRetention(his.engine, his.metrics, ["city-his"])
    later.days = 6.9
    await retention.once()
    assert await left(his) == before
    later.days = 7.1
    await retention.once()
    assert await left(his) == [0, 0, *before[2:]]


async def test_what_was_not_applied_stays_for_ninety_days_and_a_held_message_loses_its_bytes(his, later):
    await his.sends(merging("7", "7"), ordering())
    await his.engine.do(lambda: ask(Statement("UPDATE inbound SET state = 'failed'")))
    await his.sends(merging("9", "9", control_id="4"))
    later.days = 8
    await OrderRetention(his.engine, his.metrics, ["city-his"]).once()
    assert await his.bodies() == [True, True, False]
    later.days = 91
    await OrderRetention(his.engine, his.metrics, ["city-his"]).once()
    assert await his.bodies() == []
    audited = await rows(his.engine, "SELECT argument FROM audit WHERE verb = 'orders-deleted'")
    assert ("3 hospital messages that were not applied",) in audited


async def test_an_order_without_a_study_goes_after_ninety_days_with_its_visit(his, later):
    await his.engine.do(lambda: put_study_keys("stu_9", [PATIENT]))  # a study of the same patient
    await his.sends(ordering())
    later.days = 89
    await OrderRetention(his.engine, his.metrics, ["city-his"]).once()
    assert (await left(his))[2] == 1
    later.days = 91
    await OrderRetention(his.engine, his.metrics, ["city-his"]).once()
    assert await left(his) == [0, 0, 0, 0, 0]
    audited = await rows(his.engine, "SELECT argument, reason FROM audit WHERE verb = 'orders-deleted'")
    assert audited == [("1 hospital orders without a study", "retention"), ("1 visits without an order", "retention")]


async def test_an_order_that_is_heard_of_again_stays_longer(his, later):
    await his.sends(ordering())
    later.days = 80
    await his.sends(ordering("XO", accession="A2", control_id="2", minute=5))
    later.days = 100
    await OrderRetention(his.engine, his.metrics, ["city-his"]).once()
    assert (await left(his))[2] == 1


@pytest.mark.parametrize("how", ["key", "match", "sent", "verdict"])
async def test_an_order_stays_as_long_as_a_study_has_it(his, later, how):
    await his.sends(ordering())
    (order,) = await his.orders()
    orders = json.dumps([order.number])
    if how == "key":
        await his.engine.do(lambda: put_study_keys("stu_1", [ACCESSION]))
    elif how in {"match", "sent"}:
        column = "orders, sent_orders" if how == "match" else "sent_orders, orders"
        insert = (
            f"INSERT INTO order_match (study_id, verdict, reason, since, {column}) VALUES (:id, '', '', 1, :o, '[]')"
        )
        await his.engine.do(lambda: ask(Statement(insert), id="stu_1", o=orders))
    else:
        insert = (
            "INSERT INTO order_verdict (study_id, verdict, orders, reason, decided) VALUES (:id, 'match', :o, '', 1)"
        )
        await his.engine.do(lambda: ask(Statement(insert), id="stu_1", o=orders))
    later.days = 400
    await OrderRetention(his.engine, his.metrics, ["city-his"]).once()
    assert (await left(his))[2:] == [1, 6, 1]


async def test_an_order_that_an_operator_gives_to_a_study_while_old_ones_are_deleted_stays(his, later, monkeypatch):
    await read(matching(his.engine), "A7", mrn="81234")
    await his.sends(ordering(), ordering(placer="P2", accession="A2", control_id="2"))
    given, other = await his.orders()
    found = loops.matched_orders

    async def found_before_the_decision(engine):
        matched = await found(engine)
        decision = StoredDecision(STUDY, "match", (given.number,), "", 1)
        assert await engine.do(partial(decide, decision))
        return matched

    monkeypatch.setattr(loops, "matched_orders", found_before_the_decision)
    later.days = 91
    await OrderRetention(his.engine, his.metrics, ["city-his"]).once()
    assert [one.number for one in await his.orders()] == [given.number]
    decision = StoredDecision(STUDY, "match", (other.number,), "", 1)
    assert not await his.engine.do(partial(decide, decision))


async def test_what_waits_for_a_source_without_settings_is_reported_and_stays_for_ninety_days(his, later):
    await his.stores(ordering(), ordering(control_id="2"))
    later.days = 89
    with capture_logs() as logs:
        await OrderRetention(his.engine, his.metrics, ["other"]).once()
    reported = [(one["source"], one["count"]) for one in logs if one["event"] == "order-source-gone"]
    assert (reported, len(await his.states())) == ([("city-his", 2)], 2)
    later.days = 91
    await OrderRetention(his.engine, his.metrics, ["city-his"]).once()
    assert len(await his.states()) == 2
    await OrderRetention(his.engine, his.metrics, []).once()
    assert await his.states() == []
    noted = await rows(his.engine, "SELECT argument FROM audit WHERE verb = 'orders-deleted'")
    assert [str(one) for (one,) in noted] == ["2 hospital messages of sources without settings"]
