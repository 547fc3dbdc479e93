"""Newest claim about a patient among the studies of some facilities, and the Patient made of it; D12 and D41."""

from __future__ import annotations

import pytest
from fakes.store import made, write

from gateway.auth.access import Access
from gateway.auth.scopes import scope_list
from gateway.auth.visibility import Visibility
from gateway.fhir_api.as_seen import as_seen
from gateway.index.keys import key
from gateway.store.database.engine import Statement, ask_each
from gateway.store.studies import search as store
from gateway.store.studies.identities import newest_claims
from mappings.fhir.datatypes import json_bytes, narrative

HERE, THERE = "Organization/org-here", "Organization/org-there"
CLAIM = Statement(
    "INSERT INTO claim (patient_id, study_id, study_date, signed, body, content)"
    " VALUES (:patient_id, :study_id, :study_date, :signed, :body, '')"
)
# Study -> facility, study date, signature, family name
STUDIES = {
    "stu_1": (HERE, "2026-01-01", 5, "Early"),
    "stu_2": (HERE, "2026-01-02", 1, "Then"),
    "stu_3": (HERE, "2026-01-02", 2, "Here"),
    "stu_4": (THERE, "2026-01-03", 0, "Hidden"),
}


def patient(family):
    return {
        "resourceType": "Patient",
        "id": "pat-1",
        "text": narrative(family, []),
        "identifier": [{"system": "urn:example:mrn", "value": "1"}],
        "name": [{"text": family, "family": family}],
        "gender": "female",
    }


@pytest.fixture
async def shared(engine):
    """Store a patient that four studies of two facilities describe."""
    performer = key("DiagnosticReport", "performer")
    reports = [
        made(f"DiagnosticReport/rep-{number}", owner=study, terms={(performer, facility)})
        for number, (study, (facility, *_)) in enumerate(STUDIES.items())
    ]
    body = json_bytes({name: value for name, value in patient("Hidden").items() if name not in {"resourceType", "id"}})
    await write(engine, *reports, made("Patient/pat-1", tail=b"}," + body[1:]))

    def claims():
        rows = [
            {
                "patient_id": "pat-1",
                "study_id": study,
                "study_date": day,
                "signed": signed,
                "body": json_bytes(patient(name)),
            }
            for study, (_, day, signed, name) in STUDIES.items()
        ]
        yield from ask_each(CLAIM, rows)

    await engine.do(claims)
    return engine


def sight(*facilities):
    access = Access("client-a", scope_list("system/*.rs"), frozenset({"any"}), 0)
    return Visibility(access, facilities)


async def seen(engine, *facilities):
    stored = await store.current(engine, ["Patient/pat-1"])
    return [one.resource for one in await as_seen(engine, sight(*facilities), [stored["Patient/pat-1"]])]


async def test_the_newest_study_of_the_facilities_describes_the_patient(shared):
    assert (await seen(shared, HERE))[0] == patient("Here")
    assert (await seen(shared, HERE, THERE))[0]["name"][0]["family"] == "Hidden"
    assert await newest_claims(shared, ["Patient/pat-1", "Patient/pat-2"], [THERE]) == {
        "Patient/pat-1": json_bytes(patient("Hidden"))
    }


async def test_without_a_study_of_the_facilities_there_is_no_patient(shared):
    assert await seen(shared, "Organization/org-other") == []
    assert await seen(shared) == []


async def test_a_claim_that_does_not_pass_the_check_is_not_served(shared):
    def broken():
        yield from ask_each(
            Statement("UPDATE claim SET body = :body WHERE study_id = 'stu_3'"),
            [{"body": b'{"resourceType":"Patient","id":"pat-1","gender":"x"}'}],
        )

    await shared.do(broken)
    assert await seen(shared, HERE) == []


async def test_a_client_without_facilities_gets_the_stored_patient(shared):
    stored = (await store.current(shared, ["Patient/pat-1"]))["Patient/pat-1"]
    for one in (Visibility(), Visibility(Access("a", scope_list("patient/*.rs"), None, 0, None, "pat-1"))):
        assert await as_seen(shared, one, [stored]) == [stored]
