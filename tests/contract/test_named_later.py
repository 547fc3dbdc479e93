"""Decision D48: an order first sent with its accession number alone is the order that has an order number later."""

from __future__ import annotations

from dataclasses import replace

import pytest
from fakes.hospital_source import Hospital, hl7, hospital_source, msh, ordering
from fakes.met import carry_out, match_of, matching, placers, read
from fakes.scale import EITHER_STORE

pytestmark = pytest.mark.parametrize("engine", EITHER_STORE, indirect=True)

BARE = ordering(placer="")


@pytest.fixture
def his(engine):
    return Hospital(engine)


async def known(his):
    """Return placer and filler order number of each order, and how it ended."""
    orders = [one.order for one in await his.orders()]
    return [(one.placer and one.placer.value, one.filler and one.filler.value, one.ended) for one in orders]


async def test_a_report_answers_one_order_once_its_placer_number_is_known(his):
    pipeline = matching(his.engine)
    await his.sends(BARE)
    await read(pipeline)
    assert await placers(his.engine) == [""]
    assert (await his.sends(ordering("XO", control_id="2", minute=1)))[-1] == ("applied", "")
    await carry_out(his.engine, pipeline)
    assert await placers(his.engine) == ["P1"]
    assert await match_of(his.engine) == ("matched", "", [1])


async def test_later_messages_by_either_number_find_the_one_order(his):
    await his.sends(BARE, ordering(control_id="2", minute=1))
    await his.sends(ordering("XO", placer="", control_id="3", minute=2).replace(b"CTHEAD", b"CTNECK"))
    await his.sends(ordering("OK", filler="F1", control_id="4", minute=3, accession=""))
    await his.sends(ordering("XX", placer="", filler="F1", control_id="5", minute=4))
    assert await known(his) == [("P1", "F1", "")]
    assert await his.sends(ordering("CA", placer="", control_id="6", minute=5)) == [("applied", "")] * 6
    assert await known(his) == [("P1", "F1", "cancelled")]


@pytest.mark.parametrize("control", ["XO", "XX", "NA", "OK", "CA"])
async def test_any_event_with_an_order_number_finds_the_order_that_had_none(his, control):
    await his.sends(BARE, ordering(control, filler="F1", control_id="2", minute=1))
    assert await known(his) == [("P1", "F1", "cancelled" if control == "CA" else "")]


async def test_the_fillers_order_gets_its_placer_number_by_the_accession_number(his):
    await his.sends(ordering("SN", placer="", filler="F1"), ordering(control_id="2", minute=1))
    assert await known(his) == [("P1", "F1", "")]


async def test_an_older_message_that_arrives_later_brings_the_number_and_changes_nothing_else(his):
    late = ordering(control_id="2", minute=1).replace(b"CTHEAD^CT Head", b"OLD^Old")
    await his.sends(ordering(placer="", minute=5), late)
    (stored,) = await his.orders()
    assert (stored.order.placer.value, stored.order.procedure.code) == ("P1", "CTHEAD")


async def test_a_second_order_under_the_accession_number_stays_a_second_order(his):
    await his.sends(BARE, ordering(control_id="2", minute=1), ordering(placer="P2", control_id="3", minute=2))
    assert await known(his) == [("P1", None, ""), ("P2", None, "")]
    ended = ordering("CA", placer="", control_id="4", minute=3)
    assert (await his.sends(ended))[-1] == ("held", "order-ambiguous")


async def test_orders_that_one_message_tells_apart_are_two(his):
    both = hl7(
        msh(control_id="2", minute=1),
        "PID|1||4711^^^CITY^MR||DOE^JANE||19850720|F",
        "ORC|NW|P1",
        "OBR|1|P1||CTHEAD^CT Head||||||||||||||A1",
        "ORC|NW",
        "OBR|2|||CTNECK^CT Neck||||||||||||||A1",
    )
    await his.sends(BARE, both)
    assert await known(his) == [(None, None, ""), ("P1", None, "")]


@pytest.mark.parametrize(
    ("first", "later"),
    [
        (BARE, ordering(mrn="4712", control_id="2", minute=1)),
        (BARE, ordering(accession="A2", control_id="2", minute=1)),
        (BARE, ordering(control_id="2", minute=1).replace(b"DOE^JANE||19850720|F", b"ROE^RICK||19310131|M")),
        (BARE, ordering(control_id="2").replace(b"20260105", b"20280105")),
        (ordering(placer="", filler="F1"), ordering(filler="F2", control_id="2", minute=1)),
        (ordering(placer="P9^OTHERHIS"), ordering(control_id="2", minute=1)),
    ],
    ids=["patient", "accession", "person", "time", "filler", "unread"],
)
async def test_what_contradicts_stays_two_orders(his, first, later):
    assert [state for state, _ in await his.sends(first, later)] == ["applied"] * 2
    assert [one.order.placer is None for one in await his.orders()] == [True, False]


async def test_of_several_orders_without_a_placer_number_none_is_chosen(his):
    fillers = [ordering("SN", placer="", filler=one, control_id=one) for one in ("F1", "F2")]
    await his.sends(*fillers, ordering(control_id="3", minute=1))
    assert await known(his) == [(None, "F1", ""), (None, "F2", ""), ("P1", None, "")]


async def test_an_order_that_was_cancelled_by_its_accession_number_is_not_revived_by_another_number(his):
    await his.sends(BARE, ordering("CA", placer="", control_id="2", minute=1), ordering(control_id="3", minute=2))
    assert await known(his) == [(None, None, "cancelled"), ("P1", None, "")]


async def test_orders_of_two_sources_stay_two_records(his):
    source = hospital_source()
    other = replace(source, order_source=replace(source.order_source, name="city-ris"))
    await his.sends(BARE)
    await Hospital(his.engine, other).sends(ordering(control_id="2", minute=1))
    assert await known(his) == [(None, None, ""), ("P1", None, "")]
