"""Several ingests of one study at once, in one process and in two: each input counts once, none is reversed.

Decision D25.
"""

from __future__ import annotations

import asyncio
import random
from contextlib import AsyncExitStack
from datetime import UTC

import pytest
from fakes.fhir_studies import SITE, report, snapshot
from fakes.store import rows
from fakes.taken_in import contents, current, giving, outbox, said, study_id, take, written
from fakes.upstream_json import STUDY_UID

from gateway.ingest import Pipeline
from gateway.ingest.pipeline import MOST_TRIES
from gateway.runtime.errors import StudyContended
from gateway.store import study_rows
from gateway.store.database.engine import Statement, ask, instant
from gateway.store.enrichment import StoredEnrichments

STUDY = study_id("1")
REPORT = "DiagnosticReport/rep-" + "3" * 32


def text(number):
    return report(reportPlainText=f"IMPRESSION: {number}.")


async def texts(engine):
    """Return the texts of the versions of the report, oldest first."""
    return [one["conclusion"] for one in await contents(engine, REPORT)]


class Upstream:
    """AutoScribe, whose report changes with every request; `asked` counts the requests."""

    def __init__(self):
        self.state = self.asked = 0
        self.dice = random.Random(7)

    async def fetch(self):
        self.asked += 1
        await asyncio.sleep(self.dice.random() / 500)
        found = said(text(self.state), asked=self.asked)
        await asyncio.sleep(self.dice.random() / 500)
        return found


class Meddled:
    """Engine that lets another writer act before its first write."""

    def __init__(self, engine, meddle):
        self._engine, self._meddle = engine, [meddle]

    def __getattr__(self, name):
        return getattr(self._engine, name)

    async def do(self, work):
        while self._meddle:
            await self._meddle.pop()()
        return await self._engine.do(work)


@pytest.fixture
async def both(engines):
    """Return two pipelines, each with an engine of its own, into one store."""
    one, other = engines(), engines()
    async with AsyncExitStack() as stack:
        for engine in (one, other):
            await stack.enter_async_context(engine.opened())
        yield [(engine, Pipeline(engine, SITE, UTC)) for engine in (one, other)]


async def test_versions_are_the_distinct_inputs_though_many_ask_at_once_in_two_processes(both):
    upstream = Upstream()
    (engine, first), (_, second) = both

    async def writing():
        for _ in range(10):
            await asyncio.sleep(0.01)
            upstream.state += 1

    tasks = [pipeline.ingest(STUDY, upstream.fetch) for _ in range(20) for pipeline in (first, second)]
    await asyncio.gather(writing(), *tasks)
    await first.ingest(STUDY, upstream.fetch)
    numbers = [int(one.rstrip(".")) for one in await texts(engine)]
    assert numbers == sorted(set(numbers))
    assert numbers[-1] == upstream.state
    assert await outbox(engine) == [("3", "signed"), *[("3", "text_changed")] * (len(numbers) - 1)]
    assert await rows(engine, "SELECT revision FROM study") == [(len(numbers),)]


async def test_different_inputs_at_once_each_make_one_version(both):
    (engine, first), (_, second) = both
    inputs = [giving(said(text(number))) for number in range(30)]
    pipelines = [first, second] * 15
    await asyncio.gather(*(pipeline.ingest(STUDY, one) for pipeline, one in zip(pipelines, inputs, strict=True)))
    found = await texts(engine)
    assert sorted(found) == sorted(f"{number}." for number in range(30))


async def test_the_same_input_at_once_makes_one_version_and_one_cause(both):
    (engine, first), (_, second) = both
    fetch = giving(said(text(1)))
    results = await asyncio.gather(*(pipeline.ingest(STUDY, fetch) for pipeline in [first, second] * 10))
    assert await texts(engine) == ["1."]
    assert await outbox(engine) == [("3", "signed")]
    assert sum(one.change is not None for one in results) == 1


async def test_a_study_that_somebody_else_wrote_meanwhile_is_asked_for_again(both):
    (engine, first), (_, second) = both
    await take(first, text(0))
    asked = []

    async def fetch():
        if not asked:
            await take(second, text(1))
        asked.append(1)
        return said(text(2))

    ingested = await first.ingest(STUDY, fetch)
    assert len(asked) == 2
    assert await texts(engine) == ["0.", "1.", "2."]
    assert [one.kind for one in ingested.change.causes] == ["text_changed"]


async def test_a_study_whose_patient_somebody_else_spoke_of_meanwhile_is_looked_at_again(both):
    """Check that two people do not share a patient because neither study knew of the other."""
    (engine, _), (_, second) = both
    roe = report("2", snapshotMetadata=snapshot(patientName="John Roe", dateOfBirth="1950-01-01", sex="male"))

    async def meddle():
        await take(second, roe, digit="2")

    meddled = Pipeline(Meddled(engine, meddle), SITE, UTC)
    asked = []

    async def fetch():
        asked.append(1)
        return said(text(1))

    await meddled.ingest(STUDY, fetch)
    assert len(asked) == 1
    reports = await current(engine, "DiagnosticReport")
    assert len({one["subject"]["reference"] for one in reports.values()}) == 2
    assert await rows(engine, "SELECT study_id FROM conflict") == [(STUDY,)]


HER, ANOTHER = {}, {"dateOfBirth": "1950-01-01", "sex": "male"}


@pytest.mark.parametrize(("before", "meanwhile", "anew"), [(None, HER, 0), (None, ANOTHER, 1), (ANOTHER, HER, 1)])
async def test_a_study_planned_again_keeps_what_did_not_change(both, monkeypatch, before, meanwhile, anew):
    """Check that another study of the same patient meanwhile costs no second rendering, unless it changes this one."""
    (engine, _), (_, second) = both
    made, judge_all = [], study_rows.judge_all

    def judged(resources, shapes=None):
        made.extend(one["id"] for one in resources)
        return judge_all(resources, shapes)

    async def other(said_of_patient):
        await take(second, report("2", snapshotMetadata=snapshot(**said_of_patient)), digit="2")

    async def meddle():
        await other(meanwhile)
        monkeypatch.setattr(study_rows, "judge_all", judged)

    if before is not None:
        await other(before)
    await take(Pipeline(Meddled(engine, meddle), SITE, UTC), text(1))
    monkeypatch.undo()
    assert made.count(REPORT.partition("/")[2]) == anew
    patients = {one["subject"]["reference"] for one in (await current(engine, "DiagnosticReport")).values()}
    assert len(patients) == (2 if meanwhile is ANOTHER else 1)


async def test_what_an_enrichment_says_of_a_new_study_meanwhile_is_not_missed(both):
    (engine, _), (other, _) = both

    async def meddle():
        await StoredEnrichments(other).keep(STUDY_UID, "ACC-1", None, instant(5))

    await take(Pipeline(Meddled(engine, meddle), SITE, UTC))
    assert "ACC-1" in str(await current(engine, "ServiceRequest"))
    assert await rows(engine, "SELECT verb FROM control") == []


@pytest.mark.parametrize("again", ["refresh", "rerender"])
async def test_what_is_looked_at_again_is_what_stands_then_not_what_stood_when_it_was_begun(both, again):
    (engine, first), (_, second) = both
    await take(first, text(0))

    async def meddle():
        await take(second, text(1))

    keep = Statement("UPDATE pdf SET state = 'kept', size = 5, sha1 = :sha1, generation = 'g', kept = 1")
    await engine.do(lambda: ask(keep, sha1="ab" * 20))
    meddled = Pipeline(Meddled(engine, meddle), SITE, UTC)
    await getattr(meddled, again)(STUDY)
    assert (await texts(engine))[-1] == "1."
    assert sorted(set(await texts(engine))) == ["0.", "1."]
    assert await outbox(engine) == [("3", "signed"), ("3", "text_changed")]


@pytest.mark.full
@pytest.mark.parametrize("how", ["ingest", "rerender"])
async def test_who_is_never_fast_enough_says_so(both, how):
    (engine, first), (_, second) = both
    await take(first, text(0))
    asked = []

    async def meddle():
        asked.append(1)
        await take(second, text(len(asked)))

    class Always(Meddled):
        async def do(self, work):
            await meddle()
            return await self._engine.do(work)

    slow = Pipeline(Always(engine, meddle), SITE, UTC)
    with pytest.raises(StudyContended, match="again and again"):
        await (slow.ingest(STUDY, giving(said(text(99)))) if how == "ingest" else slow.rerender(STUDY))
    assert len(asked) == MOST_TRIES
    assert "99." not in await texts(engine)


@pytest.mark.full
async def test_studies_of_one_patient_at_once_leave_the_newest_as_the_patient(both):
    (engine, first), (_, second) = both
    digits = "123456789abcdef"

    def of(digit):
        shot = snapshot(studyDate=f"2024-03-{int(digit, 16):02}", patientName=f"DOE{digit * 4}^JANE")
        return said(report(digit, snapshotMetadata=shot), digit=digit)

    order = list(digits)
    random.Random(3).shuffle(order)
    await asyncio.gather(
        *(
            pipeline.ingest(study_id(digit), giving(of(digit)))
            for digit, pipeline in zip(order, [first, second] * 8, strict=False)
        )
    )
    ((address, patient),) = (await current(engine, "Patient")).items()
    assert patient["name"][0]["text"] == "DOEffff^JANE"
    assert {one["subject"]["reference"] for one in (await current(engine, "DiagnosticReport")).values()} == {address}
    assert await rows(engine, "SELECT count(*) FROM claim") == [(len(digits),)]
    assert await rows(engine, "SELECT count(*) FROM conflict") == [(0,)]


async def test_a_study_whose_patient_others_speak_of_again_and_again_gives_up(both):
    (engine, _), (_, second) = both
    names = []

    class Always(Meddled):
        async def do(self, work):
            names.append(1)
            shot = snapshot(patientName=f"Jane {'x' * len(names)} Doe")
            await take(second, report("2", snapshotMetadata=shot), digit="2")
            return await self._engine.do(work)

    with pytest.raises(StudyContended, match="again and again"):
        await Pipeline(Always(engine, None), SITE, UTC).ingest(STUDY, giving(said(text(1))))
    assert await current(engine, REPORT) == {}


async def test_instants_are_in_the_order_of_the_causes(both):
    (engine, first), (_, second) = both
    await asyncio.gather(
        *(
            take(pipeline, report(digit), digit=digit)
            for digit, pipeline in zip("23456789", [first, second] * 4, strict=True)
        )
    )
    causes = await rows(engine, "SELECT number, study_id FROM outbox ORDER BY number")
    by_instant = await rows(
        engine, "SELECT owner, min(updated) FROM resource WHERE owner <> '' GROUP BY owner ORDER BY min(updated)"
    )
    assert [study for _, study in causes] == [study for study, _ in by_instant]
    assert written(await take(first, report("2"), digit="2")) == set()
