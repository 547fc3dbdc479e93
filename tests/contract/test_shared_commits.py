"""Two processes ingest studies of one patient into PostgreSQL: nothing is lost, doubled, reordered or misfiled.

Decisions D12, D25 and D29. A seed gives the studies and the order in which all statements of both run.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC
from itertools import count

import pytest
from fakes.fhir_studies import SITE, report, snapshot
from fakes.interleaved import Interleaved, Turns
from fakes.scale import INTERLEAVINGS
from fakes.store import resource_of, rows
from fakes.upstream_json import STUDY_UID, response_json, study_json, user_json

from gateway.ingest import Fetched, Pipeline, pipeline
from gateway.runtime.errors import StoreUnavailable
from gateway.store.database import locks
from gateway.store.database.engine import Engine, Statement
from gateway.store.database.kept import decompressed
from gateway.store.database.postgres import Postgres
from gateway.store.intake import MOST_TOGETHER, OthersMoved, StudyCommits, StudyIntake
from gateway.store.studies import write_versions
from gateway.store.studies.write_versions import WrittenVersion

JANE = {"patientName": "Jane Doe"}
JANE_A = {"patientName": "Jane A Doe"}
JOHN = {"patientName": "John Roe", "dateOfBirth": "1950-01-01", "sex": "male"}
PERSONS = (JANE, JANE, JANE_A, JOHN)
OTHER_PATIENT = 0.4  # share of the studies
MOST_UNTIL_RED = 300
_BETWEEN_POLLS = 100  # turns of the loop
POLL = "SELECT resource, version, updated FROM version WHERE updated > ? ORDER BY updated"


class LawBroken(AssertionError):
    """A schedule lost, doubled, reordered or misfiled something."""


def law(is_kept: bool, what: str) -> None:
    if not is_kept:
        raise LawBroken(what)


class Case:
    """Studies, most of one patient, some read twice; each reading is ingested by one of two processes."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.seed = seed
        self.persons: dict[str, dict] = {}
        self.numbers: dict[str, str] = {}
        self.readings: list[tuple[int, Fetched]] = []
        most = self.dice.randint(1, 2)
        for number in range(self.dice.randint(2, 4)):
            study_id = f"stu_{seed:08x}{number:024x}"
            self.persons[study_id] = self.dice.choice(PERSONS)
            # A patient of its own lets the study's transaction run beside the others
            self.numbers[study_id] = f"MRN-{seed}" + (f"-{number}" if self.dice.random() < OTHER_PATIENT else "")
            day = f"2024-03-{self.dice.randint(10, 20)}"
            for text in range(self.dice.randint(1, most)):
                self.readings.append((self.dice.randrange(2), self._reading(study_id, number, day, text)))
        self.dice.shuffle(self.readings)

    def _reading(self, study_id: str, number: int, day: str, text: int) -> Fetched:
        ids = {"studyId": study_id, "studyInstanceUid": f"{STUDY_UID}.{self.seed}.{number}"}
        about = snapshot(mrn=self.numbers[study_id], studyDate=day, **self.persons[study_id])
        one = report(snapshotMetadata=about, reportPlainText=f"IMPRESSION: {text}.")
        one |= {"reportId": "rep_" + study_id[4:], "studyId": study_id}
        user = user_json(lastName=self.dice.choice(("Chen", "Cheng")))
        return Fetched(
            study_json(**ids), {**response_json(one), **ids}, (user,), self.seed * 10 + self.dice.randrange(9)
        )

    async def run(self, pipelines: list[Pipeline]) -> None:
        async def ingest(process: int, fetched: Fetched) -> None:
            async def fetch() -> Fetched:
                return fetched

            await pipelines[process].ingest(fetched.study["studyId"], fetch)

        await asyncio.gather(*(ingest(*one) for one in self.readings))

    async def check(self, engine: Postgres) -> None:
        subjects: dict[str, str] = {}
        for study_id in self.persons:
            texts = [
                one.reports["reports"][0]["reportPlainText"]
                for _, one in self.readings
                if one.study["studyId"] == study_id
            ]
            address = f"DiagnosticReport/rep-{study_id[4:]}"
            versions = await rows(
                engine,
                "SELECT v.body FROM resource r JOIN version v ON v.resource = r.number WHERE r.address = ?"
                " ORDER BY v.version",
                address,
            )
            bodies = [resource_of(body) for (body,) in versions]
            said = [f"IMPRESSION: {one['conclusion']}" for one in bodies]
            law(set(said) == set(texts), f"{self.seed}: the texts {texts} became {said}")
            causes = await rows(engine, "SELECT kind FROM outbox WHERE study_id = ? ORDER BY number", study_id)
            expected = [("signed",), *[("text_changed",)] * (len(set(texts)) - 1)]
            law(causes == expected, f"{self.seed}: {causes} instead of {expected}")
            subjects[study_id] = bodies[-1]["subject"]["reference"]
        for one, subject in subjects.items():
            for other, theirs in subjects.items():
                is_shared = self.numbers[one] == self.numbers[other]
                is_shared &= (self.persons[one] is JOHN) == (self.persons[other] is JOHN)
                law(is_shared or subject != theirs, f"{self.seed}: two persons share a patient")
        await self._check_patients(engine, set(subjects.values()))
        await self._check_radiologist(engine)

    async def _check_radiologist(self, engine: Postgres) -> None:
        """Check a resource that all studies share. A study read twice writes it only if its own user changed."""
        asked = sorted(one.asked for _, one in self.readings)
        if len(self.readings) > len(self.persons) or asked[-2] == asked[-1]:
            return
        newest = next(one for _, one in self.readings if one.asked == asked[-1])
        current = (
            "SELECT v.body FROM resource r JOIN version v ON v.resource = r.number AND v.version = r.version"
            " WHERE r.type = 'Practitioner' AND r.owner = '' AND r.address LIKE 'Practitioner/usr%'"
        )
        names = [resource_of(body)["name"][0]["family"] for (body,) in await rows(engine, current)]
        law(names == [newest.users[0]["lastName"]], f"{self.seed}: the radiologist is {names}, not as read last")

    async def _check_patients(self, engine: Postgres, patients: set[str]) -> None:
        for one in patients:
            claims = await rows(
                engine,
                "SELECT body FROM claim WHERE patient_id = ? ORDER BY study_date DESC, signed DESC, study_id DESC"
                " LIMIT 1",
                one.removeprefix("Patient/"),
            )
            current = await rows(
                engine,
                "SELECT v.body FROM resource r JOIN version v ON v.resource = r.number AND v.version = r.version"
                " WHERE r.address = ?",
                one,
            )
            names = [[json.loads(decompressed(claims[0][0]))["name"]], [resource_of(current[0][0])["name"]]]
            law(len(current) == 1 and names[0] == names[1], f"{self.seed}: a patient is not as the newest study says")


class Poller:
    """Client that polls for what was written after the last instant it saw (D29)."""

    def __init__(self, engine: Postgres) -> None:
        self._engine, self.seen, self._last = engine, [], 0

    async def poll(self) -> None:
        found = await rows(self._engine, POLL, self._last)
        self.seen += found
        self._last = found[-1][2] if found else self._last

    async def run(self) -> None:
        while True:
            await self.poll()
            for _ in range(_BETWEEN_POLLS):
                await asyncio.sleep(0)

    async def check(self, engine: Postgres) -> None:
        await self.poll()
        law(self.seen == await rows(engine, POLL, 0), "a poller missed a version, or saw one twice")
        instants = [updated for *_, updated in self.seen]
        law(instants == sorted(set(instants)), "two versions have one instant")
        counted = await rows(engine, "SELECT resource FROM version GROUP BY resource HAVING max(version) <> count(*)")
        law(counted == [], "a version is missing")


async def run(url: str, seeds: range, monkeypatch: pytest.MonkeyPatch) -> Turns:
    async def computed(function, *given):
        return function(*given)

    monkeypatch.setattr(pipeline, "computed", computed)
    turns = Turns()
    engines = [Interleaved(url, turns) for _ in range(3)]
    plain = Postgres(url)
    async with AsyncExitStack() as stack:
        for engine in (*engines, plain):
            await stack.enter_async_context(engine.opened())
        pipelines = [Pipeline(engine, SITE, UTC) for engine in engines[:2]]
        poller = Poller(engines[2])
        for seed in seeds:
            case = Case(seed)
            turns.dice = case.dice
            polling = asyncio.create_task(poller.run())
            try:
                await case.run(pipelines)
            finally:
                polling.cancel()
                await asyncio.wait([polling])
            await case.check(plain)
        await poller.check(plain)
        deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
        await asyncio.sleep(0)
        law((await rows(plain, deadlocks)) == [(0,)], "two transactions waited for each other")
    return turns


@pytest.mark.parametrize(("first", "count"), INTERLEAVINGS.both())
async def test_in_every_interleaving_of_two_processes_one_patient_is_right(
    postgres_database, monkeypatch, first, count
):
    only = os.environ.get("SIMULATION_SEED")
    seeds = range(int(only), int(only) + 1) if only else range(first, first + count)
    await run(postgres_database, seeds, monkeypatch)


async def test_without_the_locks_a_schedule_is_found_that_breaks_a_law(postgres_database, monkeypatch):
    def take(names=()):
        yield from ()

    monkeypatch.setattr(locks, "take", take)
    with pytest.raises((LawBroken, StoreUnavailable)):
        await run(postgres_database, range(1, MOST_UNTIL_RED), monkeypatch)


@pytest.mark.soak
async def test_without_a_look_at_what_another_wrote_a_schedule_is_found_that_breaks_a_law(
    postgres_database, monkeypatch
):
    unseen = Statement(write_versions.AT_COMMIT["postgresql"].sql.replace(write_versions._ALL_DONE, "true"))
    monkeypatch.setitem(write_versions.AT_COMMIT, "postgresql", unseen)
    with pytest.raises(LawBroken):
        await run(postgres_database, range(1, MOST_UNTIL_RED), monkeypatch)


async def planned(engine: Engine, cases: list[Case]) -> list[StudyIntake]:
    """Plan the first study of each case, and write none."""
    intakes: list[StudyIntake] = []

    class Kept(StudyCommits):
        async def store(self, intake: StudyIntake) -> list[WrittenVersion]:
            intakes.append(intake)
            return []

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(pipeline, "StudyCommits", Kept)
        for case in cases:
            case.readings = case.readings[:1]
            await case.run([Pipeline(engine, SITE, UTC)] * 2)
    return intakes


async def stored(engine: Engine, intakes: list[StudyIntake]) -> list[object]:
    commits = StudyCommits(engine, SITE.site_key)
    return await asyncio.gather(*map(commits.store, intakes), return_exceptions=True)


async def test_studies_that_wait_for_a_commit_share_the_next_one(engine, monkeypatch):
    intakes = await planned(engine, [Case(seed) for seed in range(2 * MOST_TOGETHER + 1)])
    under_way: set[int] = set()
    do, commits = engine.do, count()

    async def counted(work):
        number = next(commits)
        under_way.add(number)
        assert under_way == {number}  # two at a time would write the same radiologist, and one would run again
        result = await do(work)
        under_way.remove(number)
        return result

    monkeypatch.setattr(engine, "do", counted)
    assert all(isinstance(one, list) for one in await stored(engine, intakes))
    assert next(commits) == 3
    assert await rows(engine, "SELECT count(*) FROM study") == [(2 * MOST_TOGETHER + 1,)]


async def test_a_study_that_fails_costs_no_other_of_its_commit(engine):
    intakes = await planned(engine, [Case(seed) for seed in range(6)])
    broken = replace(intakes[3].write, row={**intakes[3].write.row, "kept": None})
    intakes[3] = intakes[3]._replace(write=broken)
    outcomes = await stored(engine, intakes)
    assert [place for place, one in enumerate(outcomes) if isinstance(one, StoreUnavailable)] == [3]
    assert await rows(engine, "SELECT count(*) FROM study") == [(5,)]


async def test_a_study_nobody_waits_for_any_more_is_not_stored_and_the_next_one_is(engine):
    first, second, third = await planned(engine, [Case(seed) for seed in range(3)])
    commits = StudyCommits(engine, SITE.site_key)
    storing = asyncio.create_task(commits.store(first))
    given_up = asyncio.create_task(commits.store(second))
    await asyncio.sleep(0)  # both wait
    given_up.cancel()
    assert await storing
    assert await commits.store(third)
    stored_ids = await rows(engine, "SELECT study_id FROM study ORDER BY study_id")
    assert stored_ids == sorted((one.write.study_id,) for one in (first, third))


async def test_of_two_studies_of_a_patient_in_one_go_the_second_is_planned_again(engine):
    case = Case(next(seed for seed in range(100) if set(Case(seed).numbers.values()) == {f"MRN-{seed}"}))
    first, second = case, Case(case.seed)
    other = next(one for one in second.readings if one[1].study["studyId"] != first.readings[0][1].study["studyId"])
    second.readings = [other]
    outcomes = await stored(engine, await planned(engine, [first, second]))
    assert [type(one) for one in outcomes] == [list, OthersMoved]
