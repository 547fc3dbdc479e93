"""Random merges of patient numbers, also in chains, in any order with the studies concerned: the same end (D48).

https://hl7.org/fhir/R4/patient.html#merge
"""

from __future__ import annotations

from datetime import UTC
from random import Random
from typing import NamedTuple

import pytest
from fakes.fhir_studies import SITE, report, snapshot
from fakes.merging import SYSTEM, knowing, merge
from fakes.taken_in import current, outbox, study_id, take

from gateway.ingest import Pipeline
from mappings.patient.identifiers import keyed_patient_id

NUMBERS = [f"MRN-50{digit}" for digit in range(1, 7)]
DIGITS = "123456"


class Case(NamedTuple):
    """Numbers that studies say first, by digit, the merges, and the studies that say another one of the same later."""

    says: dict[str, str]
    merges: list[tuple[str, str]]
    says_later: dict[str, str]


def pat(number):
    return keyed_patient_id(SYSTEM, number, SITE)


def end_of(number, merges):
    survivors = dict(merges)
    while number in survivors:
        number = survivors[number]
    return number


def made_case(dice):
    """Make a case: each number gives way once at most, and no merge closes a loop."""
    says = {digit: dice.choice(NUMBERS) for digit in DIGITS}
    merges = []
    for prior in dice.sample(NUMBERS, k=4):
        others = [one for one in NUMBERS if end_of(one, merges) != prior]
        if others:
            merges.append((prior, dice.choice(others)))
    later = {digit: end_of(says[digit], merges) for digit in dice.sample(DIGITS, k=2)}
    return Case(says, merges, later)


async def applied(engine, pipeline, dice, prior, surviving):
    """Apply a merge; some of the studies concerned are ingested again before the next event."""
    await merge(engine, prior, surviving)
    for digit in dice.sample(DIGITS, k=3):
        await pipeline.refresh(study_id(digit))


async def said(pipeline, digit, number):
    day = f"2024-03-0{digit}"
    return await take(pipeline, report(digit, snapshotMetadata=snapshot(mrn=number, studyDate=day)), digit=digit)


async def lived_through(engine, pipeline, dice, case):
    """Let the events of a case happen in a random order, then refresh all studies in a random order."""
    events = [("study", digit) for digit in DIGITS] + [("merge", pair) for pair in case.merges]
    dice.shuffle(events)
    for kind, what in events:
        if kind == "study":
            await said(pipeline, what, case.says[what])
        else:
            await applied(engine, pipeline, dice, *what)
    rest = list(DIGITS)
    for again in range(2):
        dice.shuffle(rest)
        for digit in rest:
            if again == 0 and digit in case.says_later:
                changed = await said(pipeline, digit, case.says_later[digit])
                assert changed.change is None or not (changed.change.causes or changed.change.is_move)
            await pipeline.refresh(study_id(digit))


async def state(engine, numbers):
    """Return whose the reports are, and the Patients of these numbers: active or not, numbers, and links.

    Old numbers and links are those of these numbers: others stood for a while only, if at all.
    """
    ids = {pat(number) for number in numbers}
    found = (await current(engine, "DiagnosticReport")).values()
    reports = {one["id"][-1]: one["subject"]["reference"].partition("/")[2] for one in found}
    patients = {}
    for one in (await current(engine, "Patient")).values():
        links = [(link["type"], link["other"]["reference"].partition("/")[2]) for link in one.get("link", ())]
        listed = [(each["value"], each.get("use", "")) for each in one["identifier"]]
        patients[one["id"]] = (
            one.get("active", True),
            [each for each in listed if not each[1] or each[0] in numbers],
            {link for link in links if link[1] in ids or link[0] == "replaced-by"},
        )
    left = [one for key, one in patients.items() if key not in ids and one[0]]
    return reports, {key: one for key, one in patients.items() if key in ids}, left


def expected(case):
    """Return the end that a case must come to: every report with the survivor, and the old Patients replaced by it."""
    ends = {number: end_of(number, case.merges) for number in case.says.values()}
    reports = {digit: pat(ends[number]) for digit, number in case.says.items()}
    patients = {}
    for survivor in ends.values():
        old = sorted(number for number, end in ends.items() if end == survivor != number)
        numbers = [(survivor, ""), *((number, "old") for number in old)]
        patients[pat(survivor)] = (True, numbers, {("replaces", pat(number)) for number in old})
    for number, survivor in ends.items():
        if survivor != number:
            patients[pat(number)] = (False, [(number, "old")], {("replaced-by", pat(survivor))})
    return reports, patients, []


async def check(engine, seed):
    """Assert the end of the case of a seed after its events happened in an order of the seed."""
    dice, case = Random(seed), made_case(Random(seed // 3))
    with knowing(SITE):
        await lived_through(engine, Pipeline(engine, SITE, UTC), dice, case)
    numbers = {*case.says.values(), *(end_of(one, case.merges) for one in case.says.values())}
    assert await state(engine, numbers) == expected(case)
    assert sorted(await outbox(engine)) == [(digit, "signed") for digit in DIGITS]


@pytest.mark.full
@pytest.mark.parametrize("seed", range(6))
async def test_merges_and_studies_in_any_order_come_to_the_same_end_and_queue_nothing(engine, seed):
    await check(engine, seed)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(100, 250))
async def test_many_merges_and_studies_in_any_order_come_to_the_same_end(engine, seed):
    await check(engine, seed)
