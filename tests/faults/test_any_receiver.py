"""Delivery to a receiver that changes its behavior at random, by a seed, through faults F4 to F37."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from fakes.fed import assert_all_arrived, fed

from gateway.routing import Retry
from gateway.sandbox.dice import Dice
from gateway.sandbox.manner_plan import MannerPlan, parse_ack
from gateway.sandbox.manners import MANNERS
from gateway.settings.feed import Feed

STUDIES, MESSAGES = 20, 60
ALWAYS_AGAIN = (("AE", "retry"), ("CE", "retry"), ("AR", "retry"), ("CR", "retry"))
SEEDS = [(1, 1), (2, 4)]
PATIENT = Retry(first=0.02, cap=0.1, jitter=0.2, indeterminate_resends=1_000, in_flight=0.0)


def any_manner(seed):
    """Return all manners but two late refusals: one holds its lane, the other opens it again after all is delivered."""
    late = MANNERS["ca-ae"], MANNERS["ca-ar"]
    (part,) = parse_ack(f"random:{seed}:rate=0.3:seconds=0.03").parts
    return MannerPlan((replace(part, manners=tuple(one for one in part.manners if one not in late)),))


async def many(feed, dice):
    """Sign reports of several studies; then add addenda and changed texts to each while others are sent."""
    signed = [await feed.sign() for _ in range(STUDIES)]
    for number in range(1, MESSAGES // STUDIES):
        await feed.until_rows("SELECT 1 FROM outbox WHERE state = 'waiting'", lambda found: not found)
        for one in dice.shuffled(signed):
            if dice.chance(0.5):
                await feed.add(one)
            else:
                feed.account.change_text(one.report_id, f"FINDINGS: As dictated, in wording number {number}.")
                await feed.tell(one.study_id)


async def operator(feed):
    """Resume paused destinations, as an operator would."""
    while True:
        await feed.resume()
        await asyncio.sleep(0.1)


@pytest.mark.parametrize(("seed", "window"), SEEDS)
async def test_any_receiver_gets_all_of_it_in_order_in_every_lane(engine, seed, window):
    more = {"window": window, "ack_table": ALWAYS_AGAIN, "retry": PATIENT, "ack_timeout": 0.25}
    async with fed(engine, any_manner(seed), **more) as (feed, receiver):
        async with feed.serving(settings=Feed(breaker_refusals=10_000)):
            resuming = asyncio.create_task(operator(feed))
            await many(feed, Dice(seed, "any receiver"))
            await feed.all_delivered()
            resuming.cancel()
        await assert_all_arrived(feed, receiver, repeats=True, ends=("delivered", "superseded"))
        assert len(await feed.states()) == MESSAGES
        assert len({one.control_id for one in receiver.messages}) >= STUDIES
