"""Workflows of a hospital from its bytes to the match, judged by what the generator knows; decision D48.

HL7 v2.5.1 §4.4, §3.3: 5,000 workflows in `make soak`, a share of them in each run.
"""

from __future__ import annotations

import random

import pytest
from fakes.his_world import HisWorld, shuffled_within_a_day
from fakes.scale import Scale

from gateway.sandbox.his_telling import STRANGERS
from gateway.sandbox.his_workflows import WORKFLOWS

MOST_HELD = 0.005  # of the clean ones
WORLDS = Scale(usual=(3, 100), soak=(50, 110), seconds=(120, 600))


def judged(worlds: int, count: int, order) -> tuple[dict[str, list[tuple[str, str]]], int, set[str]]:
    faults: dict[str, list[tuple[str, str]]] = {"wrong": [], "held": [], "reason": []}
    clean, seen = 0, set()
    for seed in range(worlds):
        world = HisWorld(seed, count)
        found = world.matched(world.known(order(world.messages, seed)))
        clean += sum(truth.is_clean for truth, _ in found)
        seen |= {truth.workflow for truth, _ in found}
        for kind, some in world.faults(found).items():
            faults[kind] += some
    return faults, clean, seen


@pytest.mark.full
@pytest.mark.parametrize(("worlds", "count"), WORLDS.both())
def test_no_workflow_is_matched_wrongly_and_what_is_held_has_the_right_reason(worlds, count):
    faults, clean, seen = judged(worlds, count, lambda messages, _: messages)
    assert seen == set(WORKFLOWS)
    assert (faults["wrong"], faults["reason"]) == ([], [])
    assert len(faults["held"]) <= MOST_HELD * clean, faults["held"]


@pytest.mark.full
@pytest.mark.parametrize(("worlds", "count"), WORLDS.both())
def test_messages_that_are_late_lead_to_no_wrong_match(worlds, count):
    def late(messages, seed):
        return shuffled_within_a_day(messages, random.Random(seed))

    faults, clean, _ = judged(worlds, count, late)
    assert (faults["wrong"], faults["reason"]) == ([], [])
    assert len(faults["held"]) <= MOST_HELD * clean, faults["held"]


@pytest.mark.full
@pytest.mark.parametrize("seed", range(3))
def test_at_no_time_a_study_is_matched_with_an_order_of_somebody_else(seed):
    world = HisWorld(seed, 60)
    for eighth in range(9):
        known = world.known(world.messages[: len(world.messages) * eighth // 8])
        for truth, found in world.matched(known):
            names = {order.patient.given for order in found.orders}
            assert names.isdisjoint(STRANGERS), truth.workflow
