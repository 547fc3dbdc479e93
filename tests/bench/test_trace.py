"""CPU time of the first `$trace` of each report of the sandbox: a repeated one is remembered.

Run by `make bench`. BENCH_TRACED says how many studies the sandbox has. Each report is traced twice and the faster time
counts, so that a busy machine slows all.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial

from bench.margins import at_most
from fakes.seeded import documents

from gateway.demo.stage import demo_site
from gateway.fhir_api.operations.trace_rows import is_of
from gateway.sandbox.seed import generate
from mappings.profile import receiver
from mappings.trace import trace

STUDIES = int(os.environ.get("BENCH_TRACED", "100"))
MOST = 200  # milliseconds to reach
SITE, GENERIC = demo_site(), receiver("generic")


def traces() -> Iterator[float]:
    """Trace every report; yield the milliseconds of each."""
    for study, listed, users in documents(generate(studies=STUDIES)):
        if study.get("studyType") == "external":
            continue
        document = {**study, "reports": listed["reports"], "users": list(users)}
        for place in range(len(listed["reports"])):
            wanted = partial(is_of, {f"reports/{place}", "users/0"})
            first = partial(trace, document, SITE, GENERIC, is_wanted=wanted)
            yield min(spent(first) for _ in range(2))


def spent(work: Callable[[], object]) -> float:
    begun = time.process_time()
    work()
    return (time.process_time() - begun) * 1000


def test_the_first_trace_of_a_report(say: Callable[[str], None]) -> None:
    took = sorted(traces())
    p50, p99 = statistics.median(took), took[len(took) * 99 // 100]
    say(
        f"first $trace of {len(took)} reports: {p50:.0f} ms CPU p50, {p99:.0f} ms p99 {at_most(p99, MOST, unit=' ms')},"
        f" {took[-1]:.0f} ms at most"
    )
