"""Decision D48: a message that was stored is given out once, in the order of the commits, until it is settled."""

from __future__ import annotations

import asyncio
from functools import partial

from gateway.store.orders.inbound import (
    NewInbound,
    SettledMessage,
    add_message,
    are_next,
    backlogs,
    block,
    is_blocked,
    settle,
    try_again,
    waiting_messages,
)

SENDER = ("EPIC", "MERCY")


def adding(payload: bytes, source: str = "epic", sender: tuple[str, str] = SENDER, control_id: str = "1"):
    return partial(add_message, NewInbound(source, sender, control_id, "ORM^O01", payload), 5)


async def add(engine, payload, *rest):
    return await engine.do(adding(payload, *rest))


async def test_messages_are_given_out_in_the_order_in_which_they_came_and_only_their_sources(engine):
    numbers = [await add(engine, one) for one in (b"a", b"b")]
    await add(engine, b"c", "other")
    assert [(one.number, one.received, one.payload) for one in await waiting_messages(engine, "epic", 9)] == [
        (numbers[0], 5, b"a"),
        (numbers[1], 5, b"b"),
    ]
    assert await backlogs(engine) == {"epic": 2, "other": 1}


async def test_a_duplicate_has_the_same_bytes_sender_and_control_id(engine):
    assert await add(engine, b"a") is not None
    assert await add(engine, b"a") is None
    for other in ((b"b",), (b"a", "other"), (b"a", "epic", ("RIS", "MERCY")), (b"a", "epic", SENDER, "2")):
        assert await add(engine, *other) is not None


async def test_a_duplicate_of_a_settled_message_is_one_still(engine):
    number = await add(engine, b"a")
    await engine.do(lambda: settle({number: SettledMessage("nothing", keeps_body=False)}, 6))
    assert await add(engine, b"a") is None
    assert await waiting_messages(engine, "epic", 9) == []


async def test_only_the_first_that_wait_come_next_in_their_order(engine):
    first, second, third = [await add(engine, one) for one in (b"a", b"b", b"c")]
    for numbers in ([first], [first, second], [first, second, third]):
        assert await engine.do(lambda numbers=numbers: are_next("epic", numbers))
    for numbers in ([second], [second, first], [first, third], [first, second, third, third + 1]):
        assert not await engine.do(lambda numbers=numbers: are_next("epic", numbers))
    await engine.do(lambda: settle({first: SettledMessage("applied")}, 6))
    assert not await engine.do(lambda: are_next("epic", [first]))
    assert await engine.do(lambda: are_next("epic", [second, third]))


async def test_what_concerns_a_failed_message_is_known_until_it_is_tried_again(engine):
    first = await add(engine, b"a")
    await engine.do(lambda: block(first, ["x"]))
    await engine.do(lambda: settle({first: SettledMessage("failed", "internal")}, 6))
    assert await engine.do(lambda: is_blocked(["w", "x"]))
    assert not await engine.do(lambda: is_blocked(["w"]))
    assert await waiting_messages(engine, "epic", 9) == []
    assert await engine.do(lambda: try_again("other")) == 0
    assert await engine.do(lambda: try_again("epic")) == 1
    assert not await engine.do(lambda: is_blocked(["x"]))
    assert [one.number for one in await waiting_messages(engine, "epic", 9)] == [first]


async def test_numbers_are_in_the_order_of_the_commits_however_many_store_at_once(engines):
    async def adds(engine, who):
        for one in range(20):
            await add(engine, b"%d %d" % (who, one))

    made = engines()
    async with made.opened():
        seen: list[int] = []

        async def watch():
            while len(seen) < 100:
                now = [one.number for one in await waiting_messages(made, "epic", 200)]
                assert now[: len(seen)] == seen, "a lower number was committed later"
                seen[:] = now
                await asyncio.sleep(0)

        async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
            tasks.create_task(watch())
            for who in range(5):
                tasks.create_task(adds(made, who))
