"""Both engines keep their promises: work is atomic, readers see committed rows, failures show no values."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest
from fakes.store import rows

from gateway.runtime.errors import StoreTooSlow, StoreUnavailable, StoreValueRefused
from gateway.store.database.engine import (
    Statement,
    ask,
    ask_each,
    inserting,
    instant,
    instant_text,
    micros,
    rows_at_commit,
    storable,
)

PUT = Statement("INSERT INTO cursor (name, value) VALUES (:name, :value)")
PUT_ROWS = inserting("cursor", "name TEXT, value TEXT")
GET = Statement("SELECT value FROM cursor WHERE name = :name")
NAMES = Statement("SELECT name FROM cursor WHERE name IN listed(:names) ORDER BY name")
MISSING = Statement("SELECT nothing FROM nowhere WHERE name = :name")
NAME = "Zyxwrumpel"
PLACE = {"sqlite": "?", "postgresql": "$1"}
# Counts endless new rows, which takes long
_ENDLESS = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n WHERE i > {}"


async def test_work_gives_its_result_and_is_committed(engine):
    def work():
        yield from ask_each(PUT, [{"name": "a", "value": "1"}, {"name": "b", "value": "2"}])
        yield from ask_each(PUT, [])
        return (yield from ask(NAMES, names='["a", "b", "c"]'))

    assert [tuple(row) for row in await engine.do(work)] == [("a",), ("b",)]
    assert [tuple(row) for row in await engine.fetch(GET, name="b")] == [("2",)]
    assert await rows(engine, "SELECT value FROM cursor WHERE name = ?", "a") == [("1",)]


async def test_nothing_is_done_of_work_that_raises(engine):
    def work():
        yield from ask(PUT, name="a", value="1")
        raise LookupError("stop")

    with pytest.raises(LookupError, match="stop"):
        await engine.do(work)
    assert not await engine.fetch(GET, name="a")


async def test_nothing_is_done_of_what_was_left_to_the_commit_of_work_that_raises(engine):
    def work(fails):
        yield from rows_at_commit(PUT_ROWS, [{"name": "a", "value": "1"}])
        if fails:
            raise LookupError

    with pytest.raises(LookupError):
        await engine.do(lambda: work(fails=True))
    assert not await engine.fetch(GET, name="a")
    await engine.do(lambda: work(fails=False))
    assert [tuple(row) for row in await engine.fetch(GET, name="a")] == [("1",)]


async def test_failures_say_no_value_of_a_row(engine):
    await engine.do(lambda: ask(PUT, name=NAME, value=NAME))
    place = PLACE[engine.dialect]
    failing = [
        engine.do(lambda: ask(PUT, name=NAME, value="a second time")),
        engine.do(lambda: ask(PUT, name="a", value=None)),
        engine.do(lambda: ask(MISSING, name=NAME)),
        engine.fetch(MISSING, name=NAME),
        engine.query(f"SELECT nothing FROM nowhere WHERE name = {place}", [NAME]),
        engine.scan(f"SELECT nothing FROM nowhere WHERE name = {place}", [NAME], 5.0),
        engine.fetch(GET, name=NAME + "\ud800"),
        engine.do(lambda: ask(PUT, name=NAME + "\ud800", value="")),
        engine.query(f"SELECT number FROM resource WHERE number = {place}", [10**30]),
    ]
    for query in failing:
        with pytest.raises((StoreUnavailable, StoreValueRefused)) as caught:
            await query
        assert NAME not in str(caught.value)
        assert caught.value.detail
        assert caught.value.__suppress_context__ or caught.value.__context__ is None


async def test_a_text_is_stored_as_it_can_be_found_again(engine):
    for text in ("plain", "Müller", "a\0b", "a\ud800c", "\U0001f9e0", ""):
        await engine.do(lambda text=text: ask(PUT, name=storable(text), value="found"))
        assert len(await engine.fetch(GET, name=storable(text))) == 1
    assert storable("a\0b\udfffc") == "a\ufffdb\ufffdc"


async def test_a_scan_gives_its_rows(engine):
    assert [tuple(row) for row in await engine.scan("SELECT last FROM tick", [], 5.0)] == [(0,)]


async def test_a_scan_that_takes_too_long_is_stopped_and_the_next_one_is_not(engine):
    with pytest.raises(StoreTooSlow, match=r"longer than 0\.05 s"):
        await engine.scan(_ENDLESS.format(PLACE[engine.dialect]), [1], 0.05)
    assert await engine.scan("SELECT last FROM tick", [], 5.0)


async def test_a_database_that_is_not_open_is_unavailable(engines):
    engine = engines()

    async def refused():
        for query in (
            engine.fetch(GET, name="a"),
            engine.query("SELECT last FROM tick", []),
            engine.scan("SELECT last FROM tick", [], 1.0),
            engine.do(lambda: ask(PUT, name="a", value="1")),
        ):
            with pytest.raises(StoreUnavailable, match="not open"):
                await query

    await refused()
    for _ in range(2):
        async with engine.opened():
            await engine.fetch(GET, name="a")
        await refused()


async def test_it_is_closed_also_where_the_block_fails(engines):
    engine = engines()
    with pytest.raises(LookupError):
        async with engine.opened():
            raise LookupError
    with pytest.raises(StoreUnavailable, match="not open"):
        await engine.fetch(GET, name="a")


async def test_work_that_was_asked_for_is_done_before_the_database_is_closed(engines):
    engine = engines()
    async with engine.opened():
        waiting = [asyncio.create_task(engine.do(lambda n=n: ask(PUT, name=str(n), value=""))) for n in range(5)]
        await asyncio.sleep(0)
        await asyncio.gather(*waiting)
    async with engine.opened():
        assert len(await engine.fetch(NAMES, names='["0", "1", "2", "3", "4"]')) == 5


async def test_what_one_engine_commits_another_on_the_same_database_reads(engines):
    one, other = engines(), engines()
    async with one.opened(), other.opened():
        await one.do(lambda: ask(PUT, name="a", value="1"))
        assert len(await other.fetch(GET, name="a")) == 1
        await other.do(lambda: ask(PUT, name="b", value="2"))
        assert len(await one.fetch(GET, name="b")) == 1


def test_instants_are_whole_microseconds_and_compare_as_text():
    early, late = datetime(1969, 12, 31, 23, 59, 59, 999_999, UTC), datetime(2026, 1, 5, 14, 20, tzinfo=UTC)
    assert (micros(early), instant(-1)) == (-1, early)
    assert instant(micros(late)) == late
    assert instant_text(micros(late)) == "2026-01-05T14:20:00.000000Z"
    assert instant_text(micros(early)) < instant_text(micros(late))
