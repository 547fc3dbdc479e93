"""AutoScribe REST API: a report is read as its study, whole; decision D25."""

import asyncio

import pytest
from fakes.upstream import (
    STUDY_ID,
    STUDY_UID,
    USER_ID,
    FakeUpstream,
    report_json,
    response_json,
    study_json,
    user_json,
)

from gateway.errors import (
    ResourceNotFound,
    UpstreamFailed,
    UpstreamKeyRefused,
    UpstreamNotFound,
    UpstreamNotUnderstood,
    UpstreamRefused,
    UpstreamUnprocessable,
)
from gateway.store.seen import Seen
from gateway.sync.read_through import ReadThrough
from mappings.profile import AssigningAuthority, Facility, Site

REPORT_ID = "rep_" + "3" * 32
REPORT = ("DiagnosticReport", "rep-" + "3" * 32)
PRACTITIONER = ("Practitioner", "usr-" + "2" * 32)


def reading(upstream, most=10):
    return ReadThrough(upstream, Seen(most), Site())


async def test_a_report_is_read_by_its_text_then_its_study_reports_and_users():
    upstream = FakeUpstream()
    found = await reading(upstream).report(REPORT_ID)
    assert REPORT in found.versions
    assert upstream.calls == [f"text {REPORT_ID}", f"study {STUDY_ID}", f"reports {STUDY_ID}", f"user {USER_ID}"]


async def test_a_report_seen_before_is_read_from_its_study_at_once_and_always_anew():
    upstream = FakeUpstream()
    reads = reading(upstream)
    first = await reads.report(REPORT_ID)
    upstream.calls.clear()
    upstream.listed = response_json(report_json(isCritical=True))
    second = await reads.report(REPORT_ID)
    assert upstream.calls == [f"study {STUDY_ID}", f"reports {STUDY_ID}"]
    assert second.versions[REPORT].version_id != first.versions[REPORT].version_id


async def test_what_was_forgotten_is_read_through_all_the_same():
    reads = reading(FakeUpstream(), most=0)
    versions = [(await reads.report(REPORT_ID)).versions[REPORT].version_id for _ in range(2)]
    assert versions[0] == versions[1]


async def test_a_study_is_read_by_its_uid():
    upstream = FakeUpstream()
    assert REPORT in (await reading(upstream).study_by_uid(STUDY_UID)).versions
    assert upstream.calls[0] == f"uid {STUDY_UID}"


async def test_fifty_readers_at_one_time_cause_one_fetch():
    upstream = FakeUpstream()
    upstream.gate = asyncio.Event()
    reads = reading(upstream)
    waiting = [asyncio.create_task(reads.report(REPORT_ID)) for _ in range(50)]
    await asyncio.sleep(0.01)
    upstream.gate.set()
    await asyncio.gather(*waiting)
    assert upstream.calls == [f"text {REPORT_ID}", f"study {STUDY_ID}", f"reports {STUDY_ID}", f"user {USER_ID}"]


@pytest.mark.parametrize("listed", [response_json(), None], ids=["empty", "404"])
async def test_a_study_without_reports_is_a_study(listed):
    upstream = FakeUpstream(studyReportStatus="unassigned")
    upstream.listed = listed
    found = await reading(upstream).study(STUDY_ID)
    assert found.rendered.study.reports == ()
    assert {key[0] for key in found.versions} == {"ImagingStudy", "Patient", "ServiceRequest"}


async def test_a_study_and_reports_that_are_not_of_one_study_are_not_understood():
    upstream = FakeUpstream()
    upstream.listed = {**response_json(report_json()), "studyInstanceUid": "1.2.3"}
    with pytest.raises(UpstreamNotUnderstood) as error:
        await reading(upstream).study(STUDY_ID)
    assert "/studyInstanceUid" in str(error.value)
    assert "1.2.3" not in str(error.value)


async def test_two_people_under_one_mrn_never_share_a_patient_whoever_is_read_first():
    site = Site(facilities={"City": Facility("City", mrn=AssigningAuthority("urn:oid:1.2.3", "CITY"))})
    said = {"facilityName": "City", "mrn": "77", "patientName": "Jane Doe", "dateOfBirth": "1971-02-14"}
    other_id, seen = "stu_" + "9" * 32, Seen(10)
    first = FakeUpstream(report_json(snapshotMetadata=said))
    other = FakeUpstream()
    other.studies = {other_id: study_json(studyId=other_id)}
    theirs = said | {"patientName": "Robert Miller", "dateOfBirth": "1950-01-01"}
    row = report_json("4", studyId=other_id, snapshotMetadata=theirs)
    other.listed = response_json(row) | {"studyId": other_id}
    subjects = []
    for upstream, study_id in ((first, STUDY_ID), (other, other_id), (first, STUDY_ID), (other, other_id)):
        found = await ReadThrough(upstream, seen, site).study(study_id)
        [patient] = [one.resource for key, one in found.versions.items() if key[0] == "Patient"]
        subjects.append((patient["id"], patient["birthDate"]))
        conflicts = [issue for issue in found.rendered.issues if issue.code == "identity-conflict"]
        assert len(conflicts) == (1 if study_id == other_id else 0)
    assert subjects[:2] == subjects[2:]
    assert len({patient_id for patient_id, _ in subjects}) == 2
    assert [born for _, born in subjects[:2]] == ["1971-02-14", "1950-01-01"]


async def test_a_signed_report_that_did_not_come_is_an_error_issue():
    upstream = FakeUpstream(reportIds=[{"reportId": "rep_" + "8" * 32, "status": "completed", "isCritical": None}])
    found = await reading(upstream).study(STUDY_ID)
    assert [issue.severity for issue in found.rendered.issues if issue.code == "report-missing"] == ["error"]


async def test_an_archived_study_is_not_served():
    with pytest.raises(ResourceNotFound):
        await reading(FakeUpstream(studyType="external")).report(REPORT_ID)


async def test_a_report_that_its_study_does_not_list_is_not_found():
    upstream = FakeUpstream()
    upstream.listed = response_json(report_json("4"))
    with pytest.raises(ResourceNotFound, match="perhaps not yet"):
        await reading(upstream).report(REPORT_ID)


async def test_a_report_that_went_to_another_study_is_looked_for_anew():
    upstream = FakeUpstream()
    reads = reading(upstream)
    await reads.report(REPORT_ID)
    upstream.listed = response_json()
    upstream.calls.clear()
    with pytest.raises(ResourceNotFound):
        await reads.report(REPORT_ID)
    assert f"text {REPORT_ID}" in upstream.calls


@pytest.mark.parametrize("kind", [UpstreamNotFound, UpstreamRefused, UpstreamUnprocessable])
async def test_that_an_id_is_not_known_may_be_said_in_several_ways(kind):
    upstream = FakeUpstream()
    upstream.studies[STUDY_ID] = kind("GET /studies/{studyId}", status=400, request_id="req-1")
    with pytest.raises(UpstreamNotFound) as error:
        await reading(upstream).study(STUDY_ID)
    if kind is not UpstreamNotFound:
        assert (error.value.status, error.value.request_id) == (400, "req-1")


async def test_a_refused_key_stays_a_refused_key():
    upstream = FakeUpstream()
    upstream.studies[STUDY_ID] = UpstreamKeyRefused("GET /studies/{studyId}", status=401)
    with pytest.raises(UpstreamKeyRefused):
        await reading(upstream).study(STUDY_ID)


async def test_a_report_is_served_though_its_signer_cannot_be_asked_for():
    upstream = FakeUpstream()
    upstream.users[USER_ID] = UpstreamFailed("GET /users/{userId}", status=500)
    found = await reading(upstream).study(STUDY_ID)
    assert REPORT in found.versions
    assert PRACTITIONER not in found.versions
    assert "user-unavailable" in {issue.code for issue in found.rendered.issues}


async def test_a_fresh_reading_takes_nothing_that_was_asked_for_before():
    upstream = FakeUpstream()
    upstream.gate = asyncio.Event()
    reads = reading(upstream)
    before = asyncio.create_task(reads.study(STUDY_ID))
    await asyncio.sleep(0.01)
    fresh = asyncio.create_task(reads.study(STUDY_ID, fresh=True))
    await asyncio.sleep(0)
    upstream.gate.set()
    await asyncio.gather(before, fresh)
    assert upstream.calls.count(f"study {STUDY_ID}") == 2


async def test_a_practitioner_is_the_user_autoscribe_knows():
    reads = reading(FakeUpstream())
    version = await reads.practitioner(USER_ID)
    assert version.resource["name"][0]["family"] == "Johnson"
    assert (await reads.study(STUDY_ID)).versions[PRACTITIONER] == version


async def test_a_practitioner_whose_access_was_revoked_is_served_as_last_seen():
    upstream = FakeUpstream()
    seen = Seen(10)
    reads = ReadThrough(upstream, seen, Site())
    await reads.study(STUDY_ID)
    upstream.users = {}
    again = ReadThrough(upstream, seen, Site())
    assert (await again.practitioner(USER_ID)).key == PRACTITIONER
    assert await reading(upstream).practitioner(USER_ID) is None


async def test_a_user_that_is_not_what_the_contract_says_is_not_understood():
    upstream = FakeUpstream()
    upstream.users[USER_ID] = user_json(firstName=7)
    with pytest.raises(UpstreamNotUnderstood):
        await reading(upstream).practitioner(USER_ID)


async def test_closing_stops_what_is_under_way():
    upstream = FakeUpstream()
    upstream.gate = asyncio.Event()
    reads = reading(upstream)
    waiting = asyncio.create_task(reads.study(STUDY_ID))
    await asyncio.sleep(0)
    await reads.close()
    with pytest.raises(asyncio.CancelledError):
        await waiting
