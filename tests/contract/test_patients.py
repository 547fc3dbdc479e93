"""Current Patient: the snapshot it comes from, studies held apart from it, and verdicts of operators (D11-D13).

https://hl7.org/fhir/R4/patient.html
"""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from fakes.fhir_studies import report, snapshot
from fakes.store import rows
from fakes.taken_in import DRAFT, contents, current, giving, outbox, said, study_id, take, written

from gateway.ingest.control_queue import ControlWork
from gateway.runtime import clock
from gateway.store.database.facts import Controls
from gateway.store.studies import identities, search

AT = datetime(2026, 1, 5, tzinfo=UTC)
SOMEBODY_ELSE = {"patientName": "John Roe", "dateOfBirth": "1950-01-01", "sex": "male"}


def of(digit, **changes):
    """Return a report whose last digit is that of its study, with changes to the snapshot."""
    signed = changes.pop("signedAt", "2024-03-15T16:00:00Z")
    return report(digit, signedAt=signed, snapshotMetadata=snapshot(**changes))


async def said_of(pipeline, digit, **changes):
    return await take(pipeline, of(digit, **changes), digit=digit)


async def patients(engine):
    """Return the name of each current Patient, by id."""
    found = await current(engine, "Patient")
    return {address.partition("/")[2]: one["name"][0]["text"] for address, one in found.items()}


async def shared(engine):
    """Return the id of the patient with the number of the snapshots."""
    (found,) = [
        one["id"] for one in (await current(engine, "Patient")).values() if "MRN-001234" in str(one["identifier"])
    ]
    return found


async def subject(engine, digit):
    return (await current(engine))[f"DiagnosticReport/rep-{digit * 32}"]["subject"]["reference"].partition("/")[2]


async def claims(engine):
    return await rows(engine, "SELECT study_id, study_date, signed FROM claim ORDER BY study_id")


@pytest.mark.parametrize("order", ["123", "321", "213"])
async def test_the_current_patient_is_what_the_newest_study_says_in_whatever_order_they_come(engine, pipeline, order):
    studies = {
        "1": {"patientName": "Jane Old", "studyDate": "2024-01-01"},
        "2": {"patientName": "Jane New", "studyDate": "2024-03-01", "signedAt": "2024-03-02T00:00:00Z"},
        "3": {"patientName": "Jane Early", "studyDate": "2024-03-01", "signedAt": "2024-03-01T12:00:00Z"},
    }
    for digit in order:
        await said_of(pipeline, digit, **studies[digit])
    assert list((await patients(engine)).values()) == ["Jane New"]
    assert {await subject(engine, digit) for digit in studies} == set(await patients(engine))
    assert await claims(engine) == [
        (study_id("1"), "2024-01-01", 1_710_518_400_000_000),
        (study_id("2"), "2024-03-01", 1_709_337_600_000_000),
        (study_id("3"), "2024-03-01", 1_709_294_400_000_000),
    ]


async def test_an_older_study_that_says_something_new_does_not_move_the_patient(engine, pipeline):
    await said_of(pipeline, "2", studyDate="2024-03-01")
    await said_of(pipeline, "1", studyDate="2024-01-01")
    before = await contents(engine, f"Patient/{await shared(engine)}")
    await said_of(pipeline, "1", studyDate="2024-01-01", patientName="Jane Maria Doe")
    assert await contents(engine, f"Patient/{await shared(engine)}") == before


async def test_a_study_whose_date_moves_on_speaks_for_the_patient(engine, pipeline):
    await said_of(pipeline, "2", studyDate="2024-03-01", patientName="Jane Two")
    await said_of(pipeline, "1", studyDate="2024-01-01", patientName="Jane One")
    await said_of(pipeline, "1", studyDate="2024-05-01", signedAt="2024-05-02T00:00:00Z", patientName="Jane One")
    assert list((await patients(engine)).values()) == ["Jane One"]


async def test_a_study_of_a_day_that_has_not_been_is_said_and_never_speaks_for_the_patient(engine, pipeline):
    await said_of(pipeline, "1", studyDate="2024-01-01", patientName="Jane One")
    signed = "2099-01-01T10:00:00Z"
    late = await said_of(
        pipeline, "2", studyDate="2099-01-01", signedAt=signed, updatedAt=signed, patientName="Jane Two"
    )
    assert "study-date-too-late" in [one.code for one in late.issues]
    assert list((await patients(engine)).values()) == ["Jane One"]


async def test_a_study_that_names_another_patient_gives_the_first_back_to_the_next_newest(engine, pipeline):
    await said_of(pipeline, "1", studyDate="2024-01-01", patientName="Jane One")
    await said_of(pipeline, "2", studyDate="2024-03-01", patientName="Jane Two")
    first = await shared(engine)
    assert (await patients(engine))[first] == "Jane Two"
    moved = await said_of(pipeline, "2", studyDate="2024-03-01", patientName="Jane Two", mrn="MRN-9")
    assert (await patients(engine))[first] == "Jane One"
    other = await subject(engine, "2")
    assert (other != first, (await patients(engine))[other]) == (True, "Jane Two")
    assert moved.change.is_move
    assert await outbox(engine) == [("1", "signed"), ("2", "signed"), ("2", "patient_changed")]
    assert await rows(engine, "SELECT is_move FROM outbox ORDER BY number") == [(0,), (0,), (1,)]


async def test_the_patient_that_the_last_study_left_stays_as_it_was_said(engine, pipeline):
    await said_of(pipeline, "1")
    first = await shared(engine)
    await said_of(pipeline, "1", mrn="MRN-9")
    assert (await patients(engine))[first] == "Jane Doe"
    assert [study for study, *_ in await claims(engine)] == [study_id("1")]


async def test_a_study_that_speaks_of_somebody_else_is_held_apart(engine, pipeline):
    await said_of(pipeline, "1")
    first = await shared(engine)
    await said_of(pipeline, "2", **SOMEBODY_ELSE)
    own = await subject(engine, "2")
    assert own != first
    assert (await patients(engine)) == {first: "Jane Doe", own: "John Roe"}
    assert [(one.patient_id, one.study_id, one.state) for one in await identities.every(engine)] == [
        (first, study_id("2"), "held apart")
    ]
    assert await rows(engine, "SELECT count(*) FROM issue WHERE code = 'identity-conflict'") == [(1,)]
    assert await identities.named(engine, study_id("2")) == {first, own}
    assert await search.conflicts(engine, [first, own]) == {first: 1}
    issues = await search.issues(engine, [study_id("1"), study_id("2")], 10)
    assert {study for study, issue in issues if issue.code == "identity-conflict"} == {study_id("2")}
    warned = await rows(engine, "SELECT study_id FROM study WHERE has_warnings = 1")
    assert warned == [(study_id("2"),)]
    assert "information" not in {issue.severity for _, issue in issues}


async def test_since_when_it_is_held_apart_stays_and_it_ends_with_the_contradiction(engine, pipeline):
    since = "SELECT since FROM conflict"
    await said_of(pipeline, "1")
    await said_of(pipeline, "2", **SOMEBODY_ELSE)
    first = await rows(engine, since)
    await said_of(pipeline, "2", **SOMEBODY_ELSE, procedure="Another")
    assert await rows(engine, since) == first
    await said_of(pipeline, "2")
    assert await rows(engine, since) == []
    assert await subject(engine, "2") == await subject(engine, "1")


async def test_a_study_that_was_held_apart_is_looked_at_again_once_the_other_says_otherwise(engine, pipeline):
    await said_of(pipeline, "1", **SOMEBODY_ELSE)
    await said_of(pipeline, "2")
    assert await subject(engine, "1") != await subject(engine, "2")
    await said_of(pipeline, "1")
    work = ControlWork(Controls(engine), pipeline)
    assert await work.once() == 1
    assert await subject(engine, "1") == await subject(engine, "2")
    assert await rows(engine, "SELECT * FROM conflict") == []
    assert await work.once() == 0


async def test_a_study_that_is_linked_belongs_to_the_patient_that_it_names(engine, pipeline):
    await said_of(pipeline, "1", studyDate="2024-05-01", signedAt="2024-05-02T00:00:00Z")
    await said_of(pipeline, "2", **SOMEBODY_ELSE)
    patient = await subject(engine, "1")
    assert await identities.decide(engine, patient, study_id("2"), "link", "same person, seen by K.", AT)
    linked = await pipeline.refresh(study_id("2"))
    assert f"DiagnosticReport/rep-{'2' * 32}" in written(linked)
    assert await subject(engine, "2") == patient
    assert (await patients(engine))[patient] == "Jane Doe"
    assert [(one.study_id, one.state, one.since) for one in await identities.every(engine)] == [
        (study_id("2"), "link", AT)
    ]
    assert not written(await pipeline.refresh(study_id("2")))


async def test_a_study_that_is_separated_has_a_patient_of_its_own_though_nothing_contradicts(engine, pipeline):
    await said_of(pipeline, "1")
    await said_of(pipeline, "2")
    patient = await subject(engine, "1")
    assert await subject(engine, "2") == patient
    assert await identities.decide(engine, patient, study_id("2"), "separate", "two people", AT)
    await pipeline.refresh(study_id("2"))
    assert await subject(engine, "2") != patient
    assert await subject(engine, "1") == patient
    assert [study for study, *_ in await claims(engine)] == [study_id("1"), study_id("2")]
    claimed = {one for (one,) in await rows(engine, "SELECT patient_id FROM claim")}
    assert claimed == {patient, await subject(engine, "2")}
    assert await identities.decide(engine, patient, study_id("2"), "link", "one person after all", AT)
    await pipeline.refresh(study_id("2"))
    assert await subject(engine, "2") == patient


async def test_a_verdict_about_a_study_that_is_not_stored_is_none(engine, pipeline):
    assert not await identities.decide(engine, "pat-1", study_id("9"), "link", "", AT)
    assert await identities.every(engine) == []


async def test_a_patient_that_a_gateway_whose_clock_is_ahead_wrote_is_given_back_all_the_same(
    engine, pipeline, monkeypatch
):
    """Check that a transaction reads data newer than all earlier writes, whatever the clocks say."""
    await said_of(pipeline, "1", studyDate="2024-01-01", patientName="Jane One")
    with monkeypatch.context() as ahead:
        ahead.setattr(clock, "now", lambda: datetime(2999, 1, 1, tzinfo=UTC))
        await said_of(pipeline, "2", studyDate="2024-03-01", patientName="Jane Two")
    first = await shared(engine)
    assert (await patients(engine))[first] == "Jane Two"
    await said_of(pipeline, "2", studyDate="2024-03-01", patientName="Jane Two", mrn="MRN-9")
    assert (await patients(engine))[first] == "Jane One"


async def test_drafts_claim_their_patient_too(engine, pipeline):
    await pipeline.ingest(study_id("2"), giving(said(of("2") | DRAFT, digit="2", studyReportStatus="in_progress")))
    assert [(study, signed) for study, _, signed in await claims(engine)] == [(study_id("2"), 0)]
    assert await subject(engine, "2") in await patients(engine)


async def test_a_patient_of_another_family_name_is_one_person_and_that_is_said(engine, pipeline):
    await said_of(pipeline, "1", patientName="DOE^JANE")
    await said_of(pipeline, "2", patientName="ROE^JANE")
    assert await subject(engine, "2") == await subject(engine, "1")
    found = await rows(engine, "SELECT study_id, severity, pointer FROM issue WHERE code = 'patient-renamed'")
    assert found == [(study_id("2"), "information", "/reports/0/snapshotMetadata/patientName")]


async def test_a_study_of_a_day_that_is_yet_to_come_never_speaks_for_the_patient(engine, pipeline):
    await said_of(pipeline, "1", studyDate="2062-01-01", signedAt="2062-01-01T00:00:00Z", patientName="Jane Later")
    await said_of(pipeline, "2", studyDate="2020-01-01", signedAt="2020-01-01T12:00:00Z", patientName="Jane Then")
    await said_of(pipeline, "3", studyDate="2024-03-18", patientName="Jane Mistyped")
    assert list((await patients(engine)).values()) == ["Jane Then"]
    assert [day for _, day, _ in await claims(engine)] == ["", "2020-01-01", ""]


async def sources(engine, patient_id):
    """Return the studies that say in a Provenance who the patient is."""
    found = (await current(engine, "Provenance")).values()
    about = [one for one in found if one["target"] == [{"reference": f"Patient/{patient_id}"}]]
    return {one["entity"][0]["what"]["identifier"]["value"] for one in about}


async def test_each_study_that_describes_a_patient_has_its_own_provenance_and_leaves_the_others_alone(engine, pipeline):
    await said_of(pipeline, "1", studyDate="2024-01-01")
    await said_of(pipeline, "2", studyDate="2024-03-01", patientName="Jane Maria Doe")
    patient_id = await shared(engine)
    assert await sources(engine, patient_id) == {study_id("1"), study_id("2")}
    address = f"Provenance/stu-{'1' * 32}-patient-prov"
    await said_of(pipeline, "3", studyDate="2024-05-01")
    assert len(await contents(engine, address)) == 1
    assert await sources(engine, patient_id) == {study_id("1"), study_id("2"), study_id("3")}


async def test_the_provenance_of_a_study_follows_the_study_to_another_patient(engine, pipeline):
    await said_of(pipeline, "1")
    await said_of(pipeline, "2")
    first = await shared(engine)
    await said_of(pipeline, "2", mrn="MRN-77")
    assert await sources(engine, first) == {study_id("1")}
    assert await sources(engine, await subject(engine, "2")) == {study_id("2")}
    assert len(await contents(engine, f"Provenance/stu-{'2' * 32}-patient-prov")) == 2
