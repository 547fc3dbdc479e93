"""AutoScribe's questions are answered from stored orders and reports, and what was told is known afterwards; D48.

AutoScribe REST API, webhooks `patient_study.enrichment_requested`, `clinical_context.enrichment_requested`.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from datetime import UTC

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fakes.audited import entries
from fakes.hospital import CITY, MERCY, NOW, order, patient
from fakes.hospital import SITE as HOSPITAL
from fakes.inbox import KEY, body, signed
from fakes.scale import examples
from fakes.store import rows
from fakes.taken_in import take
from fakes.upstream_json import report_json
from fakes.webhook_contract import CONTEXT_REPLY, ENRICHMENT_REPLY, faults
from fastapi import FastAPI
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.audit.journal import AuditJournal
from gateway.fhir_api.audit.trail import AUTOSCRIBE, AuditTrail
from gateway.ingest import Pipeline
from gateway.runtime.errors import AuditUnavailable, StoreUnavailable
from gateway.runtime.metrics import Metrics
from gateway.store.enrichment import StoredEnrichments, note_told, said_numbers, told_numbers
from gateway.store.orders.hospital import put_order
from gateway.store.orders.numbers import add_change, keys_of
from gateway.webhooks.answering import CONTEXT_REQUESTED, HospitalAnswers, answers_of
from gateway.webhooks.assembly import inbox_of
from gateway.webhooks.endpoint import PATH, webhook_routes
from gateway.webhooks.event import ENRICHMENT_REQUESTED
from mappings.hospital.authorities import Authorities, HospitalNumber
from mappings.hospital.groups import ResolvedChange
from mappings.model import HospitalMessageName

CLINIC = "123e4567-e89b-12d3-a456-426614174000"
UID = "1.2.840.9"
SITE = replace(
    HOSPITAL,
    facilities={
        row.name: replace(row, clinic_ids=(CLINIC,) if row.name == "City" else ())
        for row in HOSPITAL.facilities.values()
    },
)
ASKED = {"clinicId": CLINIC, "studyInstanceUid": UID, "accessionNumber": "A1", "patientId": "4711"}
CONTEXT = {"clinicId": CLINIC, "studyInstanceUid": UID, "studyId": "123e4567-e89b-12d3-a456-426614174111"}


class Desk:
    """The endpoint over a store; `shown` is what the audit was told."""

    def __init__(self, engine, site=SITE):
        self.shown, self.app = [], FastAPI(routes=webhook_routes())
        inbox = inbox_of(engine, [KEY], site, Metrics(), {}, lambda _: None, self._note)
        answers = answers_of(engine, site, {})
        self.inbox = replace(inbox, now=lambda: NOW, answers=answers and replace(answers, now=lambda: NOW))
        self.unaudited = False

    def _note(self, scope, request_id, shown):
        if self.unaudited:
            raise AuditUnavailable("closed")
        self.shown += shown

    async def ask(self, kind, data):
        self.app.state.inbox = self.inbox
        content = (
            body(kind, **data)
            if isinstance(data, dict)
            else json.dumps({"id": "whe_1", "type": kind, "data": data}).encode()
        )
        async with httpx.AsyncClient(transport=httpx.ASGITransport(self.app)) as client:
            headers = signed(content, at=NOW)
            answer = await client.post(f"http://127.0.0.1{PATH}", content=content, headers=headers)
        return answer.status_code, answer.json()

    async def study(self, **changes):
        return await self.ask(ENRICHMENT_REQUESTED, ASKED | changes)

    async def context(self, **changes):
        return await self.ask(CONTEXT_REQUESTED, CONTEXT | changes)


async def placed(engine, *orders):
    for one in orders:
        keys = list(keys_of(one, Authorities(SITE)))
        await engine.do(lambda one=one, keys=keys: put_order(None, one, keys, 5))


async def merged(engine, old, new, held=""):
    pair = [HospitalNumber("patient", "urn:oid:1.2.1", "MR", one) for one in (old, new)]
    await engine.do(lambda: add_change(ResolvedChange(*pair), new, HospitalMessageName("ris", "1"), held, 5))


async def test_a_study_with_one_agreeing_group_is_told_its_order(engine):
    await placed(engine, order(), order(source=MERCY), order(placer="P9", about=patient("4712", family="ROE")))
    desk = Desk(engine)
    status, said = await desk.study()
    assert (status, said["patientName"], said["mrn"], said["facilityName"]) == (200, "DOE, JANE", "4711", "City")
    assert faults(said, ENRICHMENT_REPLY) == []
    assert [one.partition("-")[0] for one in desk.shown] == ["Patient/pat"]
    assert await said_numbers(engine, UID) == ("A1", "4711")
    assert await told_numbers(engine, UID) == frozenset()
    assert await rows(engine, "SELECT number, is_own FROM enrichment_answer") == [("4711", 1)]


@pytest.mark.parametrize(
    "changes",
    [
        {"clinicId": None},
        {"clinicId": 7},
        {"clinicId": "123e4567-e89b-12d3-a456-426614174009"},
        {"accessionNumber": "A2"},
        {"patientId": "4712"},
        {"patientId": None},
        {"accessionNumber": None},
    ],
    ids=str,
)
async def test_anything_that_does_not_agree_is_answered_with_nothing(engine, changes):
    await placed(engine, order())
    desk = Desk(engine)
    assert await desk.study(**changes) == (200, {})
    assert desk.shown == []
    assert await rows(engine, "SELECT count(*) FROM enrichment_answer") == [(0,)]


async def test_without_clinics_nothing_is_asked_of_the_store_and_nothing_is_told(engine):
    await placed(engine, order())
    assert answers_of(engine, HOSPITAL, {}) is None
    desk = Desk(engine, HOSPITAL)
    assert await desk.study() == (200, {})
    assert await desk.context() == (200, {})


async def test_a_number_that_autoscribe_has_from_us_alone_is_no_evidence_later(engine):
    await placed(engine, order(about=patient("4799"), indication=("Fall",)))
    await merged(engine, "4711", "4799")
    desk = Desk(engine)
    assert (await desk.study())[1]["mrn"] == "4799"
    assert await told_numbers(engine, UID) == {"4799"}


async def test_what_autoscribe_repeats_after_us_stays_ours(engine):
    source = replace(CITY, are_uids_keys=True)
    await placed(engine, order(source=source, study_uids=(UID,), indication=("Fall",)))
    desk = Desk(engine)
    assert (await desk.context(mrn="4711"))[1] == {"clinicalIndication": "Fall"}
    await note_told(engine, UID, ["4711"], ["4711"], NOW)
    await note_told(engine, UID, ["4711"], [], NOW)
    assert await told_numbers(engine, UID) == {"4711"}
    assert await desk.context(mrn="4711") == (200, {})


async def test_a_merge_that_is_held_leaves_the_question_unanswered(engine):
    await placed(engine, order())
    await merged(engine, "4711", "4799", held="merge-swap")
    assert await Desk(engine).study() == (200, {})


async def test_a_replaced_order_is_told_as_the_one_in_its_place(engine):
    new = order(placer="P2", accession="A2", procedure=order().procedure)
    old = replace(order(effect="replaced", control="RP"), replaced_by=(new.placer, None))
    await placed(engine, old, new)
    assert (await Desk(engine).study())[1]["procedure"] == "CT Head"


# The clinical context


def with_addendum():
    return report_json("4", isAddendum=True, reportPlainText="Fracture seen.", signedAt="2024-03-16T16:00:00Z")


async def prior(engine, digit="1", **snapshot):
    said = {"facilityName": "City", "mrn": "4711", "patientName": "Jane Doe", "dateOfBirth": "1985-07-20"}
    said |= {"sex": "female", "studyDate": "2024-03-15", **snapshot}
    first = report_json("3", reportId="rep_" + digit * 32, snapshotMetadata=said, reportPlainText="IMPRESSION: none.")
    second = with_addendum() | {"reportId": "rep_" + digit * 31 + "a", "snapshotMetadata": said}
    await take(Pipeline(engine, SITE, UTC), first, second, digit=digit)


async def test_priors_are_those_of_the_patient_with_their_addenda_and_are_audited(engine):
    await placed(engine, order())
    await StoredEnrichments(engine).keep(UID, "A1", "4711", NOW)
    await prior(engine, "1")
    await prior(engine, "2", studyDate="2024-03-10")
    await prior(engine, "5", mrn="4712", patientName="Max Power", sex="male")
    await prior(engine, "6", facilityName="Mercy")
    desk = Desk(engine)
    _, said = await desk.context()
    assert [(one["studyDate"], one["externalStudyId"][4]) for one in said["priorReports"]] == [
        ("2024-03-15", "1"),
        ("2024-03-10", "2"),
    ]
    for one in said["priorReports"]:
        assert one["reportText"].startswith("ADDENDUM (16-Mar-2024 16:00 UTC):\nFracture seen.\n\nREPORT")
    assert faults(said, CONTEXT_REPLY) == []
    assert [one[:20] for one in desk.shown] == ["Patient/pat-" + desk.shown[0][12:20]] + ["DiagnosticReport/rep"] * 4


async def test_while_studies_dispute_the_patient_no_prior_is_told(engine):
    await placed(engine, order(indication=("Fall",)))
    await StoredEnrichments(engine).keep(UID, "A1", "4711", NOW)
    await prior(engine, "1")
    await prior(engine, "2", patientName="Max Power", sex="male", dateOfBirth="2001-01-01")
    assert await rows(engine, "SELECT count(*) FROM conflict") != [(0,)]
    assert (await Desk(engine).context())[1] == {"clinicalIndication": "Fall"}


async def test_the_context_is_told_for_the_accession_number_of_the_images(engine):
    await placed(engine, order(indication=("Headache",), notes=("Pacemaker",)))
    desk = Desk(engine)
    assert await desk.context() == (200, {})
    await StoredEnrichments(engine).keep(UID, "A1", "4711", NOW)
    status, said = await desk.context()
    assert (status, said) == (
        200,
        {"clinicalIndication": "Headache", "technologistNotes": ["Order note: Pacemaker"]},
    )
    assert await desk.context(mrn="4712") == (200, {})
    assert (await desk.context(mrn="04711"))[1] == said


async def test_without_images_the_study_uid_and_the_patient_number_decide(engine):
    source = replace(CITY, are_uids_keys=True)
    await placed(engine, order(source=source, study_uids=(UID,), indication=("Fall",)))
    desk = Desk(engine)
    assert (await desk.context(mrn="4711"))[1] == {"clinicalIndication": "Fall"}
    assert await desk.context(mrn="4712") == (200, {})
    assert await desk.context() == (200, {})


# What fails


async def test_a_late_or_broken_database_is_answered_with_nothing_in_time(engine, monkeypatch):
    await placed(engine, order())
    desk = Desk(engine)

    async def late(*_):
        await asyncio.sleep(60)

    async def broken(*_):
        raise StoreUnavailable("CANARY")

    for failure in (late, broken):
        monkeypatch.setattr(HospitalAnswers, "_agreed", failure)
        begun = asyncio.get_running_loop().time()
        assert await desk.study() == (200, {})
        assert await desk.context() == (200, {})
        assert asyncio.get_running_loop().time() - begun < 5
    assert await said_numbers(engine, UID) == ("A1", "4711")


async def test_an_answer_is_in_the_audit_with_the_patient_and_no_text_of_theirs(engine, tmp_path):
    await placed(engine, order())
    desk, journal = Desk(engine), AuditJournal(tmp_path, Ed25519PrivateKey.generate())
    await journal.turn()
    desk.inbox = replace(desk.inbox, note_shown=AuditTrail(journal, b"k" * 32).answer)
    assert (await desk.study())[1]["mrn"] == "4711"
    assert await desk.study(patientId="4712") == (200, {})
    journal.close()
    [entry] = entries(tmp_path)
    assert (entry.kind, entry.client, entry.status, entry.patient_count) == ("operation", AUTOSCRIBE, 200, 1)
    assert entry.route == f"POST {PATH}"
    assert [one[:4] for one in entry.patients] == ["pat-"]
    assert "4711" not in str(entry)
    assert "DOE" not in str(entry)


async def test_without_the_audit_nothing_is_shown(engine):
    await placed(engine, order())
    desk = Desk(engine)
    desk.unaudited = True
    assert await desk.study() == (200, {})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=5,
)
FIELDS = {
    "clinicId": st.just(CLINIC) | JSON,
    "studyInstanceUid": st.just(UID) | JSON,
    "accessionNumber": st.just("A1") | JSON,
    "patientId": st.just("4711") | JSON,
    "mrn": st.just("4711") | JSON,
    "studyId": JSON,
}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=examples(200))
@given(
    kind=st.sampled_from([ENRICHMENT_REQUESTED, CONTEXT_REQUESTED]),
    data=st.fixed_dictionaries({}, optional=FIELDS) | JSON,
)
async def test_whatever_is_asked_every_answer_follows_the_contract(sqlite_engine, kind, data):
    if not await rows(sqlite_engine, "SELECT 1 FROM hospital_order"):
        await placed(sqlite_engine, order(indication=("Fall",), notes=("x" * 2000,)))
    status, said = await Desk(sqlite_engine).ask(kind, data)
    assert status in (200, 400)
    assert status == 200 or kind == ENRICHMENT_REQUESTED
    if status == 200:
        assert faults(said, ENRICHMENT_REPLY if kind == ENRICHMENT_REQUESTED else CONTEXT_REPLY) == []
