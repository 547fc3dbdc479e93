"""CPU time to match one study with its orders, in a hospital of many orders.

Run by `make bench`. BENCH_ORDERS says how many studies have ordered.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable

import pytest
from fakes.hospital import AUTHORITIES, NOW
from fakes.random_hospital import workflows

from mappings.hospital.match import match
from mappings.hospital.order_search import order_search
from mappings.model import Facts
from mappings.patient.subjects import subjects

STUDIES = int(os.environ.get("BENCH_ORDERS", "5000"))
MOST = 1.0  # milliseconds to reach
ROUNDS = 5

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
