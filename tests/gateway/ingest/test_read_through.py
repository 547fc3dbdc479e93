"""AutoScribe REST API: every request reads and ingests the whole study; decisions D21, D25."""

import asyncio
from datetime import UTC

import pytest
from fakes.inbox import sample
from fakes.store import rows
from fakes.taken_in import contents, current
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

from gateway.ingest import Pipeline
from gateway.ingest.read_through import ReadThrough
from gateway.runtime import clock
from gateway.runtime.errors import (
    UpstreamFailed,
    UpstreamKeyRefused,
    UpstreamNotFound,
    UpstreamNotUnderstood,
    UpstreamRefused,
    UpstreamUnprocessable,
)
from gateway.runtime.metrics import Metrics
from gateway.runtime.request_errors import ResourceNotFound
from gateway.store.database.engine import micros
from gateway.store.studies.crawling import StoredStudies
from mappings.profile import AssigningAuthority, Facility, Site

REPORT_ID = "rep_" + "3" * 32
REPORT = "DiagnosticReport/rep-" + "3" * 32
PRACTITIONER = "Practitioner/usr-" + "2" * 32
WHOLE = [f"study {STUDY_ID}", f"reports {STUDY_ID}", f"user {USER_ID}"]


@pytest.fixture
def engine(sqlite_engine):
    """Return one engine: these tests concern the way to the store, not the store."""
    return sqlite_engine


@pytest.fixture
def reading(engine):
    """Return a function that builds readers of an upstream, always into the same store."""

    def make(upstream, site=None, metrics=None):
        return ReadThrough(upstream, engine, Pipeline(engine, site or Site(), UTC), metrics or Metrics())

    return make


async def issues(engine):
    return [tuple(row) for row in await rows(engine, "SELECT code, severity FROM issue ORDER BY place")]


async def test_a_report_is_read_by_its_text_then_its_study_reports_and_users(reading, engine):
    upstream = FakeUpstream()
    found = await reading(upstream).report(REPORT_ID)
    assert [one.report_id for one in found.study.reports] == [REPORT_ID]
    assert REPORT in await current(engine)
    assert upstream.calls == [f"text {REPORT_ID}", *WHOLE]


async def test_a_report_that_is_stored_is_read_from_its_study_at_once_and_always_anew(reading, engine):
    upstream = FakeUpstream()
    reads = reading(upstream)
    await reads.report(REPORT_ID)
    upstream.calls.clear()
    upstream.listed = response_json(report_json(isCritical=True))
    await reads.report(REPORT_ID)
    assert upstream.calls == [f"study {STUDY_ID}", f"reports {STUDY_ID}"]
    assert (await current(engine))[REPORT]["meta"]["versionId"] == "2"


async def test_a_report_that_is_hidden_from_who_asks_is_read_as_one_that_is_not_stored(reading):
    upstream = FakeUpstream()
    reads = reading(upstream)
    await reads.report(REPORT_ID)
    upstream.calls.clear()
    await reads.report(REPORT_ID, as_unknown=True)
    assert upstream.calls[:2] == [f"text {REPORT_ID}", f"study {STUDY_ID}"]


async def test_what_another_process_stored_is_read_from_its_study_too(reading):
    await reading(FakeUpstream()).report(REPORT_ID)
    upstream = FakeUpstream()
    await reading(upstream).report(REPORT_ID)
    assert upstream.calls == WHOLE


async def test_the_same_again_makes_no_version_and_is_noted(reading, engine, monkeypatch):
    reads = reading(FakeUpstream())
    await reads.study(STUDY_ID)
    at = clock.now().replace(year=2100)
    monkeypatch.setattr(clock, "now", lambda: at)
    assert (await reads.study(STUDY_ID)).written == ()
    assert len(await contents(engine, REPORT)) == 1
    assert await rows(engine, "SELECT fetched FROM study") == [(micros(at),)]


async def test_a_study_that_changes_while_it_is_read_is_stale_at_its_next_listing(reading, engine):
    class Changing(FakeUpstream):
        """Upstream where a report is signed while the study is read: the first answer is older."""

        async def study(self, study_id):
            await asyncio.sleep(0)
            return await super().study(study_id)

        async def reports(self, *, study_id):
            answer = await super().reports(study_id=study_id)
            self.studies[STUDY_ID] = study_json(studyDescription="newer")
            self.listed = response_json(report_json(isCritical=True))
            return answer

    upstream = Changing()
    await reading(upstream).study(STUDY_ID)
    assert await StoredStudies(engine, b"k" * 32).stale(
        [upstream.studies[STUDY_ID]], lambda _: clock.now().replace(year=2000)
    ) == [STUDY_ID]


async def test_a_study_is_read_by_its_uid(reading, engine):
    upstream = FakeUpstream()
    await reading(upstream).study_by_uid(STUDY_UID)
    assert REPORT in await current(engine)
    assert upstream.calls == [f"uid {STUDY_UID}", *WHOLE]


async def test_a_study_that_was_just_listed_is_not_asked_for_again(reading, engine):
    upstream = FakeUpstream()
    await reading(upstream).study(STUDY_ID, listed=study_json(studyDescription="as it was listed"))
    assert upstream.calls == [f"reports {STUDY_ID}", f"user {USER_ID}"]
    [study] = (await current(engine, "ImagingStudy")).values()
    assert study["description"] == "as it was listed"


async def test_a_listing_that_may_be_older_than_what_is_stored_takes_nothing_back(reading, engine):
    upstream = FakeUpstream(studyDescription="newer")
    reads = reading(upstream)
    await reads.study(STUDY_ID)
    upstream.calls.clear()
    await reads.study(STUDY_ID, listed=study_json(studyDescription="older"))
    assert f"study {STUDY_ID}" in upstream.calls
    [study] = (await current(engine, "ImagingStudy")).values()
    assert study["description"] == "newer"


async def test_a_study_that_is_listed_as_it_is_stored_is_not_asked_for_again(reading):
    upstream = FakeUpstream()
    reads = reading(upstream)
    await reads.study(STUDY_ID)
    upstream.calls.clear()
    await reads.study(STUDY_ID, listed=study_json())
    assert upstream.calls == [f"reports {STUDY_ID}"]


async def test_fifty_readers_at_one_time_cause_one_fetch(reading):
    upstream = FakeUpstream()
    upstream.gate = asyncio.Event()
    reads = reading(upstream)
    waiting = [asyncio.create_task(reads.report(REPORT_ID)) for _ in range(50)]
    await asyncio.sleep(0.01)
    upstream.gate.set()
    await asyncio.gather(*waiting)
    assert upstream.calls == [f"text {REPORT_ID}", *WHOLE]


@pytest.mark.parametrize("listed", [response_json(), None], ids=["empty", "404"])
async def test_a_study_without_reports_is_a_study(reading, engine, listed):
    upstream = FakeUpstream(studyReportStatus="unassigned")
    upstream.listed = listed
    found = await reading(upstream).study(STUDY_ID)
    assert found.study.reports == ()
    kinds = {one.partition("/")[0] for one in await current(engine)}
    assert kinds == {"ImagingStudy", "Patient", "Provenance", "ServiceRequest"}


@pytest.mark.parametrize("listed", [response_json(), None], ids=["empty", "404"])
async def test_reports_that_are_not_listed_any_more_stay_as_they_were_seen_last(reading, engine, listed):
    upstream = FakeUpstream()
    reads = reading(upstream)
    await reads.study(STUDY_ID)
    upstream.listed = listed
    await reads.study(STUDY_ID)
    stored = (await current(engine))[REPORT]
    assert (stored["status"], stored["meta"]["versionId"]) == ("final", "1")
    assert [code for code, _ in await issues(engine) if code.startswith("report-")]


async def test_a_study_that_is_not_found_any_more_stays_as_it_was_seen_last(reading, engine):
    upstream = FakeUpstream()
    reads = reading(upstream)
    await reads.study(STUDY_ID)
    before = await current(engine)
    upstream.studies.clear()
    with pytest.raises(UpstreamNotFound):
        await reads.report(REPORT_ID)
    assert await current(engine) == before


async def test_a_study_and_reports_that_are_not_of_one_study_are_not_understood(reading, engine):
    upstream = FakeUpstream()
    upstream.listed = {**response_json(report_json()), "studyInstanceUid": "1.2.3"}
    with pytest.raises(UpstreamNotUnderstood) as error:
        await reading(upstream).study(STUDY_ID)
    assert "/studyInstanceUid" in str(error.value)
    assert "1.2.3" not in str(error.value)
    assert await current(engine) == {}


async def test_two_people_under_one_mrn_never_share_a_patient_whoever_is_read_first(reading, engine):
    site = Site(facilities={"City": Facility("City", mrn=AssigningAuthority("urn:oid:1.2.3", "CITY"))})
    snapshot = {"facilityName": "City", "mrn": "77", "patientName": "Jane Doe", "dateOfBirth": "1971-02-14"}
    other_id = "stu_" + "9" * 32
    first = FakeUpstream(report_json(snapshotMetadata=snapshot))
    other = FakeUpstream()
    other.studies = {other_id: study_json(studyId=other_id)}
    theirs = snapshot | {"patientName": "Robert Miller", "dateOfBirth": "1950-01-01"}
    row = report_json("4", studyId=other_id, snapshotMetadata=theirs)
    other.listed = response_json(row) | {"studyId": other_id}
    metrics = Metrics()
    for upstream, study_id in ((first, STUDY_ID), (other, other_id), (first, STUDY_ID), (other, other_id)):
        await reading(upstream, site, metrics).study(study_id)
    stored = await current(engine)
    subjects = [stored[f"DiagnosticReport/rep-{digit * 32}"]["subject"]["reference"] for digit in "34"]
    assert len(set(subjects)) == 2
    assert [stored[one]["birthDate"] for one in subjects] == ["1971-02-14", "1950-01-01"]
    [conflict] = await rows(engine, "SELECT patient_id, study_id FROM conflict")
    assert conflict == (subjects[0].partition("/")[2], other_id)
    assert sample(metrics, "identity_conflicts_total") == 1


async def test_a_signed_report_that_did_not_come_is_an_error_issue(reading, engine):
    upstream = FakeUpstream(reportIds=[{"reportId": "rep_" + "8" * 32, "status": "completed", "isCritical": None}])
    await reading(upstream).study(STUDY_ID)
    assert ("report-missing", "error") in await issues(engine)


async def test_of_an_archived_study_is_known_that_there_is_one_and_nothing_can_be_served(reading, engine):
    await reading(FakeUpstream(studyType="external")).report(REPORT_ID)
    assert await rows(engine, "SELECT study_id, is_external FROM study") == [(STUDY_ID, 1)]
    assert await current(engine) == {}
    assert await rows(engine, "SELECT count(*) FROM outbox") == [(0,)]


async def test_a_report_that_its_study_does_not_list_is_not_found(reading):
    upstream = FakeUpstream()
    upstream.listed = response_json(report_json("4"))
    with pytest.raises(ResourceNotFound, match="perhaps not yet"):
        await reading(upstream).report(REPORT_ID)


@pytest.mark.parametrize("kind", [UpstreamNotFound, UpstreamRefused, UpstreamUnprocessable])
async def test_that_an_id_is_not_known_may_be_said_in_several_ways(reading, kind):
    upstream = FakeUpstream()
    upstream.studies[STUDY_ID] = kind("GET /studies/{studyId}", status=400, request_id="req-1")
    with pytest.raises(UpstreamNotFound) as error:
        await reading(upstream).study(STUDY_ID)
    if kind is not UpstreamNotFound:
        assert (error.value.status, error.value.request_id) == (400, "req-1")


async def test_a_refused_key_stays_a_refused_key(reading):
    upstream = FakeUpstream()
    upstream.studies[STUDY_ID] = UpstreamKeyRefused("GET /studies/{studyId}", status=401)
    with pytest.raises(UpstreamKeyRefused):
        await reading(upstream).study(STUDY_ID)


@pytest.mark.parametrize("kind", [UpstreamFailed, UpstreamKeyRefused])
async def test_nothing_is_stored_of_a_study_whose_reports_could_not_be_asked_for(reading, engine, kind):
    upstream = FakeUpstream()
    upstream.listed = kind("GET /reports", status=500)
    with pytest.raises(kind):
        await reading(upstream).study(STUDY_ID)
    assert await rows(engine, "SELECT count(*) FROM study") == [(0,)]
    upstream.listed = response_json(report_json())
    await reading(upstream).study(STUDY_ID)
    assert REPORT in await current(engine)


async def test_a_report_is_served_though_its_signer_cannot_be_asked_for(reading, engine):
    upstream = FakeUpstream()
    upstream.users[USER_ID] = UpstreamFailed("GET /users/{userId}", status=500)
    await reading(upstream).study(STUDY_ID)
    stored = await current(engine)
    assert REPORT in stored
    assert PRACTITIONER not in stored
    assert ("user-unavailable", "warning") in await issues(engine)
    upstream.users[USER_ID] = user_json()
    await reading(upstream).study(STUDY_ID)
    stored = await current(engine)
    assert PRACTITIONER in stored
    assert PRACTITIONER in {one.get("reference") for one in stored[REPORT]["resultsInterpreter"]}
    assert "user-unavailable" not in {code for code, _ in await issues(engine)}


@pytest.mark.parametrize("now", [UpstreamFailed("GET /users/{userId}", status=500), None], ids=["fails", "unknown"])
async def test_a_signer_who_cannot_be_had_any_more_is_named_as_before(reading, engine, now):
    upstream = FakeUpstream()
    await reading(upstream).study(STUDY_ID)
    before = await current(engine)
    upstream.users = {USER_ID: now} if now else {}
    await reading(upstream).study(STUDY_ID)
    after = await current(engine)
    assert (after[REPORT], after[PRACTITIONER]) == (before[REPORT], before[PRACTITIONER])


async def test_a_fresh_reading_takes_nothing_that_was_asked_for_before(reading):
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


async def test_a_study_that_somebody_else_wrote_meanwhile_is_asked_for_again(reading, engine):
    begun = asyncio.Event()

    class Slow(FakeUpstream):
        async def study(self, study_id):
            begun.set()
            return await super().study(study_id)

    slow, quick = Slow(studyDescription="first"), FakeUpstream(studyDescription="second")
    slow.gate = asyncio.Event()
    under_way = asyncio.create_task(reading(slow).study(STUDY_ID))
    await begun.wait()
    await reading(quick).study(STUDY_ID)
    slow.studies[STUDY_ID] = study_json(studyDescription="third")
    slow.gate.set()
    await under_way
    assert slow.calls.count(f"study {STUDY_ID}") == 2
    told = [one["description"] for one in await contents(engine, f"ImagingStudy/stu-{'1' * 32}")]
    assert told == ["second", "third"]


async def test_a_practitioner_is_the_user_autoscribe_knows(reading, engine):
    reads = reading(FakeUpstream())
    await reads.user(USER_ID)
    alone = (await current(engine))[PRACTITIONER]
    assert alone["name"][0]["family"] == "Johnson"
    await reads.study(STUDY_ID)
    assert (await current(engine))[PRACTITIONER] == alone


async def test_a_practitioner_whose_access_was_revoked_stays_as_last_seen_and_one_never_seen_is_none(reading, engine):
    upstream = FakeUpstream()
    await reading(upstream).study(STUDY_ID)
    upstream.users = {}
    await reading(upstream).user(USER_ID)
    await reading(upstream).user("usr_" + "7" * 32)
    assert list(await current(engine, "Practitioner")) == [PRACTITIONER]


async def test_a_user_that_is_not_what_the_contract_says_is_not_understood(reading, engine):
    upstream = FakeUpstream()
    upstream.users[USER_ID] = user_json(firstName=7)
    with pytest.raises(UpstreamNotUnderstood) as error:
        await reading(upstream).user(USER_ID)
    assert "/firstName" in str(error.value)
    assert await current(engine) == {}


async def test_a_user_whose_id_autoscribe_refuses_is_not_found(reading):
    upstream = FakeUpstream()
    upstream.users[USER_ID] = UpstreamRefused("GET /users/{userId}", status=400)
    with pytest.raises(UpstreamNotFound):
        await reading(upstream).user(USER_ID)


async def test_what_was_taken_in_is_counted(reading):
    metrics = Metrics()
    await reading(FakeUpstream(), metrics=metrics).study(STUDY_ID)
    assert sample(metrics, "resource_versions_total", resource_type="DiagnosticReport") == 1
    await reading(FakeUpstream(), metrics=metrics).study(STUDY_ID)
    assert sample(metrics, "resource_versions_total", resource_type="DiagnosticReport") == 1


async def test_closing_stops_what_is_under_way(reading):
    upstream = FakeUpstream()
    upstream.gate = asyncio.Event()
    reads = reading(upstream)
    waiting = asyncio.create_task(reads.study(STUDY_ID))
    await asyncio.sleep(0)
    await reads.aclose()
    with pytest.raises(asyncio.CancelledError):
        await waiting
