"""Orders, studies and merges that come at once, in any order and by two processes, meet; decisions D25, D48."""

from __future__ import annotations

import asyncio
import os
import random
from contextlib import AsyncExitStack
from dataclasses import asdict, replace
from datetime import UTC

import pytest
from fakes.hospital import AUTHORITIES, MERCY, ORDERED, SITE, number, order, patient
from fakes.met import (
    STUDY,
    VISIT_NUMBER,
    carry_out,
    decide,
    facts,
    match_of,
    matching,
    merge,
    placers,
    read,
    send,
    visit,
)
from fakes.random_hospital import workflows
from fakes.store import rows
from fakes.taken_in import giving
from fakes.upstream_json import report_json, study_json

from gateway.ingest import Fetched, Pipeline
from gateway.store.database.engine import Engine, ask, micros
from gateway.store.enrichment import told_numbers
from gateway.store.erasing import ErasureOrder, erase_studies
from gateway.store.known_study import ACCESSION
from gateway.store.orders.hospital import OrderReader, orders_by_number
from gateway.store.orders.numbers import OF_STUDY, key_text, keys_of, number_of, number_text, record_text
from mappings.hospital.authorities import Authorities, HospitalNumber, OrderKey, OrderSource
from mappings.hospital.events import Visit
from mappings.profile import AssigningAuthority

SEEDS = range(3 if os.environ.get("EXAMPLES") == "few" else 12)
STUDIES = 8
ONE = order(placer="P1", filler="F1", accession="A1")
SNAPSHOT = {
    "facility_name": "facilityName",
    "mrn": "mrn",
    "patient_name": "patientName",
    "date_of_birth": "dateOfBirth",
    "sex": "sex",
    "study_date": "studyDate",
}


@pytest.fixture
async def both(engines):
    """Return two engines of one store, each with a pipeline that matches."""
    made = engines(), engines()
    async with AsyncExitStack() as stack:
        for engine in made:
            await stack.enter_async_context(engine.opened())
        yield [(engine, matching(engine)) for engine in made]


def as_sent(one):
    """Return a study of the model as AutoScribe sends it."""
    ids = {"studyId": one.study_id, "studyInstanceUid": one.study_instance_uid}
    reports = []
    for each in one.reports:
        said = {SNAPSHOT[name]: value for name, value in asdict(each.snapshot).items() if value and name in SNAPSHOT}
        report_id = f"rep_{one.study_id[4:28]}{each.report_id[-8:]}"
        at = {"createdAt": each.created_at, "signedAt": each.signed_at, "updatedAt": each.updated_at}
        told = {"reportId": report_id, "snapshotMetadata": said, "reportPlainText": "IMPRESSION: none.", **at}
        reports.append({**report_json("3", **told), "studyId": one.study_id})
    study = {**study_json(createdAt=None), **ids, "metadata": dict(one.metadata)}
    return Fetched({**study, "createdAt": "2026-05-20T12:00:00Z"}, {"reports": reports, **ids}, (), 1)


@pytest.mark.parametrize("seed", SEEDS)
async def test_studies_and_orders_meet_whatever_comes_first_and_whoever_writes_it(both, seed):
    here, made = workflows(seed, STUDIES)
    dice = random.Random(seed)
    known = list(dict.fromkeys(one for found in here.known().orders.values() for one in found))

    async def taking(one):
        engine, pipeline = dice.choice(both)
        await asyncio.sleep(dice.random() / 50)
        if isinstance(one, Fetched):
            await pipeline.ingest(one.study["studyId"], giving(one))
        elif isinstance(one, tuple):
            await merge(engine, *one)
        else:
            await send(engine, one)

    changes = [(one.prior.value, one.surviving.value, "", one.prior.authority) for one in here.merges]
    arrivals = [*(as_sent(one.study) for one in made), *known, *changes]
    dice.shuffle(arrivals)
    await asyncio.gather(*map(taking, arrivals))
    engine, pipeline = both[0]
    while await carry_out(engine, pipeline):
        pass
    for one in made:
        found = await facts(engine, one.study.study_id)
        wanted = (one.truth, one.reason)
        assert ({each.procedure.code for each in found.orders}, found.order_reason) == wanted, (seed, one.kind)


class Meddled:
    """Engine that lets somebody else act before its first write of a study."""

    def __init__(self, engine, meddle):
        self._engine, self._meddle = engine, [meddle]

    def __getattr__(self, name):
        return getattr(self._engine, name)

    async def do(self, work):
        while self._meddle:
            await self._meddle.pop()()
        return await self._engine.do(work)


async def cancelled(engine):
    await send(engine, replace(ONE, ended="cancelled", ended_at=ONE.last_at), 1)


@pytest.mark.parametrize(
    ("meddle", "wanted"),
    [
        (lambda engine: send(engine, order(placer="P2", accession="A1")), ["P1", "P2"]),
        (cancelled, []),
        (lambda engine: decide(engine, "release"), []),
        (lambda engine: merge(engine, "4711", "4712", held="swap"), []),
        (lambda engine: merge(engine, "4711", "4712"), ["P1"]),
    ],
    ids=["order", "cancel", "verdict", "held merge", "merge"],
)
async def test_what_is_told_of_an_order_while_its_study_is_mapped_is_not_missed(both, meddle, wanted):
    (engine, _), (other, _) = both
    await send(engine, ONE)
    await read(matching(Meddled(engine, lambda: meddle(other))))
    assert await placers(engine) == wanted


async def test_a_transfer_that_is_told_while_the_study_is_mapped_is_not_missed(both):
    (engine, _), (other, _) = both
    await send(engine, replace(ONE, visit=Visit(patient_class="E", number=VISIT_NUMBER)))
    ward = Visit(patient_class="I", number=VISIT_NUMBER)
    await read(matching(Meddled(engine, lambda: visit(other, ward, micros(ORDERED) + 1))))
    assert [one.visit.patient_class for one in (await facts(engine)).orders] == ["I"]


async def test_an_ingest_is_not_begun_anew_for_what_does_not_concern_it(both):
    (engine, _), (other, _) = both
    asked = []

    async def meddle():
        await send(other, order(placer="P1", accession="A1", source=MERCY))
        await merge(other, "1", "2")

    class Counted(Meddled):
        async def fetch(self, statement, **values):
            asked.extend([1] if statement is ACCESSION else [])
            return await self._engine.fetch(statement, **values)

    await read(matching(Counted(engine, meddle)))
    assert len(asked) == 1


async def test_all_orders_that_have_a_number_in_common_are_read_and_no_other(engine):
    numbers = [("P1", "F1", "A1"), ("P2", "F1", None), ("P2", "F3", "A3"), ("P9", "F9", "A9")]
    for placer, filler, accession in numbers:
        await send(engine, order(placer=placer, filler=filler, accession=accession))
    reader = OrderReader(engine, AUTHORITIES)
    keys = {key_text(OrderKey("accession", "urn:oid:1.2.2", "A1"))}
    state = await reader.by_keys(STUDY, keys, frozenset())
    assert [one.order.placer.value for one in state.orders] == ["P1", "P2", "P2"]
    again = await reader.by_keys(STUDY, state.keys, frozenset())
    assert again == state
    records = {record_text(one.number) for one in state.orders}
    assert state.keys == records | {key for one in state.orders for key in keys_of(one.order, AUTHORITIES)}
    assert [one.number for one in await orders_by_number(engine, [4, 9, 1])] == [1, 4]


def test_a_number_is_known_by_its_text():
    for one in (HospitalNumber("patient", "urn:oid:1", "MR", "4711"), HospitalNumber("visit", "hd:A&", "", "V\x1f7")):
        assert number_of(number_text(one)) == one
    assert number_of(key_text(OrderKey("placer", "urn:oid:1", "P1"))) is None
    assert number_of("patient") is None


OTHER = AssigningAuthority("urn:oid:9", "OTHER")
KEYLESS = order(source=OrderSource("city-his", ""), placer="P1", accession=None, about=patient(number("4711", "CITY")))


async def test_an_order_without_a_usable_number_that_an_operator_chose_is_answered_and_followed(engine):
    pipeline, stored = matching(engine), await send(engine, KEYLESS)
    await read(pipeline, "")
    await decide(engine, "match", stored)
    await pipeline.refresh(STUDY)
    assert await match_of(engine) == ("matched", "", [stored])
    await send(engine, replace(KEYLESS, ended="cancelled", ended_at=ORDERED), stored)
    assert await carry_out(engine, pipeline) == [STUDY]
    assert [one.is_cancelled for one in (await facts(engine)).orders] == [True]


@pytest.mark.parametrize("accession", ["A1", "A1,A2"])
async def test_a_study_is_ingested_again_also_where_the_settings_have_other_authorities_since(engine, accession):
    await send(engine, order(placer=None, accession="A1"))
    await read(matching(engine), accession)
    assert (await match_of(engine))[0] == "matched"
    site = replace(SITE, facilities={name: replace(one, accession=OTHER) for name, one in SITE.facilities.items()})
    pipeline = Pipeline(engine, site, UTC, orders=OrderReader(engine, Authorities(site)))
    assert await pipeline.refresh(STUDY) is not None
    assert await pipeline.refresh(STUDY) is not None


async def test_what_is_told_of_an_order_without_a_usable_number_while_its_study_is_mapped_is_not_missed(both):
    (engine, pipeline), (other, _) = both
    stored = await send(engine, KEYLESS)
    await read(pipeline, "")
    await decide(engine, "match", stored)

    async def meddle():
        await send(other, replace(KEYLESS, priority="S"), stored)

    await matching(Meddled(engine, meddle)).refresh(STUDY)
    assert [one.priority for one in (await facts(engine)).orders] == ["S"]


async def test_no_number_was_told_yet(engine):
    assert await told_numbers(engine, "1.2.3") == frozenset()


async def test_an_erased_study_leaves_no_key_match_or_decision(engine: Engine):
    await send(engine, ONE)
    await decide(engine, "match", 1)
    await read(matching(engine))
    assert (await match_of(engine))[0] == "matched"
    erasure = ErasureOrder([STUDY], "Patient/x", "asked", b"k" * 32, micros(ONE.last_at))
    await engine.do(lambda: erase_studies(erasure, is_trial=False))
    for table in ("study_key", "order_match", "order_verdict"):
        assert await rows(engine, f"SELECT study_id FROM {table}") == []
    assert await engine.do(lambda: ask(OF_STUDY, study_id=STUDY)) == []


def test_the_patients_of_these_tests_are_told_apart_by_their_numbers():
    assert patient("4711") != patient("5001")
