"""Warnings that may apply to a search's results come with the page, so that most searches need no further query."""

from __future__ import annotations

import pytest
from fakes.store import made, write

from gateway.index.criteria import Is
from gateway.store.database.engine import Statement, ask
from gateway.store.studies import search
from gateway.store.studies.search_sql import ANY_REMARK, CONFLICTS, DISPUTED, SUPPRESSED, UPDATED, Search

STUDY = Statement(
    "INSERT INTO study (study_id, revision, is_external, has_signed, has_warnings, listed_digest, received_digest,"
    " received, kept, fetched, listed) VALUES (:study_id, 1, 0, 0, :has_warnings, '', '', :none, :none, 1, 1)"
)
HELD = Statement("INSERT INTO conflict (patient_id, study_id, since) VALUES (:patient_id, 'stu_1', 1)")
REPORTS = {f"DiagnosticReport/{one}": {"terms": {(1, "a")}, "owner": f"stu_{one}"} for one in (1, 2)}


async def said(engine, resource_type="DiagnosticReport", *patients):
    asked = Search(resource_type, ((Is(1, "a"),),), 0, (UPDATED,), 10, patients=patients)
    return {one.address: one.remarks for one in (await search.page(engine, asked)).versions}


@pytest.fixture
async def stored(engine):
    """Store two reports, each of a study of its own, and a patient; only the first study may be disputed."""
    await write(engine, *(made(address, **more) for address, more in REPORTS.items()))
    await write(engine, made("Patient/pat-1", terms={(1, "a")}))
    for number, has_warnings in ((1, 1), (2, 0)):
        await engine.do(
            lambda number=number, has=has_warnings: ask(STUDY, study_id=f"stu_{number}", has_warnings=has, none=b"")
        )
    return engine


async def test_each_is_told_whether_its_study_may_be_disputed(stored):
    assert await said(stored) == {"DiagnosticReport/1": DISPUTED, "DiagnosticReport/2": 0}
    assert await said(stored, "Patient") == {"Patient/pat-1": 0}


async def test_that_any_resource_of_the_type_is_suppressed_is_told(stored):
    await write(stored, made("DiagnosticReport/3", faults="[]"))
    assert await said(stored) == {"DiagnosticReport/1": DISPUTED + SUPPRESSED, "DiagnosticReport/2": SUPPRESSED}
    assert await said(stored, "Patient") == {"Patient/pat-1": 0}


async def test_that_studies_are_held_apart_from_a_patient_is_told_who_names_or_finds_the_patient(stored):
    await stored.do(lambda: ask(HELD, patient_id="pat-1"))
    assert await said(stored, "DiagnosticReport", "pat-2", "pat-3") == await said(stored)
    assert (await said(stored, "DiagnosticReport", "pat-2", "pat-1"))["DiagnosticReport/2"] == CONFLICTS
    assert await said(stored, "Patient") == {"Patient/pat-1": CONFLICTS}


async def test_of_what_was_found_otherwise_any_remark_must_be_reckoned_with(stored):
    current = await search.current(stored, ["Patient/pat-1"])
    assert current["Patient/pat-1"].remarks == ANY_REMARK
