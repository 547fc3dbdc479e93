"""Time to ingest the n-th study of one patient compared with the first study of another, in the same store.

Run by `make bench`. BENCH_VISITS says how many studies the patient has; the rounds alternate, and medians count.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from itertools import count
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from bench import stores
from bench.machine import MEASURED, on_core
from bench.margins import at_most
from fakes.databases import at_once
from fakes.fhir_studies import SITE, report, snapshot
from fakes.taken_in import giving
from fakes.upstream_json import response_json, study_json, user_json

from gateway.ingest import Fetched, Pipeline

VISITS = int(os.environ.get("BENCH_VISITS", "10000"))
ROUNDS, STUDIES = 7, 25
TO_REACH = 1.2

pytestmark = pytest.mark.timeout(3600)


def study(number: int, mrn: str) -> Fetched:
    """Return a study of the patient with that number, a day of each month of the years from 1990 on."""
    months, day = divmod(number, 28)
    date = f"{1990 + months // 12 % 36}-{months % 12 + 1:02}-{day + 1:02}"
    ids = {"studyId": f"stu_{number:032x}", "studyInstanceUid": f"1.2.3.{number}"}
    said = report(snapshotMetadata=snapshot(mrn=mrn, studyDate=date))
    given = {**said, "studyId": ids["studyId"], "reportId": f"rep_{number:032x}"}
    return Fetched(study_json(**ids), {**response_json(given), **ids}, (user_json(),), 1)


async def medians(engine: Any) -> tuple[float, float]:
    """Return CPU milliseconds of this process for a study of the one patient, and for one of a new patient."""
    async with engine.opened():
        pipeline, numbers = Pipeline(engine, SITE, ZoneInfo("UTC"), wants_pdf=False), count(1)

        async def spent(studies: int, mrn: Callable[[int], str]) -> float:
            given = [study(number, mrn(number)) for number, _ in zip(numbers, range(studies), strict=False)]
            begun = time.process_time()
            for one in given:
                await pipeline.ingest(one.study["studyId"], giving(one))
            return (time.process_time() - begun) / studies * 1000

        await spent(VISITS, lambda _: "MRN-1")
        rounds = [
            (await spent(STUDIES, lambda _: "MRN-1"), await spent(STUDIES, lambda number: f"MRN-1{number}"))
            for _ in range(ROUNDS)
        ]
    return statistics.median(one for one, _ in rounds), statistics.median(other for _, other in rounds)


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_the_nth_study_of_a_patient_takes_no_longer_than_the_first(kind, request, say) -> None:
    database = request.getfixturevalue(f"{'sqlite' if kind == 'sqlite' else 'postgres'}_database")
    with on_core(MEASURED):
        nth, first = at_once(medians(stores.engine_of(f"sqlite:///{database}" if kind == "sqlite" else database)))
    say(
        f"study {VISITS} of one patient, {kind}: {nth / first:.2f} x the CPU of a first study, {nth:.1f} against"
        f" {first:.1f} ms {at_most(nth / first, TO_REACH)}"
    )
