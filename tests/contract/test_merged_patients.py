"""Merges of patients in the store (D48): reports follow, the old Patient is replaced, nothing is sent.

https://hl7.org/fhir/R4/patient.html#merge, HL7 v2.5.1 §3.6.2.1
"""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from fakes.fhir_studies import SITE, addendum, report, snapshot
from fakes.merging import SYSTEM, knowing, merge
from fakes.store import rows
from fakes.taken_in import contents, current, outbox, study_id, take

from gateway.store.studies import identities
from gateway.store.studies.identities import newest_claims
from mappings.patient.identifiers import keyed_patient_id

AT = datetime(2026, 1, 5, tzinfo=UTC)
OLD, NEW, LAST = "MRN-001234", "MRN-9", "MRN-10"
SOMEBODY_ELSE = {"patientName": "John Roe", "dateOfBirth": "1950-01-01", "sex": "male"}


@pytest.fixture(autouse=True)
def knows():
    """Let every ingest know the merges in the store."""
    with knowing(SITE):
        yield


def pat(number):
    return keyed_patient_id(SYSTEM, number, SITE)


async def said_of(pipeline, digit, **changes):
    return await take(pipeline, report(digit, snapshotMetadata=snapshot(**changes)), digit=digit)


async def subject(engine, digit):
    found = (await current(engine))[f"DiagnosticReport/rep-{digit * 32}"]
    return found["subject"]["reference"].partition("/")[2]


async def patient(engine, number):
    """Return what a client needs to know of a Patient: active or not, its numbers, and its links."""
    found = (await current(engine, "Patient")).get(f"Patient/{pat(number)}")
    if found is None:
        return None
    links = {(one["type"], one["other"]["reference"].partition("/")[2]) for one in found.get("link", ())}
    numbers = [(one["value"], one.get("use", "")) for one in found["identifier"]]
    return found.get("active", True), numbers, links


async def refreshed(pipeline, digits):
    """Refresh these studies in that order, as the application of a merge asks; return the last result."""
    for digit in digits:
        again = await pipeline.refresh(study_id(digit))
        assert again is not None
    return again


REPLACED = (False, [(OLD, "old")], {("replaced-by", pat(NEW))})
SURVIVOR = (True, [(NEW, ""), (OLD, "old")], {("replaces", pat(OLD))})


async def test_reports_follow_to_the_survivor_and_the_old_patient_answers_that_it_is_replaced(engine, pipeline):
    await take(pipeline, report(), addendum())
    queued = await outbox(engine)
    await merge(engine, OLD, NEW)
    again = await refreshed(pipeline, "1")
    assert (again.change.causes, again.change.moved) == ((), frozenset())
    assert {await subject(engine, digit) for digit in "34"} == {pat(NEW)}
    assert await patient(engine, OLD) == REPLACED
    assert await patient(engine, NEW) == SURVIVOR
    assert await outbox(engine) == queued
    assert [one["subject"]["reference"] for one in await contents(engine, f"DiagnosticReport/rep-{'3' * 32}")] == [
        f"Patient/{pat(OLD)}",
        f"Patient/{pat(NEW)}",
    ]


@pytest.mark.parametrize("order", ["12", "21"])
async def test_the_old_patient_stays_active_until_its_last_study_has_followed(engine, pipeline, order):
    for digit in "12":
        await said_of(pipeline, digit)
    await merge(engine, OLD, NEW)
    first, last = order
    await refreshed(pipeline, first)
    assert (await patient(engine, OLD))[0] is True
    assert await subject(engine, last) == pat(OLD)
    assert await patient(engine, NEW) == SURVIVOR
    await refreshed(pipeline, last)
    assert await patient(engine, OLD) == REPLACED
    assert await patient(engine, NEW) == SURVIVOR


@pytest.mark.full
@pytest.mark.parametrize("order", ["123", "132", "213", "231", "312", "321"])
async def test_the_survivor_is_as_its_newest_study_says_and_has_the_old_numbers_of_all(engine, pipeline, order):
    await said_of(pipeline, "1", studyDate="2024-01-01", mrn="MRN-5")
    await said_of(pipeline, "2", studyDate="2024-02-01")
    await said_of(pipeline, "3", studyDate="2024-03-01", mrn=NEW, patientName="Jane Newest Doe")
    await merge(engine, OLD, NEW)
    await merge(engine, "MRN-5", NEW)
    await refreshed(pipeline, order)
    assert await patient(engine, NEW) == (
        True,
        [(NEW, ""), (OLD, "old"), ("MRN-5", "old")],
        {("replaces", pat(OLD)), ("replaces", pat("MRN-5"))},
    )
    assert (await current(engine, "Patient"))[f"Patient/{pat(NEW)}"]["name"][0]["text"] == "Jane Newest Doe"
    assert {await subject(engine, digit) for digit in "123"} == {pat(NEW)}


async def test_a_study_that_comes_after_the_merge_is_the_survivors_from_the_start(engine, pipeline):
    await merge(engine, OLD, NEW)
    await said_of(pipeline, "1")
    assert await subject(engine, "1") == pat(NEW)
    assert await patient(engine, OLD) == REPLACED
    assert await patient(engine, NEW) == SURVIVOR


@pytest.mark.parametrize("is_refreshed", [False, True])
async def test_autoscribe_says_the_surviving_number_later_and_nothing_moves(engine, pipeline, is_refreshed):
    await said_of(pipeline, "1")
    await merge(engine, OLD, NEW)
    if is_refreshed:
        await refreshed(pipeline, "1")
    again = await said_of(pipeline, "1", mrn=NEW)
    assert (again.change.causes, again.change.moved) == ((), frozenset())
    back = await said_of(pipeline, "1")
    assert (back.change.causes, back.change.moved) == ((), frozenset())
    assert await outbox(engine) == [("1", "signed")]
    assert await patient(engine, OLD) == REPLACED
    assert await patient(engine, NEW) == SURVIVOR


@pytest.mark.parametrize("is_refreshed", [False, True])
async def test_a_chain_of_merges_leaves_one_active_patient(engine, pipeline, is_refreshed):
    await said_of(pipeline, "1")
    await merge(engine, OLD, NEW)
    if is_refreshed:
        await refreshed(pipeline, "1")
    await merge(engine, NEW, LAST)
    await refreshed(pipeline, "1")
    await refreshed(pipeline, "1")
    assert await subject(engine, "1") == pat(LAST)
    assert await patient(engine, OLD) == (False, [(OLD, "old")], {("replaced-by", pat(LAST))})
    if is_refreshed:
        assert await patient(engine, NEW) == (False, [(NEW, "old")], {("replaced-by", pat(LAST))})
    survivor = await patient(engine, LAST)
    assert (survivor[0], ("replaces", pat(OLD)) in survivor[2]) == (True, True)
    assert await outbox(engine) == [("1", "signed")]


async def test_a_swap_is_not_followed(engine, pipeline):
    await said_of(pipeline, "1")
    await merge(engine, OLD, NEW)
    await merge(engine, NEW, OLD)
    await refreshed(pipeline, "1")
    assert await subject(engine, "1") == pat(OLD)
    assert await patient(engine, OLD) == (True, [(OLD, "")], set())
    assert await patient(engine, NEW) is None


async def test_a_patient_who_really_is_another_is_moved_beside_a_merge(engine, pipeline):
    await said_of(pipeline, "1")
    await merge(engine, OLD, NEW)
    await refreshed(pipeline, "1")
    again = await said_of(pipeline, "1", mrn="MRN-7")
    assert again.change.is_move
    assert await outbox(engine) == [("1", "signed"), ("1", "patient_changed")]
    assert await subject(engine, "1") == pat("MRN-7")


@pytest.mark.parametrize("numbers", [(OLD, NEW), (NEW, OLD)])
@pytest.mark.parametrize("order", ["12", "21"])
async def test_two_people_whose_numbers_are_merged_stay_two(engine, pipeline, numbers, order):
    mine, theirs = numbers
    await said_of(pipeline, "1", mrn=mine)
    await said_of(pipeline, "2", mrn=theirs, **SOMEBODY_ELSE)
    await merge(engine, OLD, NEW)
    await refreshed(pipeline, order)
    await refreshed(pipeline, order)
    subjects = {await subject(engine, digit) for digit in "12"}
    assert len(subjects) == 2
    assert pat(OLD) not in subjects
    [held] = [one for one in await identities.every(engine) if one.state == "held apart"]
    assert held.patient_id == pat(NEW)
    assert await outbox(engine) == [("1", "signed"), ("2", "signed")]
    names = {one["name"][0]["text"] for one in (await current(engine, "Patient")).values() if one.get("active", True)}
    assert names >= {"Jane Doe", "John Roe"}


@pytest.mark.full
@pytest.mark.parametrize(("verdict", "are_one"), [("link", True), ("separate", False)])
@pytest.mark.parametrize("order", ["12", "21"])
async def test_what_an_operator_decided_about_the_old_patient_holds_for_the_survivor(
    engine, pipeline, verdict, are_one, order
):
    other = SOMEBODY_ELSE if verdict == "link" else {}
    await said_of(pipeline, "1")
    await said_of(pipeline, "2", **other)
    assert await identities.decide(engine, pat(OLD), study_id("2"), verdict, "asked", AT)
    await refreshed(pipeline, "2")
    assert (await subject(engine, "1") == await subject(engine, "2")) is are_one
    await merge(engine, OLD, NEW)
    await refreshed(pipeline, order)
    await refreshed(pipeline, order)
    assert await subject(engine, "1") == pat(NEW)
    assert (await subject(engine, "1") == await subject(engine, "2")) is are_one
    codes = await rows(engine, "SELECT code FROM issue WHERE code = 'identity-conflict'")
    assert codes == []


async def test_a_client_of_a_facility_learns_of_no_old_number_of_others(engine, pipeline):
    await said_of(pipeline, "1")
    await merge(engine, OLD, NEW)
    await refreshed(pipeline, "1")
    addresses = [f"Patient/{pat(one)}" for one in (OLD, NEW)]
    (facility,) = {one["performer"][0]["reference"] for one in (await current(engine, "DiagnosticReport")).values()}
    seen = await newest_claims(engine, addresses, [facility])
    assert sorted(seen) == sorted(addresses)
    assert await newest_claims(engine, addresses, ["Organization/org-other"]) == {}
