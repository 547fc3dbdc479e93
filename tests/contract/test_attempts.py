"""Attempts to send a message are kept with their answers, for as long as the message's bytes (D39)."""

from __future__ import annotations

from functools import partial

import pytest
from fakes.lanes import AT, Scene, new
from fakes.store import rows

from gateway.store.database.engine import Statement, ask
from gateway.store.feed import lanes, messages
from gateway.store.feed.leases import LeaseLost, Leases
from gateway.store.feed.messages import MAX_ANSWER, MOST, Attempt, SendResult, attempts_of, purge_bodies, store_attempt

WHERE = '{"peer": "127.0.0.1:2575"}'
ACK = b"MSH|^~\\&|\rMSA|AE|ID1|name DOE^JANE not accepted\r"


@pytest.fixture
async def scene(engine):
    made = Scene(engine, await Leases(engine, "one", 60.0).take("ehr"))
    await made.add("stu_a", new(1))
    return made


def attempt(begun=AT, answer=ACK) -> Attempt:
    return Attempt(begun, AT + 5, WHERE, answer)


async def send(scene, state="delivered", reason="", ack="AA", **more):
    head, *_ = await scene.heads()
    assert await scene.step(claims=[head])
    await scene.step([SendResult(head, state, reason, ack, **{"attempt": attempt(), **more})])
    return head


async def hear(scene, ack, answer=ACK):
    def decide(head):
        return SendResult(head, "delivered", ack=ack, accepted=AT + 9, attempt=Attempt(None, AT + 9, WHERE, answer))

    return await scene.engine.do(partial(lanes.store_ack, "ehr", "ID1", ack, decide, AT + 9))


async def found(engine):
    return [(one.place, one.state, one.reason, one.ack) for one in await attempts_of(engine, 1)]


async def test_an_attempt_is_kept_with_its_instants_its_connection_and_the_answer_as_it_came(scene, engine):
    await send(scene, "held", "AE", "AE", holds="refused")
    [kept] = await attempts_of(engine, 1)
    assert kept == messages.KeptAttempt(1, attempt(), "held", "AE", "AE")


async def test_attempts_are_numbered_in_their_order_and_each_is_kept(scene, engine):
    await send(scene, "queued", "connect-failed", "", unsent=True, attempt=attempt(answer=b""))
    await send(scene, "queued", "AR", "AR")
    await send(scene)
    assert await found(engine) == [
        (1, "queued", "connect-failed", ""),
        (2, "queued", "AR", "AR"),
        (3, "delivered", "", "AA"),
    ]


async def test_an_attempt_is_written_with_its_result_or_not_at_all(scene, engine):
    head, *_ = await scene.heads()
    await scene.step(claims=[head])
    await engine.do(lambda: ask(Statement("UPDATE destination SET fence = fence + 1")))
    with pytest.raises(LeaseLost):
        await scene.step([SendResult(head, "delivered", ack="AA", attempt=attempt())])
    assert await found(engine) == []


async def test_what_a_holder_had_in_hand_when_it_ended_is_an_attempt_of_which_nothing_is_known(scene, engine):
    head, *_ = await scene.heads()
    await scene.step(claims=[head])
    await engine.do(partial(lanes.take_over, scene.lease, [], 5, AT + 7, AT + 8))
    [kept] = await attempts_of(engine, 1)
    assert (kept.attempt, kept.state, kept.reason) == (Attempt(None, AT + 7), "indeterminate", "taken-over")


async def test_what_comes_late_is_kept_beside_also_where_it_repeats_or_contradicts(scene, engine):
    await send(scene, ack="CA", committed=AT)
    for ack in ("AA", "AA", "AE"):
        await hear(scene, ack)
    assert await found(engine) == [
        (1, "delivered", "", "CA"),
        (2, "delivered", "", "AA"),
        (3, "delivered", "repeated", "AA"),
        (4, "delivered", "unmatched", "AE"),
    ]


async def test_of_many_attempts_the_first_and_the_last_are_kept(scene, engine, monkeypatch):
    monkeypatch.setattr(messages, "MOST", 15)
    for number in range(40):
        await engine.do(partial(store_attempt, 1, attempt(begun=number), "queued", "AR", "AR"))
    places = [place for place, *_ in await found(engine)]
    assert places == [*range(1, 11), *range(36, 41)]
    assert MOST == 500


async def test_of_an_answer_no_more_is_kept_than_an_acknowledgement_may_have(scene, engine):
    await engine.do(partial(store_attempt, 1, attempt(answer=b"x" * (MAX_ANSWER + 1)), "queued", "AR", "AR"))
    [kept] = await attempts_of(engine, 1)
    assert len(kept.attempt.answer) == MAX_ANSWER


async def test_attempts_go_with_the_text_of_their_message_and_none_comes_after(scene, engine):
    await scene.add("stu_b", new(2))
    await send(scene, ack="CA", committed=AT)
    await engine.do(partial(store_attempt, 2, attempt(), "queued", "AR", "AR"))
    assert await engine.do(partial(purge_bodies, AT + 1, 10)) == 1
    await hear(scene, "AA")
    assert await rows(engine, "SELECT message FROM attempt") == [(2,)]
    assert await rows(engine, "SELECT ack FROM message WHERE number = 1") == [("AA",)]


def test_no_answer_stands_in_what_a_result_shows():
    assert "DOE" not in repr(attempt())
