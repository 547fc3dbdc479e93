"""Decisions D20, D48: an order that comes late is told once, however often the feed that shall tell it is killed.

https://man7.org/linux/man-pages/man7/signal.7.html
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from functools import partial
from random import Random

import pytest
from fakes.er7_reader import field
from fakes.fed import assert_all_arrived, fed
from fakes.feed_process import feeding
from fakes.scale import EITHER_STORE, NEWS_KILLS
from fakes.stated_orders import ORDER, stating
from fakes.store import rows

from gateway.runtime import clock
from gateway.store.database.engine import micros
from gateway.store.feed.lanes import release_lane
from mappings.model import StatedNumber

NEWS = "SELECT study_id, code, outcome FROM order_news ORDER BY study_id"
RESTATED = "SELECT number FROM order_news WHERE outcome = 'restated'"
OPEN = "SELECT number FROM order_news WHERE outcome = 'open'"
MADE = "SELECT study_id, state FROM message ORDER BY number"


class Everything:
    """All messages that a receiver ever got; the receiver itself keeps only the latest."""

    def __init__(self, receiver) -> None:
        self.messages: list = []
        receiver.on_message = self.messages.append


class Orders:
    """A hospital that sends the order of each study after its report was sent; each has a number of its own."""

    def __init__(self, stated, feed, dice: Random) -> None:
        self._stated, self._feed, self._dice = stated, feed, dice
        self.placers: dict[str, str] = {}

    async def come(self, studies: list[str]) -> None:
        """Let the orders come at random instants; some are told twice."""
        for study in studies:
            await asyncio.sleep(self._dice.uniform(0, 0.1))
            placer = self.placers[study] = f"PL-{len(self.placers)}"
            self._stated.orders = (replace(ORDER, placer=StatedNumber(placer, "EPIC", "urn:oid:1.2.3")),)
            for _ in range(self._dice.choice((1, 1, 2))):
                await self._feed.pipeline.refresh(study)
        self._stated.orders = ()


async def serves(process, times: int) -> None:
    """Wait until the process serves the destination, a few seconds at most: a loaded machine starts it late."""
    until = clock.monotonic() + 5
    while process.logged().count("feed-serves") <= times and clock.monotonic() < until:
        await asyncio.sleep(0.01)


async def in_the_end(feed) -> None:
    """Serve without a kill until nothing is open; release what was in hand at several kills, as an operator does."""
    for (study,) in await rows(feed.engine, "SELECT study_id FROM lane WHERE reason = 'indeterminate'"):
        await feed.engine.do(partial(release_lane, "ehr", str(study), micros(clock.now())))
    async with feed.serving():
        await feed.until_rows(OPEN, lambda found: not found, 60)
        await feed.all_delivered(60)


@pytest.mark.parametrize("engines", EITHER_STORE, indirect=True)
@pytest.mark.parametrize("kills", NEWS_KILLS.both())
async def test_each_study_gets_the_number_of_its_order_once_though_the_feed_is_killed(
    engine, kills, tmp_path, monkeypatch, say
):
    stated, dice = stating(monkeypatch, "no-order"), Random(48)
    async with fed(engine, late_match="restate") as (feed, receiver):
        came = Everything(receiver)
        signed = [await feed.sign(critical=False) for _ in range(kills)]
        studies = [one.study_id for one in signed]
        async with feed.serving():
            await feed.all_delivered(60)
        orders, restated = Orders(stated, feed, dice), []
        coming = asyncio.create_task(orders.come(studies))
        for _ in range(kills):
            receiver.ack = dice.choice(["aa", "slow:seconds=0.05"])
            with feeding(feed, tmp_path / "log", late_match="restate") as process:
                if dice.random() < 0.7:
                    await serves(process, process.logged().count("feed-serves"))
                await asyncio.sleep(dice.uniform(0, 0.3))
            restated.append(len(await rows(engine, RESTATED)))
        await coming
        receiver.ack = "aa"
        await in_the_end(feed)
        assert [tuple(map(str, one)) for one in await rows(engine, NEWS)] == [
            (study, "sent-without-order", "restated") for study in sorted(studies)
        ]
        made = await rows(engine, MADE)
        assert Counter(str(study) for study, _ in made) == dict.fromkeys(studies, 2)
        numbers = {one.control_id: (field(one.payload, "OBR-3"), field(one.payload, "OBR-2")) for one in came.messages}
        told = Counter(number for _, number in numbers.values() if number)
        assert told == {f"{placer}^EPIC": 1 for placer in orders.placers.values()}
        assert Counter(filler for filler, _ in numbers.values()) == dict.fromkeys(
            {filler for filler, _ in numbers.values()}, 2
        )
        repeats = len(came.messages) - len(numbers)
        await assert_all_arrived(feed, came, repeats=True)
        say(f"{kills} kills on {engine.dialect}, {len(set(restated))} of them between two restatements; {len(studies)}"
            f" late orders told once, {repeats} messages came again")  # fmt: skip
