"""A renamed destination stays the same: its sent messages, its queue, and its lease (D31)."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import partial

import fakes.fed
import pytest
from fakes.fed import Fed, assert_all_arrived, destination, fed
from fakes.in_force import always_in_force, plan_applied
from fakes.store import rows

from gateway.store.database import facts
from gateway.store.database.engine import Engine, Statement, ask
from gateway.store.database.schema import METADATA
from gateway.store.feed.destinations import NotRenamed, now_called, origin, renamed
from gateway.store.feed.leases import Leases, paused
from gateway.store.feed.outbox import Resend, queue_replays

NOW = 1_000_000


def rename(engine: Engine, old: str = "ehr", new: str = "his"):
    return engine.do(partial(renamed, old, new, NOW))


def with_name(feed: Fed, name: str, formerly: str = "ehr") -> Fed:
    """Return the same account and store for a gateway whose settings give the destination another name."""
    (one,) = feed.destinations
    return Fed(feed.engine, feed.account, (replace(one, name=name, formerly=formerly),), feed.settings)


async def nothing(*_, **__):
    """Put nothing in force: a gateway that holds no lease."""


async def write(engine, sql, **values):
    await engine.do(lambda: ask(Statement(sql), **values))


async def test_nothing_that_was_told_is_told_again_under_the_new_name(engine):
    async with fed(engine) as (feed, receiver):
        async with feed.serving():
            signed = [await feed.sign() for _ in range(4)]
            await feed.until(*["delivered"] * 4)
        assert await rename(engine)
        other = with_name(feed, "his")
        async with other.serving():
            await other.pipeline.refresh(signed[0].study_id)
            await other.add(signed[0])
            await other.until(*["delivered"] * 5)
            await asyncio.sleep(0.5)
        assert len(receiver.messages) == 5
        await assert_all_arrived(other, receiver, name="his")
        assert await rows(engine, "SELECT count(*) FROM outbox WHERE destination = 'ehr'") == [(0,)]


async def test_what_is_queued_keeps_its_bytes_and_a_pause_stays(engine):
    async with fed(engine) as (feed, receiver):
        await feed.queue(3)
        before = await rows(engine, "SELECT control_id, body_hash FROM message ORDER BY number")
        assert await rename(engine)
        other = with_name(feed, "his")
        async with other.serving():
            assert await Leases(engine, "x", 1.0).paused("his") == "operator"
            await asyncio.sleep(0.3)
            assert len(receiver.messages) == 0
            await other.resume()
            await other.all_delivered()
        assert await rows(engine, "SELECT control_id, body_hash FROM message ORDER BY number") == before
        assert sorted(one.control_id for one in receiver.messages) == sorted(str(one) for one, _ in before)


async def test_the_same_news_has_the_same_msh_10_before_and_after(engine):
    async with fed(engine) as (feed, receiver):
        async with feed.serving():
            signed = await feed.sign()
            await feed.until("delivered")
        await rename(engine)
        await rename(engine, "his", "kis")
        assert await origin(engine, "kis") == "ehr"
        again = "INSERT INTO outbox (study_id, report_id, kind, content_version, destination, state, is_move, decided)"
        await write(
            engine,
            f"{again} SELECT study_id, report_id, kind, content_version, destination, 'waiting', 0, decided FROM outbox"
            " WHERE destination = 'kis'",
        )
        other = with_name(feed, "kis", "his")
        async with other.serving():
            await other.until_rows("SELECT state FROM outbox WHERE state = 'waiting'", lambda found: not found)
            await asyncio.sleep(0.3)
            assert len(receiver.messages) == 1
            for _ in range(2):
                resend = Resend(signed.study_id, signed.report_id, "v", False, 1, None)
                await engine.do(partial(queue_replays, "kis", [resend], NOW))
                await other.until_rows("SELECT state FROM outbox WHERE state = 'waiting'", lambda found: not found)
                await other.all_delivered()
        assert len({one.control_id for one in receiver.messages}) == len(receiver.messages) == 3


@pytest.mark.full
async def test_what_is_in_hand_is_in_doubt_under_the_new_name_and_sent_again_as_it_was(engine):
    async with fed(engine, "none:1", ack_timeout=30.0) as (feed, receiver):
        async with feed.serving():
            await feed.sign()
            await feed.until("sending")
            assert await rename(engine)
            ended = await Leases(engine, "two", 6.0).take("ehr")
            assert ended is None
        await write(engine, "UPDATE destination SET expires = 0")
        other = with_name(feed, "his")
        async with other.serving("two"):
            await other.until("delivered")
        assert len(receiver.messages) == 2
        assert len({one.payload for one in receiver.messages}) == 1


async def test_the_new_name_is_nobodys_before_the_old_holders_time_is_over(engine):
    first = Leases(engine, "one", 30.0)
    lease = await first.take("ehr")
    await rename(engine)
    assert await Leases(engine, "two", 30.0).take("his") is None
    assert await first.take("ehr") is None
    assert lease is not None
    await write(engine, "UPDATE destination SET expires = 0")
    taken = await Leases(engine, "two", 30.0).take("his")
    assert taken is not None and taken.fence > lease.fence


async def test_all_that_the_row_of_a_destination_says_goes_over(engine):
    await engine.do(partial(paused, "ehr", "by hand", 1))
    await engine.do(partial(paused, "his", "by another", 2))
    await write(engine, "UPDATE destination SET retired = 7, fence = 3, expires = 9, holder = 'one' WHERE name = 'ehr'")
    assert await rename(engine)
    columns = "name, fence, expires, holder, paused, paused_since, became, origin, retired"
    assert await rows(engine, f"SELECT {columns} FROM destination ORDER BY name") == [
        ("ehr", 4, 0, "", "", None, "his", "", 0),
        ("his", 4, 9, "one", "by hand", 1, "", "ehr", 7),
    ]


async def test_a_pause_of_the_new_name_stays_where_the_old_one_was_not_paused(engine):
    assert await Leases(engine, "one", 0.0).take("ehr")
    await engine.do(partial(paused, "his", "by another", 2))
    assert await rename(engine)
    assert await Leases(engine, "x", 1.0).paused("his") == "by another"


async def test_several_that_start_at_once_rename_once(engines):
    several = [engines() for _ in range(3)]
    async with several[0].opened(), several[1].opened(), several[2].opened():
        await several[0].do(partial(paused, "ehr", "by hand", 1))
        results = await asyncio.gather(*map(rename, several))
        assert sorted(results) == [False, False, True]
        assert await rows(several[0], "SELECT verb, argument FROM audit") == [("feed-rename", "ehr his")]
        assert await Leases(several[0], "x", 1.0).paused("his") == "by hand"


async def test_a_name_of_which_nothing_is_known_is_no_rename(engine):
    assert not await rename(engine)
    assert await rows(engine, "SELECT name FROM destination") == []
    assert await now_called(engine, "ehr") == ""


async def test_every_table_that_speaks_of_a_destination_speaks_of_the_new_name(engine):
    for table in METADATA.sorted_tables:
        if "destination" not in table.columns:
            continue
        values = {one.name: {"TEXT": "a", "BLOB": b"x"}.get(str(one.type), 1) for one in table.columns}
        values["destination"] = "ehr"
        names = ", ".join(values)
        await write(
            engine, f"INSERT INTO {table} ({names}) VALUES ({', '.join(f':{one}' for one in values)})", **values
        )
    for kind in ("unplanned", "vista"):
        await facts.claimed(engine, f"{kind}:ehr", kind)
    await facts.claimed(engine, "unplanned:his", "9")
    assert await rename(engine)
    for table in METADATA.sorted_tables:
        if "destination" in table.columns:
            assert await rows(engine, f"SELECT destination FROM {table}") == [("his",)], table.name
    assert await rows(engine, "SELECT name, value FROM fact ORDER BY name") == [
        ("unplanned:his", "unplanned"),
        ("vista:his", "vista"),
    ]


async def test_a_chain_of_names_ends_at_the_last_and_a_way_back_is_open(engine):
    await engine.do(partial(paused, "a", "by hand", 1))
    assert await rename(engine, "a", "b")
    assert await rename(engine, "b", "c")
    assert [await now_called(engine, one) for one in "abc"] == ["c", "c", ""]
    assert not await rename(engine, "a", "c")
    with pytest.raises(NotRenamed) as refused:
        await rename(engine, "a", "d")
    assert refused.value.name == "c"
    await engine.do(partial(paused, "other", "by hand", 1))
    with pytest.raises(NotRenamed):
        await rename(engine, "other", "a")
    assert await rename(engine, "c", "a")
    assert (await now_called(engine, "c"), await now_called(engine, "a"), await origin(engine, "a")) == ("a", "", "a")
    assert await Leases(engine, "x", 1.0).paused("a") == "by hand"


async def test_two_ledgers_are_never_mixed(engine):
    async with fed(engine) as (feed, _):
        async with feed.serving():
            await feed.sign()
            await feed.until("delivered")
        other = with_name(feed, "his", "")
        await plan_applied(engine, *other.destinations)
        async with other.serving():
            await other.until("delivered", "delivered")
        with pytest.raises(NotRenamed):
            await rename(engine)
        assert await rows(engine, "SELECT destination FROM message ORDER BY number") == [("ehr",), ("his",)]


async def test_what_a_gateway_with_the_old_settings_decides_is_told_under_the_new_name(engine, monkeypatch):
    async with fed(engine) as (feed, receiver):
        assert await Leases(engine, "one", 0.0).take("ehr")
        await always_in_force(engine, feed.destinations)
        assert await rename(engine)
        with monkeypatch.context() as patched:
            patched.setattr(fakes.fed, "always_in_force", nothing)
            await feed.sign()  # ingested by the process that still uses `ehr`
        assert await rows(engine, "SELECT destination, state FROM outbox") == [("his", "waiting")]
        other = with_name(feed, "his")
        async with other.serving():
            await other.until("delivered")
            await asyncio.sleep(0.3)
        assert len(receiver.messages) == 1
        assert {one for (one,) in await rows(engine, "SELECT destination FROM outbox")} == {"his"}


async def test_a_destination_has_a_first_name_for_msh_10(engine):
    assert destination(1).control_name == "ehr"
    assert destination(1, "his", first_name="ehr").control_name == "ehr"
