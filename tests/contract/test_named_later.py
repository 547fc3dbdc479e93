"""Decision D48: an order first sent with its accession number alone is the order that has an order number later."""

from __future__ import annotations

from dataclasses import replace

import pytest
from fakes.hospital_source import Hospital, hl7, hospital_source, merging, msh, ordering
from fakes.met import carry_out, match_of, matching, placers, read
from fakes.scale import EITHER_STORE

pytestmark = pytest.mark.parametrize("engines", EITHER_STORE, indirect=True)

BARE = ordering(placer="")
F1 = ordering("SN", placer="", filler="F1")


@pytest.fixture
def his(engine):
    return Hospital(engine)


def numbered(*said):
    """Write messages one after another, each of control code, placer and filler order number."""
    return [
        ordering(control, placer, filler, control_id=str(place), minute=place)
        for place, (control, placer, filler) in enumerate(said, start=1)
    ]


def about(message, code):
    """Return a message of the fakes about another procedure, or about none."""
    return message.replace(b"CTHEAD^CT Head", code.encode())


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
    await his.sends(ordering("XO", placer="", control_id="3", minute=2))
    await his.sends(ordering("OK", filler="F1", control_id="4", minute=3, accession=""))
    await his.sends(ordering("XX", placer="", filler="F1", control_id="5", minute=4))
    assert await known(his) == [("P1", "F1", "")]
    ended = about(ordering("CA", placer="", control_id="6", minute=5), "")
    assert await his.sends(ended) == [("applied", "")] * 6
    assert await known(his) == [("P1", "F1", "cancelled")]


@pytest.mark.parametrize("control", ["XO", "XX", "NA", "OK"])
async def test_an_event_with_an_order_number_finds_the_order_that_had_none(his, control):
    await his.sends(BARE, ordering(control, filler="F1", control_id="2", minute=1))
    assert await known(his) == [("P1", "F1", "")]


@pytest.mark.parametrize("control", ["CA", "RP"])
async def test_an_order_is_not_ended_by_a_number_that_it_never_had(his, control):
    await his.sends(BARE, ordering(control, control_id="2", minute=1))
    assert [(placer, bool(ended)) for placer, _, ended in await known(his)] == [(None, False), ("P1", True)]


@pytest.mark.parametrize(
    ("said", "orders"),
    [
        ([("NW", "P1", "")], [(None, "F1"), ("P1", None)]),
        ([("NW", "P1", ""), ("NA", "P2", "F1")], [("P2", "F1"), ("P1", None)]),
        ([("NW", "P1", ""), ("NW", "P2", ""), ("NA", "P2", "F1")], [(None, "F1"), ("P1", None), ("P2", "F1")]),
        (
            [("NW", "P1", ""), ("NW", "P2", ""), ("OK", "P2", "F1"), ("OK", "P1", "F2")],
            [(None, "F1"), ("P1", "F2"), ("P2", "F1")],
        ),
        ([("NA", "P2", "F1"), ("NW", "P1", "")], [("P2", "F1"), ("P1", None)]),
    ],
)
async def test_the_fillers_order_gets_its_placer_number_by_its_filler_number_alone(his, said, orders):
    states = await his.sends(F1, *numbered(*said))
    assert states == [("applied", "")] * (1 + len(said))
    assert [(placer, filler) for placer, filler, _ in await known(his)] == orders


async def test_the_fillers_order_is_not_cancelled_by_a_placers_number(his):
    await his.sends(F1, *numbered(("CA", "P1", "")))
    assert await known(his) == [(None, "F1", ""), ("P1", None, "cancelled")]


async def test_a_report_answers_the_orders_as_the_hospital_corrected_them(his):
    pipeline = matching(his.engine)
    await his.sends(F1, *numbered(("NW", "P1", ""), ("NA", "P2", "F1")))
    await read(pipeline)
    assert sorted(await placers(his.engine)) == ["P1", "P2"]


async def test_an_older_message_that_arrives_later_brings_the_number_and_changes_nothing_else(his):
    late = ordering(control_id="2", minute=1).replace(b"ED^12", b"OLD")
    await his.sends(ordering(placer="", minute=5), late)
    (stored,) = await his.orders()
    assert (stored.order.placer.value, stored.order.visit.location) == ("P1", ("ED", "12"))


async def test_a_second_order_under_the_accession_number_stays_a_second_order(his):
    await his.sends(BARE, ordering(control_id="2", minute=1), ordering(placer="P2", control_id="3", minute=2))
    assert await known(his) == [("P1", None, ""), ("P2", None, "")]
    ended = ordering("CA", placer="", control_id="4", minute=3)
    assert (await his.sends(ended))[-1] == ("held", "order-ambiguous")


@pytest.mark.parametrize("code", ["CTNECK^CT Neck", "CTHEAD^CT Head with contrast", ""])
async def test_an_order_of_another_procedure_or_of_an_unsaid_one_is_another(his, code):
    await his.sends(BARE, about(ordering(control_id="2", minute=1), code))
    assert await known(his) == [(None, None, ""), ("P1", None, "")]
    assert [one.order.procedure.code for one in await his.orders()] == ["CTHEAD", code.partition("^")[0]]


@pytest.mark.parametrize(("control", "orders"), [("XO", ["P1"]), ("NA", [None, "P1"])])
async def test_an_order_whose_procedure_is_not_known_gets_its_number_from_a_message_that_says_the_procedure(
    his, control, orders
):
    await his.sends(about(BARE, ""), ordering(control, filler="F1", control_id="2", minute=1))
    assert [placer for placer, _, _ in await known(his)] == orders
    assert (await his.orders())[-1].order.procedure.code == "CTHEAD"


async def test_another_procedure_under_the_accession_number_alone_is_another_order_and_gets_its_own_number(his):
    neck = [ordering(placer=one, control_id=f"3{one}", minute=2) for one in ("", "P2")]
    await his.sends(BARE, ordering(control_id="2", minute=1), *[about(one, "CTNECK^CT Neck") for one in neck])
    orders = [one.order for one in await his.orders()]
    assert [(one.placer.value, one.procedure.code) for one in orders] == [("P1", "CTHEAD"), ("P2", "CTNECK")]


async def test_a_number_is_not_brought_to_an_order_that_may_be_another_one_with_a_number(his):
    await his.sends(ordering(), ordering(placer="", control_id="2"), ordering(placer="P2", control_id="3", minute=1))
    assert await known(his) == [("P1", None, ""), (None, None, ""), ("P2", None, "")]


async def test_a_number_finds_the_order_under_a_number_of_the_patient_that_gave_way(his):
    pipeline = matching(his.engine)
    await his.sends(BARE, merging(control_id="2"), ordering("XO", mrn="5000", control_id="3", minute=1))
    assert await known(his) == [("P1", None, "")]
    await read(pipeline, mrn="5000")
    assert await placers(his.engine) == ["P1"]


async def test_no_number_is_brought_by_a_merge_that_is_in_doubt(his):
    swap = [merging(control_id="2"), merging("5000", "4711", control_id="3", minute=1)]
    await his.sends(BARE, *swap, ordering("XO", mrn="5000", control_id="4", minute=2))
    assert await known(his) == [(None, None, ""), ("P1", None, "")]


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
        (ordering(placer="P9^OTHERHIS"), ordering(control_id="2", minute=1)),
    ],
    ids=["patient", "accession", "person", "time", "unread"],
)
async def test_what_contradicts_stays_two_orders(his, first, later):
    assert [state for state, _ in await his.sends(first, later)] == ["applied"] * 2
    assert [one.order.placer is None for one in await his.orders()] == [True, False]


async def test_an_order_that_was_cancelled_by_its_accession_number_is_not_revived_by_another_number(his):
    await his.sends(BARE, ordering("CA", placer="", control_id="2", minute=1), ordering(control_id="3", minute=2))
    assert await known(his) == [(None, None, "cancelled"), ("P1", None, "")]


async def test_orders_of_two_sources_stay_two_records(his):
    source = hospital_source()
    other = replace(source, order_source=replace(source.order_source, name="city-ris"))
    await his.sends(BARE)
    await Hospital(his.engine, other).sends(ordering(control_id="2", minute=1))
    assert await known(his) == [(None, None, ""), ("P1", None, "")]
