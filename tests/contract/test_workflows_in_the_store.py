"""Workflows of a hospital through the inbox, the applying and the ingest, in any order of messages and studies (D48).

HL7 v2.5.1 §4.4, §3.3. The generator knows which orders each study answers.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest
from fakes.his_world import SOURCE, HisWorld
from fakes.hospital_source import hospital_source
from fakes.store import rows
from fakes.taken_in import giving
from fakes.upstream_json import user_json

from gateway.ingest import Fetched, Pipeline
from gateway.ingest.orders.apply_loop import Applying
from gateway.runtime import clock
from gateway.runtime.metrics import Metrics
from gateway.sandbox.seed import report_list
from gateway.store.database.engine import Engine, micros
from gateway.store.database.facts import Controls
from gateway.store.database.kept import kept
from gateway.store.orders.hospital import OrderReader
from gateway.store.orders.inbound import NewInbound, add_message
from mappings.hl7v2.inbound import read_hospital_message
from mappings.hl7v2.received import read
from mappings.hospital.match import CANCELLED
from mappings.model import Facts


class Site:
    """The gateway's parts that take orders in and ingest studies, over one store."""

    def __init__(self, engine: Engine, world: HisWorld) -> None:
        self.engine, self.world = engine, world
        self.source = replace(hospital_source(), order_source=SOURCE, rules=world.rules)
        self.applying = Applying(self.source, world.authorities, engine, Metrics())
        self.pipeline = Pipeline(engine, world.site, UTC, orders=OrderReader(engine, world.authorities))

    async def hears(self, payload: bytes) -> None:
        """Take a message in, and apply it."""
        message = read_hospital_message(read(payload), self.source.rules)
        new = NewInbound(self.source.name, message.sender, message.control_id, message.structure, payload)
        await self.engine.do(lambda: add_message(new, micros(clock.now())))
        await self.applying.turn()

    async def reads(self, study: Any, reports: Any) -> None:
        """Ingest a study."""
        users = tuple(user_json(userId=one) for one in dict.fromkeys(report["userId"] for report in reports))
        fetched = Fetched(study, report_list(study, reports), users, 1)
        await self.pipeline.ingest(study["studyId"], giving(fetched))

    async def settles(self) -> None:
        """Ingest again whatever study an order concerns."""
        controls = Controls(self.engine)
        while asked := await controls.open(500):
            for one in asked:
                await self.pipeline.refresh(one.argument)
                await controls.done(one.number)

    async def found(self, study_id: str) -> Facts:
        ((body,),) = await rows(self.engine, f"SELECT kept FROM study WHERE study_id = '{study_id}'")
        return kept(bytes(body)).facts


def matched(facts: Facts, world: HisWorld) -> Any:
    """Return what a study answers in the form in which the world judges.

    An order that was cancelled after the study was matched stays with it, marked as cancelled.
    """
    known = {system: space for space, system in _issuers(world)}
    orders = [one for one in facts.orders if not one.is_cancelled]
    placers = {(known[one.placer.system], one.placer.value) for one in orders if one.placer}
    reason = CANCELLED if facts.orders and not orders else facts.order_reason
    return SimpleNamespace(orders=orders, placers=placers, reason=reason)


def _issuers(world: HisWorld) -> list[tuple[str, str]]:
    return [(row.placer.system, row.placer.system) for row in world.site.facilities.values() if row.placer]


WORLDS = [(0, 40), *(pytest.param(seed, 110, marks=pytest.mark.soak) for seed in range(1, 21))]


@pytest.mark.full
@pytest.mark.parametrize(("seed", "count"), WORLDS)
async def test_each_study_answers_its_orders_whatever_came_first(engine, seed, count, monkeypatch):
    world = HisWorld(seed, count)
    monkeypatch.setattr(world, "placers", lambda found: found.placers)
    now = max(one.at for one in world.messages)
    monkeypatch.setattr(clock, "now", lambda now=now: now)
    site, dice = Site(engine, world), Random(seed)
    studies = list(world.studies)
    dice.shuffle(studies)
    for message in world.messages:
        while studies and dice.random() < len(world.studies) / len(world.messages):
            await site.reads(*studies.pop())
        await site.hears(message.payload)
    for one in studies:
        await site.reads(*one)
    await site.settles()
    found = [(truth, matched(await site.found(truth.study_id), world)) for truth, _ in world.stories]
    faults = world.faults(found)
    assert (faults["wrong"], faults["held"], faults["reason"]) == ([], [], [])
    states = {str(state) for (state,) in await rows(engine, "SELECT state FROM inbound")}
    assert states <= {"applied", "nothing", "held"}
