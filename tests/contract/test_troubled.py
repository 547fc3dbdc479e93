"""Decision D48: an operator has a held or failed message tried again, or sets it aside so that what waits goes on."""

from __future__ import annotations

from functools import partial

import pytest
from fakes.hospital import mrn
from fakes.hospital_source import RULES, Hospital, hl7, hospital_source, merging, msh, ordering
from fakes.store import rows

from gateway.ingest.orders import apply_loop
from gateway.store.database.engine import Statement, ask
from gateway.store.orders.inbound import have_tried_again, set_aside, troubled, troubled_message
from gateway.store.orders.numbers import changes_of, merges_of, number_text, put_study_keys

WITHOUT_BYTES = Statement("UPDATE inbound SET body = NULL WHERE number = :number")
AUDITED = "SELECT verb, argument, reason FROM audit"


@pytest.fixture
def his(engine):
    return Hospital(engine)


async def messages(his):
    return [one async for one in troubled(his.engine)]


async def retry(his, message):
    return await his.engine.do(partial(have_tried_again, message, "asked", 9))


async def aside(his, message):
    locked = await his.engine.do(partial(set_aside, message, "asked", 9, frozenset()))
    return await his.engine.do(partial(set_aside, message, "asked", 9, locked)) if locked else locked


async def in_doubt(his, *numbers):
    merges = merges_of(await changes_of(his.engine, [mrn(one) for one in numbers]))
    return [one for one in numbers if merges.is_doubtful(mrn(one))]


def failing(monkeypatch, control_id):
    """Let the order message of that MSH-10 fail, as by a fault of the gateway."""
    applied = apply_loop.apply_orders

    def applying(arrival, batch):
        if arrival.message.control_id == control_id:
            raise ZeroDivisionError
        return applied(arrival, batch)

    monkeypatch.setattr(apply_loop, "apply_orders", applying)


async def test_messages_that_were_held_or_failed_are_listed_with_the_reason(his):
    await his.sends(merging(), merging("5000", "4711", control_id="2"), ordering(control_id="3"))
    (one,) = await messages(his)
    assert (one.number, one.source, one.control_id, one.state, one.code) == (2, "city-his", "2", "held", "merge-swap")
    assert one.payload == merging("5000", "4711", control_id="2")
    assert await his.engine.do(partial(troubled_message, 2)) == one
    assert await his.engine.do(partial(troubled_message, 1)) is None
    assert "4711" not in repr(one)


async def test_a_merge_that_is_set_aside_leaves_no_number_in_doubt_and_its_studies_are_ingested(his):
    await his.sends(merging(), merging("5000", "4711", control_id="2"))
    await his.engine.do(lambda: put_study_keys("stu_1", [number_text(mrn("4711"))]))
    assert await in_doubt(his, "4711", "5000") == ["4711", "5000"]
    (one,) = await messages(his)
    assert await aside(his, one)
    assert await his.states() == [("applied", ""), ("nothing", "set-aside")]
    assert await in_doubt(his, "4711", "5000") == []
    assert [one.held for one in await changes_of(his.engine, [mrn("4711")])] == [""]
    assert await his.asked() == ["stu_1"]
    assert await rows(his.engine, AUDITED) == [("orders-set-aside", "message 2 held merge-swap", "asked")]
    assert await messages(his) == []


async def test_what_another_held_merge_says_stays_in_doubt(his):
    await his.sends(merging("1", "2"), merging("1", "3", control_id="2"), merging("1", "4", control_id="3"))
    first, second = await messages(his)
    await aside(his, first)
    assert await in_doubt(his, "1") == ["1"]
    await aside(his, second)
    assert await in_doubt(his, "1") == []


async def test_a_pair_that_two_held_merges_say_is_in_doubt_until_both_are_set_aside(his):
    """Also while the other one waits to be tried again."""
    await his.sends(merging(), merging("5000", "4711", control_id="2"), merging("5000", "4711", control_id="3"))
    first, second = await messages(his)
    assert await retry(his, second)
    await aside(his, first)
    assert await in_doubt(his, "4711", "5000") == ["4711", "5000"]
    assert [one.message.control_id for one in await changes_of(his.engine, [mrn("4711")]) if one.held] == ["3"]
    await his.applying.turn()
    (second,) = await messages(his)
    await aside(his, second)
    assert await in_doubt(his, "4711", "5000") == []
    assert await rows(his.engine, "SELECT * FROM inbound_key") == []


@pytest.mark.parametrize("place", [0, 1])
async def test_of_two_held_merges_with_one_msh_10_each_puts_its_own_numbers_in_doubt(his, place):
    await his.sends(merging())
    await his.sends(merging("5000", "4711", control_id="2"), merging("4711", "6000", control_id="2"))
    pair = await messages(his)
    assert len({one.settled for one in pair}) == 1
    await aside(his, pair[place])
    assert await in_doubt(his, "5000") == (["5000"] if place else [])
    assert await in_doubt(his, "4711") == ["4711"]
    await aside(his, pair[1 - place])
    assert await in_doubt(his, "4711", "5000") == []


async def test_a_merge_that_is_applied_when_tried_again_holds_nothing_any_more(engine):
    narrow = Hospital(engine, hospital_source(authorities=RULES.authorities[1:]))
    await narrow.sends(merging())
    held = await messages(narrow)
    wide = Hospital(engine)
    for one in held:
        await retry(wide, one)
    assert await wide.sends() == [("applied", "")]
    assert await rows(engine, "SELECT * FROM inbound_key") == []


async def test_a_held_merge_can_be_set_aside_after_it_was_tried_again_and_held_again(his):
    await his.sends(merging(), merging("5000", "4711", control_id="2"))
    (one,) = await messages(his)
    assert await retry(his, one)
    assert await in_doubt(his, "5000") == ["5000"]  # also while it waits
    await his.applying.turn()
    assert await his.states() == [("applied", ""), ("held", "merge-swap")]
    (again,) = await messages(his)
    await aside(his, again)
    assert await in_doubt(his, "4711", "5000") == []


async def test_a_held_order_is_applied_once_the_settings_name_its_authority(engine):
    narrow = Hospital(engine, hospital_source(authorities=RULES.authorities[:1]))
    foreign = ordering(placer="P1^CITYHIS", accession="A1^CITYRIS")
    assert await narrow.sends(foreign) == [("held", "authority-not-of-source")]
    (one,) = await messages(narrow)
    wide = Hospital(engine)
    assert await retry(wide, one)
    assert await wide.sends() == [("applied", "")]
    assert [stored.order.placer.value for stored in await wide.orders()] == ["P1"]
    assert await rows(engine, AUDITED) == [("orders-retry", "message 1 held authority-not-of-source", "asked")]


async def test_a_message_tried_again_does_not_count_as_newer_because_it_comes_later(engine):
    narrow = Hospital(engine, hospital_source(authorities=RULES.authorities[:1]))
    timeless = ordering("CA", placer="P1^CITYHIS", accession="").replace(b"20260105100000-0600", b"")
    assert await narrow.sends(timeless) == [("held", "authority-not-of-source")]
    wide = Hospital(engine)
    await wide.sends(ordering(control_id="2"))
    (one,) = await messages(wide)
    await retry(wide, one)
    assert await wide.sends() == [("held", "order-by-arrival"), ("applied", "")]
    assert [stored.order.ended for stored in await wide.orders()] == [""]


@pytest.mark.full
async def test_a_failed_message_is_tried_again_with_those_that_failed_after_it(his, monkeypatch):
    with monkeypatch.context() as broken:
        failing(broken, "1")
        await his.sends(ordering(), ordering("CA", control_id="2", minute=5))
    assert await his.states() == [("failed", "internal"), ("failed", "after-failed")]
    first, _ = await messages(his)
    assert await retry(his, first)
    await his.applying.turn()
    assert await his.states() == [("applied", ""), ("applied", "")]
    assert [stored.order.ended for stored in await his.orders()] == ["cancelled"]


@pytest.mark.full
async def test_what_failed_after_a_message_goes_on_once_that_is_set_aside(his, monkeypatch):
    failing(monkeypatch, "1")
    await his.sends(ordering(), ordering(control_id="2", minute=5))
    first, _ = await messages(his)
    await aside(his, first)
    await his.applying.turn()
    assert await his.states() == [("nothing", "set-aside"), ("applied", "")]
    assert await rows(his.engine, "SELECT * FROM inbound_key") == []
    assert await his.sends(ordering(control_id="3", minute=6)) == [
        ("nothing", "set-aside"),
        ("applied", ""),
        ("applied", ""),
    ]


async def test_a_message_that_is_not_as_it_was_seen_is_left_alone(his):
    both = hl7(msh("ADT^A40"), "EVN|A37", "PID|1||1^^^CITY^MR", "MRG|2^^^CITY^MR")
    await his.sends(both)
    (one,) = await messages(his)
    assert await retry(his, one)
    assert not await retry(his, one)
    assert await his.engine.do(partial(set_aside, one, "asked", 9, frozenset())) is None


async def test_a_message_without_bytes_is_not_tried_again_and_can_be_set_aside(his):
    await his.sends(merging(), merging("5000", "4711", control_id="2"))
    await his.engine.do(lambda: ask(WITHOUT_BYTES, number=2))
    (one,) = await messages(his)
    assert one.payload is None
    assert not await retry(his, one)
    assert await aside(his, one)
