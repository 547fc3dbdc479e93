"""Matches of studies are listed by verdict, and a decision about one is kept, audited and acted on; decision D48."""

from __future__ import annotations

from functools import partial
from typing import Any

from fakes.composed import composing
from fakes.hospital_source import Hospital, ordering
from fakes.store import rows

from gateway.store.database.engine import Statement, ask, ask_each
from gateway.store.database.facts import Controls
from gateway.store.orders.matches import (
    StoredDecision,
    StoredMatch,
    decide,
    decision_of,
    matches_beside,
    matches_of,
    matches_with,
)
from gateway.store.orders.numbers import put_study_keys, record_text

_MATCH = Statement("INSERT INTO order_match VALUES (:study_id, :verdict, :reason, :orders, :since, '[]')")
_KEY = Statement("INSERT INTO order_key VALUES (:key, :number)")


def row(study_id: str, verdict: str, since: int, orders: str = "[]") -> dict[str, Any]:
    reason = "" if verdict == "matched" else "no-order"
    return {"study_id": study_id, "verdict": verdict, "reason": reason, "orders": orders, "since": since}


async def written(engine: Any, *found: dict[str, Any]) -> None:
    await engine.do(lambda: ask_each(_MATCH, found))


async def test_matches_are_read_by_study_and_by_verdict_in_the_order_of_time(engine, monkeypatch):
    monkeypatch.setattr("gateway.store.orders.matches._AT_A_TIME", 2)
    each = [row(f"stu_{number}", "none", number // 2) for number in range(7)]
    await written(engine, *reversed(each), row("stu_9", "matched", 3, "[4, 5]"))
    listed = [one.study_id async for one in matches_with(engine, "none", 0)]
    assert listed == [f"stu_{number}" for number in range(7)]
    assert [one.study_id async for one in matches_with(engine, "none", 2)] == ["stu_4", "stu_5", "stu_6"]
    assert await matches_of(engine, ["stu_9", "stu_8"]) == {"stu_9": StoredMatch("stu_9", "matched", "", (4, 5), 3)}


async def test_the_studies_near_an_order_are_those_that_have_one_of_its_numbers(engine):
    await written(engine, row("stu_1", "matched", 1, "[7]"), row("stu_2", "none", 1))

    def work():
        yield from put_study_keys("stu_1", ["a", "b"])
        yield from put_study_keys("stu_2", ["b", record_text(9)])
        yield from ask_each(_KEY, [{"key": "a", "number": 7}, {"key": "b", "number": 7}, {"key": "c", "number": 8}])

    await engine.do(work)
    assert [one.study_id for one in await matches_beside(engine, 7)] == ["stu_1", "stu_2"]
    assert await matches_beside(engine, 8) == []
    assert [one.study_id for one in await matches_beside(engine, 9)] == ["stu_2"]


async def test_a_decision_moves_the_study_on_and_requests_an_ingest_and_is_audited(engine):
    async with composing(engine) as here:
        signed = here.feed.account.sign_new(critical=False)
        await here.feed.tell(signed.study_id)
        await Hospital(engine).sends(ordering(), ordering(placer="P2", accession="A2", control_id="2"))
        [(revision,)] = await rows(engine, "SELECT revision FROM study")
        first = StoredDecision(signed.study_id, "match", (1, 2), "the ward said so", 5)
        assert await engine.do(partial(decide, first))
        assert await decision_of(engine, signed.study_id) == first
        assert await rows(engine, "SELECT revision FROM study") == [(revision + 1,)]
        requests = [(one.verb, one.argument) for one in await Controls(engine).open(9)]
        assert requests == [("refresh", signed.study_id)]
        second = StoredDecision(signed.study_id, "release", (), "no order was ever made", 6)
        assert await engine.do(partial(decide, second))
        assert await decision_of(engine, signed.study_id) == second
        audit = await rows(engine, "SELECT verb, argument, reason FROM audit ORDER BY number")
        assert [tuple(one) for one in audit] == [
            ("orders-match", f"{signed.study_id} order 1 order 2", "the ward said so"),
            ("orders-release", signed.study_id, "no order was ever made"),
        ]


async def test_of_a_study_that_is_not_stored_nothing_is_decided(engine):
    assert not await engine.do(partial(decide, StoredDecision("stu_1", "release", (), "r", 5)))
    assert await decision_of(engine, "stu_1") is None
    assert await rows(engine, "SELECT verb FROM audit UNION ALL SELECT verb FROM control") == []


async def test_a_match_without_orders_written_as_nothing_is_read_too(engine):
    await engine.do(lambda: ask(_MATCH, **row("stu_1", "none", 1, "")))
    assert (await matches_of(engine, ["stu_1"]))["stu_1"].orders == ()
