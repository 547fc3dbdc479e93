"""The search of the gateway and a naive one, which knows no index, find the same, and in the same order.

https://hl7.org/fhir/R4/search.html. 10,000 random searches in `make test-all`, of which `make test` has 200.
"""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime

import pytest
from fakes.naive_search import BASE, ELEMENTS, EVERY, found, order, values_of
from fakes.random_resources import COUNTS, RandomResources
from fakes.store import made, write

from gateway.fhir_api.search.search_query import understand
from gateway.index.extract import rows
from gateway.index.parameter_lookup import TYPES, offered_of
from gateway.index.report_words import said_by
from gateway.index.search_value import Circumstances
from gateway.store.studies import search, search_plan
from gateway.store.studies.shared_terms import divided
from gateway.store.studies.short_values import short_value

WHERE = Circumstances(UTC, datetime(2026, 1, 1, tzinfo=UTC), BASE, has_words=True)
NOW = 1_767_225_600_000_000
SEARCHES = 400
SEEDS = 26


async def stored(engine, resources):
    """Write the resources with one instant; two of three share terms in a set, the others have all as before."""
    each = []
    for number, (address, resource) in enumerate(resources.world.items()):
        index = rows(resource, UTC, signed=resource.get("_signed"))
        terms = [(key, short_value(key, value)) for key, value in index.terms]
        own, term_set = divided(terms) if number % 3 else (terms, None)
        said = said_by(resource) if resource["resourceType"] == "DiagnosticReport" else None
        each.append(made(address, terms=own, moments=index.moments, term_set=term_set, words=said))
    await write(engine, *each, now=NOW)


@pytest.fixture(autouse=True)
def looks(request, monkeypatch):
    """Search with very small rounds in a part of the seeds: searches then start wherever few are found."""
    if "seed" not in request.fixturenames or request.getfixturevalue("seed") % 2 == 0:
        monkeypatch.setattr(search_plan, "ROUNDS", (1, 4, 20, 100, 10_000))


async def compare(engine, seed, number):
    """Compare so many searches of a seed; return how many found something."""
    resources = RandomResources(seed)
    await stored(engine, resources)
    hits = Counter()
    for _ in range(number):
        kind, criteria, keys = resources.search()
        asked = [*criteria, *([("_sort", ",".join(keys))] if keys else [])]
        narrowed = [*asked, ("_lastUpdated", "ge2000")]
        query = understand(kind, narrowed, WHERE, strict=True)
        ours = [one.address for one in (await search.page(engine, query.search(1_000))).versions]
        naive = found(resources.world, kind, [one for one in criteria if one[0] != "_lastUpdated"])
        assert sorted(ours) == sorted(naive), (seed, kind, criteria)
        if keys:
            assert ours == order(resources.world, naive, keys), (seed, kind, asked)
        hits["some" if ours else "none"] += 1
    return hits


def test_every_type_and_every_parameter_is_searched():
    assert {kind: {*names, *EVERY} for kind, names in ELEMENTS.items()} == {
        kind: {row.name for row in offered_of(kind, has_words=True)} for kind in TYPES
    }
    assert set(COUNTS) == set(TYPES)
    resources = [one for seed in range(5) for one in RandomResources(seed).world.values()]
    for kind, names in ELEMENTS.items():
        for name in {*names, *EVERY} - {"_lastUpdated"}:
            assert any(values_of(one, name)[1] for one in resources if one["resourceType"] == kind), (kind, name)


@pytest.mark.parametrize("seed", [pytest.param(one, marks=[pytest.mark.full] if one else []) for one in range(SEEDS)])
async def test_a_search_finds_what_a_naive_one_finds_in_the_same_order(seed, sqlite_engine):
    hits = await compare(sqlite_engine, seed, SEARCHES if seed else SEARCHES // 2)
    assert hits["some"] > hits.total() / 5


@pytest.mark.full
async def test_a_search_of_postgresql_finds_what_a_naive_one_finds(postgres_engine):
    hits = await compare(postgres_engine, SEEDS, SEARCHES)
    assert hits["some"] > hits.total() / 5
