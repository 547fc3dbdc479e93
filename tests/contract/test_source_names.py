"""A renamed source goes on with its messages, orders, keys and positions, whoever starts when (D31, D48)."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import partial

import pytest
from fakes.hospital_source import Hospital, hospital_source, ordering
from fakes.store import rows

from gateway.store.orders.inbound import (
    NewInbound,
    SourceNotRenamed,
    add_message,
    first_names,
    last_received,
    present_names,
    renamed,
    under_first_names,
)

AUDITED = "SELECT verb, argument FROM audit ORDER BY number"
PLACED = ordering(filler="F1")


def rename(engine, old: str, new: str):
    return engine.do(partial(renamed, old, new, 5))


async def store(engine, source: str, payload: bytes = b"a") -> None:
    message = NewInbound(source, ("HIS", "CITY"), "1", "ORM^O01", payload)
    await engine.do(partial(add_message, message, 5))


async def renamed_hospital(engine, name: str) -> Hospital:
    """Return City's source under its present name, as the service has it after its start."""
    source = hospital_source()
    called = replace(source, order_source=replace(source.order_source, name=name))
    return Hospital(engine, called.as_stored(await first_names(engine)))


async def test_a_renamed_source_goes_on_with_what_waits_and_with_its_orders(engine):
    before = Hospital(engine)
    await before.sends(PLACED)
    await before.stores(ordering("CA", filler="F1", control_id="2", minute=5))
    assert await rename(engine, "city-his", "city-ehr")
    after = await renamed_hospital(engine, "city-ehr")
    assert (after.source.name, after.source.stored_name) == ("city-ehr", "city-his")
    assert await after.sends() == [("applied", ""), ("applied", "")]
    (stored,) = await after.orders()
    assert stored.order.ended == "cancelled"
    assert await after.sends(PLACED) == [("applied", "")] * 2  # a duplicate still
    assert after.metrics.registry.get_sample_value(
        "autoscribe_gateway_orders_settled_total", {"source": "city-ehr", "state": "applied"}
    )
    assert await rows(engine, AUDITED) == [("orders-rename", "city-his city-ehr")]


async def test_a_source_of_another_name_has_orders_of_its_own(engine):
    await Hospital(engine).sends(PLACED)
    other = await renamed_hospital(engine, "city-ris")
    await other.sends(ordering("CA", filler="F1", control_id="2", minute=5))
    assert [stored.order.source.name for stored in await other.orders()] == ["city-his", "city-ris"]


async def test_names_follow_a_source_that_is_renamed_again_and_back(engine):
    await store(engine, "a")
    assert await first_names(engine) == {}
    for old, new, first in (("a", "b", {"b": "a"}), ("b", "c", {"c": "a"}), ("c", "a", {})):
        assert await rename(engine, old, new)
        assert await first_names(engine) == first
        assert await present_names(engine) == {value: key for key, value in first.items()}
        assert not await rename(engine, old, new)
    assert await rename(engine, "a", "d")
    assert await under_first_names(engine, {"d": 30, "x": 9}) == {"a": 30, "x": 9}


async def test_the_last_message_of_a_source_is_told_under_its_present_name_alone(engine):
    await store(engine, "a")
    await store(engine, "x")
    for old, new, present in (("a", "b", "b"), ("b", "c", "c"), ("c", "a", "a")):
        assert await rename(engine, old, new)
        assert await last_received(engine, 9) == {present: 5, "x": 5}
        assert await last_received(engine, 5) == {present: None, "x": None}


@pytest.mark.parametrize("name", ["a", "b"])
async def test_a_former_name_is_nobodys(engine, name):
    await store(engine, "a")
    await rename(engine, "a", "b")
    await rename(engine, "b", "c")
    with pytest.raises(SourceNotRenamed) as raised:
        await rename(engine, "", name)
    assert (raised.value.name, raised.value.is_own) == ("c", True)
    with pytest.raises(SourceNotRenamed) as raised:
        await rename(engine, name, "d")
    assert (raised.value.name, raised.value.is_own) == ("c", False)
    assert await first_names(engine) == {"c": "a"}


async def test_two_sources_that_both_have_messages_do_not_become_one(engine):
    await store(engine, "a")
    await store(engine, "b")
    with pytest.raises(SourceNotRenamed) as raised:
        await rename(engine, "a", "b")
    assert raised.value.name == ""
    assert await first_names(engine) == {}


async def test_a_previous_name_that_nobody_had_changes_nothing(engine):
    assert not await rename(engine, "a", "b")
    assert not await rename(engine, "", "b")
    assert await rows(engine, "SELECT name FROM source") == []


async def test_two_processes_that_start_at_once_rename_once(engines):
    made = engines()
    async with made.opened():
        await store(made, "a")
        done = await asyncio.gather(*[rename(made, "a", "b") for _ in range(8)])
        assert sorted(done) == [False] * 7 + [True]
        assert await first_names(made) == {"b": "a"}
        assert await rows(made, AUDITED) == [("orders-rename", "a b")]


async def test_of_two_processes_that_rename_to_different_names_one_is_refused(engines):
    made = engines()
    async with made.opened():
        await store(made, "a")
        done = await asyncio.gather(*[rename(made, "a", new) for new in ("b", "c")], return_exceptions=True)
        assert {type(one) for one in done} == {bool, SourceNotRenamed}
        assert len(await first_names(made)) == 1
