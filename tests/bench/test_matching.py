"""CPU time to match one study with its orders: alone, in a hospital of many orders, and within a whole ingest.

Run by `make bench`. BENCH_ORDERS says how many studies have ordered, BENCH_MATCHED how many are ingested. In an ingest,
contenders run in alternating rounds and the fastest round of each counts, so that a busy machine slows all.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC
from unittest.mock import patch

import pytest
from bench import stores
from bench.test_stored import spent
from fakes.databases import at_once
from fakes.his_world import SOURCE, HisWorld
from fakes.hospital import AUTHORITIES, NOW
from fakes.hospital_source import Hospital, hospital_source
from fakes.random_hospital import workflows
from fakes.taken_in import giving
from fakes.upstream_json import user_json

from gateway.ingest import Fetched, Pipeline
from gateway.ingest.orders.apply_loop import Applying
from gateway.runtime.metrics import Metrics
from gateway.sandbox.seed import report_list
from gateway.store.database.engine import Engine, Statement
from gateway.store.orders.hospital import OrderReader
from mappings.hospital.match import match, order_search
from mappings.model import Facts
from mappings.patient.subjects import subjects

STUDIES = int(os.environ.get("BENCH_ORDERS", "5000"))
MATCHED = int(os.environ.get("BENCH_MATCHED", "200"))
MOST = 1.0  # milliseconds to reach
ROUNDS = 5
ANSWERED = "gateway.ingest.meet_orders.answered_orders"

pytestmark = pytest.mark.timeout(900)


def test_matching_one_study(say: Callable[[str], None]) -> None:
    here, made = workflows(1, STUDIES)
    known, no_facts = here.known(), Facts()
    own = [next(iter(subjects(one.study, one.study.reports, AUTHORITIES.site, no_facts).values())) for one in made]

    def spent() -> float:
        begun = time.process_time()
        for one, subject in zip(made, own, strict=True):
            match(order_search(one.study, subject, AUTHORITIES, no_facts), known, NOW)
        return (time.process_time() - begun) / len(made) * 1000

    took = statistics.median(spent() for _ in range(ROUNDS))
    say(f"match of one study, {here.orders} orders known: {took:.3f} ms CPU (to reach: <= {MOST:.0f} ms)")


_WITH_ORDERS = Statement("SELECT COUNT(*) FROM order_match WHERE verdict = 'matched'")


async def heard(engine: Engine, world: HisWorld) -> None:
    """Store and apply all messages of the hospital."""
    source = replace(hospital_source(), order_source=SOURCE, rules=world.rules)
    await Hospital(engine, source).stores(*(one.payload for one in world.messages))
    applying = Applying(source, world.authorities, engine, Metrics())
    while await applying.turn():
        pass


async def ingested(url: str, world: HisWorld, *, has_source: bool) -> tuple[float, int]:
    """Ingest all studies; return the milliseconds of CPU for each, and how many were matched."""
    engine = stores.engine_of(url)
    async with engine.opened():
        if has_source:
            await heard(engine, world)
        reader = OrderReader(engine, world.authorities, is_expected=has_source)
        pipeline = Pipeline(engine, world.site, UTC, orders=reader)
        begun = spent()
        for study, reports in world.studies:
            users = tuple(user_json(userId=one) for one in dict.fromkeys(report["userId"] for report in reports))
            await pipeline.ingest(study["studyId"], giving(Fetched(study, report_list(study, reports), users, 1)))
        return (spent() - begun) / len(world.studies) * 1000, int((await engine.fetch(_WITH_ORDERS))[0][0])


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_matching_within_an_ingest(kind, new_database, say) -> None:
    world = HisWorld(7, MATCHED)

    def measured(*, has_source: bool) -> tuple[float, int]:
        with new_database(kind) as place:
            url = f"sqlite:///{place}" if kind == "sqlite" else place
            return at_once(ingested(url, world, has_source=has_source))

    def matched_only() -> tuple[float, int]:
        with patch(ANSWERED, return_value=()):  # the orders are matched, and no resource says so
            return measured(has_source=True)

    measured(has_source=True)  # what a process does once, such as to compile patterns and to judge each shape
    rounds = [(measured(has_source=False), matched_only(), measured(has_source=True)) for _ in range(ROUNDS)]
    alone, matched, whole = [min(one[place][0] for one in rounds) for place in range(3)]
    say(
        f"{kind}: to read, match and store orders takes {matched - alone:+.2f} ms CPU in an ingest of {alone:.2f} ms"
        f" (to reach: <= {MOST:.0f} ms), and what they add to the resources {whole - matched:+.2f} ms;"
        f" {rounds[0][2][1]} of {len(world.studies)} studies matched"
    )
