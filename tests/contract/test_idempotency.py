"""A request runs once for each key, even if its process dies; later its key is forgotten.

https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta

import pytest
from fakes.store import rows

from gateway.runtime import clock
from gateway.runtime.errors import StoreUnavailable
from gateway.runtime.request_errors import IdempotencyKeyReused
from gateway.store.database.engine import micros
from gateway.store.studies.idempotency import HOLD, KEPT, MOST, Done, KeyClaim, Requests

KEYS = "SELECT key FROM idempotency ORDER BY key"
TICK = timedelta(microseconds=1)


class Turned:
    """Wall clock that a test sets."""

    def __init__(self, monkeypatch):
        self.at = datetime(2026, 1, 5, 14, 20, tzinfo=UTC)
        monkeypatch.setattr(clock, "now", lambda: self.at)

    def on(self, by):
        self.at += by


@pytest.fixture
def turned(monkeypatch):
    return Turned(monkeypatch)


async def test_a_key_is_held_by_one_until_it_is_answered_and_then_the_answer_is_given(engine):
    requests = Requests(engine)
    claim = await requests.claim("k", "r")
    assert claim.sent is None
    assert await requests.claim("k", "r") is None
    await claim.send("left")
    assert await requests.claim("k", "r") is None
    await claim.done("made")
    assert await requests.claim("k", "r") == Done("made")


async def test_another_request_with_the_key_is_refused_whatever_became_of_the_first(engine):
    requests = Requests(engine)
    claim = await requests.claim("k", "r")
    for settled in (lambda: claim.send("left"), lambda: claim.done("made")):
        with pytest.raises(IdempotencyKeyReused):
            await requests.claim("k", "other")
        await settled()
    with pytest.raises(IdempotencyKeyReused):
        await requests.claim("k", "other")
    assert await requests.claim("k", "r") == Done("made")


async def test_what_certainly_did_nothing_gives_its_key_back_for_any_request(engine):
    requests = Requests(engine)
    claim = await requests.claim("k", "r")
    await claim.send("left")
    await claim.release()
    assert await rows(engine, KEYS) == []
    assert (await requests.claim("k", "other")).sent is None


async def test_whoever_comes_after_an_unknown_outcome_learns_what_was_sent_and_holds_the_key(engine):
    requests = Requests(engine)
    claim = await requests.claim("k", "r")
    await claim.send("left")
    await claim.leave("left, sure")
    assert (await requests.claim("k", "r")).sent == "left, sure"
    assert await requests.claim("k", "r") is None


@pytest.mark.parametrize("sent", [None, "left"])
async def test_the_key_of_who_died_is_taken_over_with_what_was_sent_but_not_before_its_time(engine, turned, sent):
    requests = Requests(engine)
    dead = await requests.claim("k", "r")
    if sent:
        await dead.send(sent)
    turned.on(HOLD - TICK)
    assert await requests.claim("k", "r") is None
    turned.on(TICK)
    assert (await requests.claim("k", "r")).sent == sent
    assert await requests.claim("k", "r") is None


async def test_whoever_lost_its_key_may_not_send_and_changes_nothing(engine, turned):
    requests = Requests(engine)
    slow = await requests.claim("k", "r")
    turned.on(HOLD)
    heir = await requests.claim("k", "r")
    with pytest.raises(StoreUnavailable):
        await slow.send("left twice")
    for late in (slow.release(), slow.leave("left twice"), slow.done("wrong")):
        await late
    assert await requests.claim("k", "r") is None
    await heir.send("left")
    await heir.leave("left")
    assert (await requests.claim("k", "r")).sent == "left"


async def test_a_key_counts_for_a_day_and_is_then_as_good_as_new(engine, turned):
    requests = Requests(engine)
    await (await requests.claim("k", "r")).done("made")
    turned.on(KEPT)
    assert await requests.claim("k", "r") == Done("made")
    turned.on(TICK)
    claim = await requests.claim("k", "other")
    assert claim.sent is None
    await claim.done("made anew")
    assert await requests.claim("k", "other") == Done("made anew")


async def test_old_keys_go_the_oldest_first_so_many_at_a_time_and_new_ones_stay(engine, turned):
    requests = Requests(engine)
    for number in range(MOST + 2):
        await requests.claim(f"{number:03}", "r")
        turned.on(TICK)
    turned.on(KEPT)
    await (await requests.claim(f"{MOST + 1:03}", "r")).done("made")
    assert await rows(engine, KEYS) == [(f"{MOST:03}",), (f"{MOST + 1:03}",)]
    assert await requests.claim(f"{MOST + 1:03}", "r") == Done("made")
    assert await rows(engine, KEYS) == [(f"{MOST + 1:03}",)]


async def test_of_many_who_ask_at_once_one_holds_the_key(engines):
    async with AsyncExitStack() as stack:
        several = [engines() for _ in range(3)]
        for engine in several:
            await stack.enter_async_context(engine.opened())
        for kind in ("new", "left"):
            claims = await asyncio.gather(*(Requests(one).claim("k", "r") for one in several * 10))
            [claim] = [one for one in claims if isinstance(one, KeyClaim)]
            assert claims.count(None) == 29, kind
            await claim.leave("left")


async def test_of_many_who_find_old_keys_at_once_each_gets_its_own(engines, turned):
    async with AsyncExitStack() as stack:
        several = [engines() for _ in range(3)]
        for engine in several:
            await stack.enter_async_context(engine.opened())
        for number in range(150):
            await Requests(several[0]).claim(f"{number:03}", "r")
        turned.on(KEPT + TICK)
        asked = [Requests(several[number % 3]).claim(f"{number * 5:03}", "r2") for number in range(30)]
        assert all(isinstance(one, KeyClaim) for one in await asyncio.gather(*asked))
        assert await rows(several[0], KEYS) == [(f"{number * 5:03}",) for number in range(30)]


async def test_a_key_that_begins_anew_stays_though_somebody_found_it_old(postgres_engine, turned):
    requests = Requests(postgres_engine)
    await requests.claim("k", "r")
    turned.on(KEPT + TICK)
    async with postgres_engine.migrating() as connection:
        await connection.execute("UPDATE idempotency SET created = $1", micros(turned.at))
        other = asyncio.create_task(requests.claim("other", "r"))
        await asyncio.sleep(0.3)
        assert not other.done(), "it waits for the row"
    assert isinstance(await other, KeyClaim)
    assert await rows(postgres_engine, KEYS) == [("k",), ("other",)]
