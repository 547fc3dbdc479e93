"""Reports, corrections, merges and an operator's acts in random order: each report stands once, under the survivor.

HL7 v2.5.1 §3.6.2.1, decisions D13, D48. The receiver follows no merge itself, and shows what it was sent.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from itertools import pairwise
from random import Random
from typing import Any

import pytest
from fakes.fed import Fed, fed, site
from fakes.merging import knowing, merge
from fakes.moving import PERSON, SYSTEM, chart
from fakes.scale import EITHER_STORE
from fakes.store import rows

NUMBERS = [f"SBXGEN-4711-{one}" for one in range(1000, 1004)]
GIVES_WAY = dict(pairwise(NUMBERS))
ACTS = ("sign", "correct", "add", "merge", "refresh", "renumber", "pause", "resume", "release")
HELD = "SELECT study_id FROM outbox WHERE state = 'held' ORDER BY number LIMIT 1"


@dataclass
class Ward:
    """Studies of one person under several numbers, of which the hospital merges some; each act is one of `ACTS`."""

    feed: Fed
    dice: Random
    studies: list[tuple[Any, str]] = field(default_factory=list)
    merged: set[str] = field(default_factory=set)

    def end(self, mrn: str) -> str:
        """Return the number that stands for this one by now."""
        return self.end(GIVES_WAY[mrn]) if mrn in self.merged else mrn

    async def sign(self) -> None:
        signed, mrn = self.feed.account.sign_new(critical=False), self.dice.choice(NUMBERS)
        self.feed.account.change_patient(signed.report_id, {**PERSON, "mrn": mrn})
        self.studies.append((signed, mrn))
        await self.feed.tell(signed.study_id)

    async def correct(self) -> None:
        one, _ = self.dice.choice(self.studies)
        self.feed.account.change_text(one.report_id, f"IMPRESSION: {self.dice.random()}.")
        await self.feed.tell(one.study_id)

    async def add(self) -> None:
        one, mrn = self.dice.choice(self.studies)
        added = self.feed.account.sign(self.feed.account.open_addendum(one.report_id))
        self.feed.account.change_patient(added.report_id, {**PERSON, "mrn": mrn})
        await self.feed.tell(one.study_id)

    async def merge(self) -> None:
        if left := sorted(GIVES_WAY.keys() - self.merged):
            old = self.dice.choice(left)
            self.merged.add(old)
            await merge(self.feed.engine, old, GIVES_WAY[old], SYSTEM)

    async def refresh(self) -> None:
        for one, _ in self.dice.sample(self.studies, self.dice.randint(1, len(self.studies))):
            await self.feed.pipeline.refresh(one.study_id)

    async def renumber(self) -> None:
        """AutoScribe learns of the merges of a study, too, once the gateway has followed them."""
        one, mrn = self.dice.choice(self.studies)
        await self.feed.pipeline.refresh(one.study_id)
        for report in self.feed.account.reports[one.study_id]:
            self.feed.account.change_patient(report["reportId"], {"mrn": self.end(mrn)})
        await self.feed.tell(one.study_id)

    async def pause(self) -> None:
        await self.feed.pause()

    async def resume(self) -> None:
        await self.feed.resume()

    async def release(self) -> None:
        await self.feed.release(self.dice.choice(self.studies)[0].study_id)

    async def ends(self) -> None:
        """Follow every merge, and release whatever waits, until all is sent."""
        await self.feed.resume()
        for one, _ in self.studies:
            await self.feed.pipeline.refresh(one.study_id)
        await self.feed.all_delivered()
        while held := await rows(self.feed.engine, HELD):
            await self.feed.release(str(held[0][0]))
            await self.feed.all_delivered()


@pytest.mark.parametrize("engines", EITHER_STORE, indirect=True)
@pytest.mark.parametrize("seed", [0, *(pytest.param(one, marks=pytest.mark.soak) for one in range(1, 50))])
async def test_in_any_order_of_events_each_report_stands_once_and_under_the_surviving_number(engine, seed):
    with knowing(site()):
        async with fed(engine, merge="move", on_conflict="hold") as (feed, receiver), feed.serving():
            dice = Random(seed)
            ward = Ward(feed, dice)
            await ward.sign()
            for _ in range(25):
                await getattr(ward, dice.choice(ACTS))()
                await asyncio.sleep(dice.choice((0, 0, 0.05)))
            await ward.ends()
            assert sorted(mrn for _, mrn in chart(receiver)) == sorted(ward.end(mrn) for _, mrn in ward.studies)
            assert await rows(engine, "SELECT reason FROM lane") == []
