"""Non-interference (decision D41): no answer depends on what its client may not see.

Two gateways get the same requests under one clock. One has all data. The other, and its AutoScribe, never had what is
hidden from the client; an oracle that knows no index and no SQL decides what that is. Their answers must be equal.
"""

from __future__ import annotations

from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import partial
from random import Random

import pytest
from fakes.inline import Inline
from fakes.scale import examples
from fakes.twins.accounts import FACILITIES, SITE, MemoryAutoScribe, RandomStudies
from fakes.twins.answers import difference
from fakes.twins.gateways import Asked, Twin, TwinClock, TwinPostgres, Twins, grow, suppress_unchecked
from fakes.twins.limits import RandomAccess, hides, types_of
from fakes.twins.requests import RandomRequests, links
from fakes.twins.sabotage import SABOTAGE

from gateway.auth.launch_patient import LaunchPatients, PatientNumber
from gateway.store.studies import search_plan

STUDIES = 14
KINDS = ("of_types", "refined", "of_facilities", "of_facilities_refined", "of_patient", "of_patient_and_others")
USUAL_SEEDS = 4
USUAL_ON_POSTGRESQL = 1
MOST_SEEDS = 34
REQUESTS = max(20, min(50, examples(125)))
SABOTAGED = 80
WITH_DATE = frozenset({"DiagnosticReport", "Observation"})


async def twins_of(seed, kind, engine, monkeypatch):
    """Make two gateways of a seed, for a client with a kind of access, and the requests to them."""
    suppress_unchecked(monkeypatch)
    dice, time = Random(f"{kind} {seed}"), TwinClock(monkeypatch)
    studies, is_indexed = RandomStudies(dice, STUDIES), dice.random() < 0.7
    whole = Twin(engine(), MemoryAutoScribe(studies, frozenset(FACILITIES)), hides=None, is_indexed=is_indexed)
    await grow(whole, studies, time)
    resources = await whole.resources()
    asking = getattr(RandomAccess(dice, resources), kind)()
    known = asking.facilities if asking.facilities is not None else frozenset(FACILITIES)
    bare = Twin(engine(), MemoryAutoScribe(studies, known), hides=hides(asking), is_indexed=is_indexed)
    await grow(bare, studies, time)
    requests = RandomRequests(
        dice, resources, types_of(asking), [one.study_id for one in studies.studies], [*studies.users]
    )
    return Twins(whole, bare, asking), requests


def said(asking):
    """Return an access in a few words."""
    scopes = " ".join(map(str, asking.scopes))
    return f"{scopes} of {sorted(asking.facilities) if asking.facilities else 'all'}, patient {asking.patient}"


async def compare(twins, requests, number):
    """Send random requests to both, and follow some of their links; return how often each status was answered."""
    seen = Counter()
    for _ in range(number):
        asked = requests.request()
        twins.whole.upstream.is_down = twins.bare.upstream.is_down = requests.dice.random() < 0.05
        walked = [asked, asked]
        for _ in range(4):
            answers = [await twins.whole.ask(walked[0], twins.access), await twins.bare.ask(walked[1], twins.access)]
            told = difference(*answers)
            if not told and walked[0].method == "HEAD":  # its length may differ by that of a page token: see the bodies
                bodies = [replace(one, method="GET") for one in walked]
                told = difference(
                    await twins.whole.ask(bodies[0], twins.access), await twins.bare.ask(bodies[1], twins.access)
                )
            assert not told, f"{walked[0]} of {said(twins.access)}: {told}"
            seen[answers[0].status] += 1
            requests.note(answers)
            walked = requests.follow([links(one) for one in answers])
            if None in walked:
                assert walked[0] is walked[1] is None
                break
    return seen


def runs(usual):
    """Return the seeds of all kinds of access: 10,000 requests in `make soak`, those of `usual` seeds before it."""
    marks = [(), *[pytest.mark.full] * (usual - 1), *[pytest.mark.soak] * (MOST_SEEDS - usual)]
    return [pytest.param(kind, seed, marks=mark) for kind in KINDS for seed, mark in enumerate(marks)]


@pytest.mark.full
@pytest.mark.parametrize(("kind", "seed"), runs(USUAL_SEEDS))
async def test_no_answer_depends_on_what_the_client_may_not_see(kind, seed, migrated_sqlite, monkeypatch):
    twins, requests = await twins_of(seed, kind, partial(Inline, migrated_sqlite), monkeypatch)
    assert (await compare(twins, requests, REQUESTS)).total() >= REQUESTS


BROAD = (
    "date=ge2000",
    "date=ge2000&status=final",
    "date=ge2024&status=final&_sort=-_lastUpdated",
    "_lastUpdated=ge2000",
    "_lastUpdated=ge2000&_sort=status",
    "_lastUpdated=ge2000&patient:missing=true&_sort=-date",
    "date=ge2000&category:not=LAB&_sort=patient",
)


@pytest.mark.full
@pytest.mark.parametrize("kind", ["refined", "of_facilities", "of_facilities_refined"])
async def test_no_refusal_of_a_broad_search_depends_on_what_the_client_may_not_see(kind, migrated_sqlite, monkeypatch):
    seen = Counter()
    for seed in range(6):
        for bound in (2, 6):
            monkeypatch.setattr(search_plan, "ROUNDS", (1, bound))
            monkeypatch.setattr(search_plan, "COUNTED", 2 * bound)
            twins, requests = await twins_of(seed, kind, partial(Inline, migrated_sqlite), monkeypatch)
            for query in BROAD if WITH_DATE.intersection(requests.types) else ():
                for more in ("_count=1", "_count=3", "_count=50", "_summary=count"):
                    resource_type = requests.dice.choice(sorted(WITH_DATE.intersection(requests.types)))
                    asked = Asked("GET", f"/fhir/{resource_type}?{query}&{more}")
                    answers = [await one.ask(asked, twins.access) for one in (twins.whole, twins.bare)]
                    told = difference(*answers)
                    assert not told, f"{asked} of {said(twins.access)}: {told}"
                    seen[answers[0].status] += 1
    assert min(seen[200], seen[400]) > 8, seen


async def launched(twins):
    """Return the patient that a launch by each number of any Patient finds, in the one gateway and in the other."""
    numbers = {
        PatientNumber(one["system"], one["value"])
        for resource in (await twins.whole.resources()).values()
        if resource["resourceType"] == "Patient"
        for one in resource["identifier"]
    }
    for number in sorted(numbers):
        yield tuple(
            [
                await LaunchPatients(one.engine, SITE).find(number, twins.access.facilities)
                for one in (twins.whole, twins.bare)
            ]
        )


@pytest.mark.full
async def test_a_launch_by_a_number_finds_the_same_patient_as_if_there_were_no_other_facility(
    migrated_sqlite, monkeypatch
):
    faults = set()
    for seed in range(4):
        twins, _ = await twins_of(seed, "of_facilities", partial(Inline, migrated_sqlite), monkeypatch)
        found = [one async for one in launched(twins)]
        assert [one for one in found if one[0] != one[1]] == []
        faults |= {fault for (_, fault), _ in found}
    assert faults == {"", "patient-unknown", "patient-disputed"}


@pytest.fixture
def two_databases(postgres_server):
    with postgres_server.database() as one, postgres_server.database() as other:
        yield one, other


@pytest.mark.full
@pytest.mark.parametrize(("kind", "seed"), runs(USUAL_ON_POSTGRESQL))
async def test_no_answer_depends_on_it_on_postgresql_either(kind, seed, two_databases, monkeypatch):
    async with AsyncExitStack() as stack:
        stores = [TwinPostgres(url) for url in two_databases]
        for one in stores:
            await stack.enter_async_context(one.opened())
        twins, requests = await twins_of(seed, kind, stores.pop, monkeypatch)
        number = REQUESTS if seed else REQUESTS // 4
        assert (await compare(twins, requests, number)).total() >= number


@pytest.mark.soak
async def test_most_clients_see_something_and_not_all(migrated_sqlite, monkeypatch):
    seen, hidden, stored = Counter(), 0, 0
    for kind in KINDS:
        for seed in range(3):
            twins, requests = await twins_of(seed, kind, partial(Inline, migrated_sqlite), monkeypatch)
            stored += len(await twins.whole.resources())
            hidden += len(await twins.whole.resources()) - len(await twins.bare.resources())
            seen += await compare(twins, requests, 20)
    assert 0.2 < hidden / stored < 0.9
    assert seen[200] > 0.2 * seen.total()
    assert seen[404] > 0


@pytest.mark.soak
@pytest.mark.timeout(300)
@pytest.mark.parametrize("fault", SABOTAGE)
async def test_a_gateway_that_forgets_a_limit_is_found_out(fault, migrated_sqlite, monkeypatch, say):
    """Break one limit of the gateway; some request of some seed tells it."""
    kind, place, broken = SABOTAGE[fault]
    monkeypatch.setattr(place, broken)
    for seed in range(SABOTAGED):
        twins, requests = await twins_of(seed, kind, partial(Inline, migrated_sqlite), monkeypatch)
        try:
            await compare(twins, requests, REQUESTS)
        except AssertionError:
            say(f"{fault}: found out by seed {seed}")
            return
    pytest.fail("no answer differed")
