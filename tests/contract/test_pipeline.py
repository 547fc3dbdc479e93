"""Ingest of a study: its stored resources and outbox rows, and the changes of a second ingest.

Decisions D2, D7, D16, D20, D21, D25, D28.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC

import pytest
from fakes.fhir_studies import SITE, TEXT, addendum, report, snapshot
from fakes.store import rows
from fakes.taken_in import DRAFT, contents, current, giving, outbox, said, study_id, take, written
from fakes.upstream_json import STUDY_ID, STUDY_UID, USER_ID, report_id, user_json

from gateway.index.keys import key
from gateway.ingest import Pipeline
from gateway.runtime.errors import UpstreamNotFound
from gateway.store import intake, study_rows
from gateway.store.database.engine import Statement, ask, instant
from gateway.store.database.kept import unpacked
from gateway.store.enrichment import StoredEnrichments
from mappings.issues import MappingIssue, WireError

REPORT = "DiagnosticReport/rep-" + "3" * 32
ADDENDUM = "DiagnosticReport/rep-" + "4" * 32
USER = "Practitioner/usr-" + "2" * 32
IMPRESSION = f"Observation/rep-{'3' * 32}-s1"
KINDS = {
    *("DiagnosticReport", "DocumentReference", "ImagingStudy", "Observation", "Organization", "Patient"),
    *("Practitioner", "PractitionerRole", "Provenance", "ServiceRequest"),
}
KEEP_PDF = Statement(
    "UPDATE pdf SET state = 'kept', generation = 'g', size = :size, sha1 = :sha1, kept = 1 WHERE report_id = :report_id"
)


async def test_a_new_study_is_stored_whole_and_its_signature_is_to_be_told(engine, pipeline):
    ingested = await take(pipeline, asked=77)
    assert not ingested.was_known
    assert [one.kind for one in ingested.change.causes] == ["signed"]
    stored = await current(engine)
    assert {address.partition("/")[0] for address in stored} <= KINDS
    assert written(ingested) == set(stored)
    assert stored[REPORT]["meta"]["versionId"] == "1"
    assert all("meta" in one for one in stored.values())
    assert await outbox(engine) == [("3", "signed")]
    assert await rows(engine, "SELECT destination, state, is_move FROM outbox") == [("", "unrouted", 0)]
    assert await rows(engine, "SELECT study_id, study_instance_uid, revision, is_external, has_signed FROM study") == [
        (STUDY_ID, STUDY_UID, 1, 0, 1)
    ]
    assert await rows(engine, "SELECT fetched, listed FROM study") == [(77, 77)]
    ((received,),) = await rows(engine, "SELECT received FROM study")
    assert unpacked(received)["reports"]["reports"][0]["reportPlainText"] == TEXT


async def test_what_belongs_to_the_study_is_owned_by_it_and_what_several_speak_of_by_none(engine, pipeline):
    await take(pipeline)
    owners = dict(await rows(engine, "SELECT type, min(owner) FROM resource GROUP BY type"))
    shared = {"Patient", "Practitioner", "PractitionerRole", "Organization"}
    assert owners == {kind: "" if kind in shared else STUDY_ID for kind in owners}
    assert shared < owners.keys()


async def test_the_same_again_writes_nothing_but_that_it_was_asked_for(engine, pipeline):
    await take(pipeline, asked=1)
    before = await rows(engine, "SELECT last, resource FROM tick")
    again = await take(pipeline, asked=2)
    assert (list(again.written), again.change, again.was_known) == ([], None, True)
    assert again.study.reports[0].report_id == report_id("3")
    assert await rows(engine, "SELECT last, resource FROM tick") == before
    assert await rows(engine, "SELECT revision, fetched, listed FROM study") == [(1, 2, 1)]
    assert len(await outbox(engine)) == 1


async def test_reports_in_another_order_are_the_same(engine, pipeline):
    await take(pipeline, report(), addendum())
    assert (await take(pipeline, addendum(), report())).change is None


async def test_another_text_is_told_and_makes_versions_of_what_holds_it(engine, pipeline):
    await take(pipeline)
    ingested = await take(pipeline, report(reportPlainText=TEXT.replace("Unremarkable", "Remarkable")))
    assert {REPORT, IMPRESSION} <= written(ingested)
    assert not any(one.startswith(("Patient/", "Organization/", "Practitioner/")) for one in written(ingested))
    assert await outbox(engine) == [("3", "signed"), ("3", "text_changed")]
    first, second = await contents(engine, REPORT)
    assert (first["status"], second["status"]) == ("final", "corrected")
    assert await rows(engine, "SELECT revision FROM study") == [(2,)]
    assert len({version for (version,) in await rows(engine, "SELECT content_version FROM outbox")}) == 2


async def test_a_changed_field_of_the_study_makes_versions_and_is_not_told(engine, pipeline):
    await take(pipeline)
    ingested = await take(pipeline, modality="CT")
    assert f"ImagingStudy/stu-{'1' * 32}" in written(ingested)
    assert await outbox(engine) == [("3", "signed")]


async def test_a_changed_user_makes_a_version_of_the_practitioner_and_is_not_told(engine, pipeline):
    await take(pipeline, asked=1)
    ingested = await take(pipeline, users=(user_json(lastName="Jones"),), asked=2)
    assert USER in written(ingested)
    assert (await current(engine))[USER]["name"][0]["family"] == "Jones"
    assert await outbox(engine) == [("3", "signed")]


@pytest.mark.parametrize("reports", [[], {"reports": [], "studyId": STUDY_ID, "studyInstanceUid": STUDY_UID}])
async def test_reports_that_are_not_listed_are_not_withdrawn(engine, pipeline, reports):
    await take(pipeline, report(), addendum())
    before = await current(engine)
    told = await outbox(engine)
    ingested = await pipeline.ingest(STUDY_ID, giving(replace(said(), reports=reports)))
    after = await current(engine)
    assert {address: one.get("status") for address, one in after.items()} == {
        address: one.get("status") for address, one in before.items()
    }
    assert len(ingested.study.reports) == 2
    assert await outbox(engine) == told
    assert await rows(engine, "SELECT count(*) FROM report") == [(2,)]


async def test_a_study_that_is_not_found_is_left_as_it_is(engine, pipeline):
    await take(pipeline)
    before = await current(engine)

    async def fetch():
        raise UpstreamNotFound("GET /studies/{studyId}", status=404)

    with pytest.raises(UpstreamNotFound):
        await pipeline.ingest(STUDY_ID, fetch)
    assert await current(engine) == before


async def test_nothing_is_stored_of_what_is_not_understood(engine, pipeline):
    with pytest.raises(WireError):
        await take(pipeline, report(status=5))
    assert await rows(engine, "SELECT count(*) FROM study") == [(0,)]
    assert await rows(engine, "SELECT last FROM tick") == [(0,)]


async def test_a_section_that_is_gone_ends_as_an_error_and_is_final_again_when_it_is_back(engine, pipeline):
    await take(pipeline)
    without = await take(pipeline, report(reportPlainText="FINDINGS: Normal brain."))
    assert IMPRESSION in written(without)
    await take(pipeline)
    versions = await contents(engine, IMPRESSION)
    assert [one["status"] for one in versions] == ["final", "entered-in-error", "corrected"]
    assert versions[1]["code"] == versions[0]["code"]


async def test_a_draft_addendum_that_is_cancelled_ends_as_cancelled(engine, pipeline):
    await take(pipeline, report(), addendum(**DRAFT), studyReportStatus="addendum_active")
    assert (await current(engine))[ADDENDUM]["status"] == "registered"
    await take(pipeline, report(), studyReportStatus="completed")
    found = await current(engine)
    assert (found[ADDENDUM]["status"], found[REPORT]["status"]) == ("cancelled", "final")
    assert await outbox(engine) == [("3", "signed")]


async def test_an_archived_study_is_known_and_nothing_is_served_of_it(engine, pipeline):
    ingested = await take(pipeline, studyType="external")
    assert written(ingested) == set()
    assert await outbox(engine) == []
    assert await rows(engine, "SELECT is_external, revision FROM study") == [(1, 1)]
    assert await rows(engine, "SELECT count(*) FROM resource") == [(0,)]


async def test_a_study_that_turns_out_to_be_archived_leaves_what_was_served_as_it_is(engine, pipeline):
    await take(pipeline)
    before = await current(engine)
    assert written(await take(pipeline, studyType="external")) == set()
    assert await current(engine) == before


async def test_when_a_report_was_first_seen_signed_stays(engine, pipeline):
    await take(pipeline, report(**DRAFT))
    ((seen, signed),) = await rows(engine, "SELECT first_seen, first_seen_signed FROM report")
    assert signed is None
    await take(pipeline)
    ((again, first),) = await rows(engine, "SELECT first_seen, first_seen_signed FROM report")
    assert (again, first > seen) == (seen, True)
    await take(pipeline, report(reportPlainText="FINDINGS: Other."))
    assert await rows(engine, "SELECT first_seen_signed, signed, status, is_addendum FROM report") == [
        (first, 1_710_518_400_000_000, "completed", 0)
    ]


async def test_issues_are_those_of_the_last_look(engine, pipeline):
    codes = "SELECT code FROM issue WHERE code = 'study-date-impossible'"
    await take(pipeline, report(snapshotMetadata=snapshot(studyDate="2024-02-30")))
    assert await rows(engine, codes)
    assert await rows(engine, "SELECT has_warnings FROM study") == [(0,)]  # no search warns of it
    await take(pipeline, report(snapshotMetadata=snapshot()))
    assert not await rows(engine, codes)


async def test_a_pdf_is_wanted_once_for_each_new_text_that_is_signed(engine, pipeline):
    wanted = "SELECT report_id, state, attempts FROM pdf ORDER BY report_id"
    await take(pipeline, report(**DRAFT))
    assert await rows(engine, wanted) == []
    await take(pipeline)
    assert await rows(engine, wanted) == [(report_id("3"), "wanted", 0)]
    await engine.do(lambda: ask(KEEP_PDF, report_id=report_id("3"), size=5, sha1="00" * 20))
    await take(pipeline, isCancelled=False, modality="CT")
    assert await rows(engine, wanted) == [(report_id("3"), "kept", 0)]
    await take(pipeline, report(reportPlainText="FINDINGS: Other."), addendum())
    assert await rows(engine, wanted) == [(report_id("3"), "wanted", 0), (report_id("4"), "wanted", 0)]


async def test_no_pdf_is_wanted_where_none_are_kept(engine):
    await take(Pipeline(engine, SITE, UTC, wants_pdf=False))
    assert await rows(engine, "SELECT count(*) FROM pdf") == [(0,)]


async def test_a_pdf_that_came_makes_a_version_and_is_not_told(engine, pipeline):
    await take(pipeline)
    await engine.do(lambda: ask(KEEP_PDF, report_id=report_id("3"), size=5, sha1="ab" * 20))
    ingested = await pipeline.refresh(STUDY_ID)
    assert REPORT in written(ingested)
    assert any(one.get("size") == 5 for one in (await current(engine))[REPORT]["presentedForm"])
    assert await outbox(engine) == [("3", "signed")]
    again = await pipeline.refresh(STUDY_ID)
    assert not written(again)
    assert (await take(pipeline)).change is None


async def test_a_study_that_is_not_stored_is_neither_refreshed_nor_rendered_anew(pipeline):
    assert await pipeline.refresh(study_id("9")) is None
    assert await pipeline.rerender(study_id("9")) is None


async def test_what_an_enrichment_said_before_goes_into_a_new_study(engine, pipeline):
    await StoredEnrichments(engine).keep(STUDY_UID, "ACC-1", None, instant(5))
    await take(pipeline)
    assert "ACC-1" in str(await current(engine, "ServiceRequest"))
    assert await rows(engine, "SELECT verb FROM control") == []


async def test_what_an_enrichment_said_later_goes_into_the_study_when_it_is_refreshed(engine, pipeline):
    await take(pipeline)
    await StoredEnrichments(engine).keep(STUDY_UID, "ACC-1", None, instant(5))
    assert await rows(engine, "SELECT verb, argument FROM control") == [("refresh", STUDY_ID)]
    assert REPORT in written(await pipeline.refresh(STUDY_ID))
    assert "ACC-1" in str(await current(engine, "ServiceRequest"))
    assert await outbox(engine) == [("3", "signed")]


async def test_a_user_that_autoscribe_no_longer_knows_is_kept_as_it_was_known_last(engine, pipeline):
    for name, asked in (("Johnson", 5), ("Jones", 9), ("Older", 7)):
        await take(pipeline, users=(user_json(lastName=name),), asked=asked)
    ((user_id, body),) = [tuple(row) for row in await engine.fetch(intake.USERS, user_ids=f'["{USER_ID}"]')]
    assert (user_id, unpacked(body)["lastName"]) == (USER_ID, "Jones")
    assert await rows(engine, "SELECT asked FROM person") == [(9,)]
    await take(pipeline, users=())
    assert len(await engine.fetch(intake.USERS, user_ids=f'["{USER_ID}"]')) == 1
    assert (await current(engine))[USER]["name"][0]["family"] == "Jones"


async def test_a_role_is_no_newer_than_what_was_said_of_its_user(engine, pipeline):
    """Check a user that AutoScribe returned earlier for another study."""

    async def take_of(digit, phone, users_asked):
        fetched = said(report(digit), digit=digit, users=(user_json(phoneNumber=phone),), asked=9)
        later = replace(fetched, users_asked={USER_ID: users_asked})
        await pipeline.ingest(study_id(digit), giving(later))
        [role] = (await current(engine, "PractitionerRole/")).values()
        return role["telecom"][1]["value"]

    assert await take_of("3", "5550000002", 7) == "5550000002"
    assert await take_of("4", "5550000001", 5) == "5550000002"
    assert await take_of("5", "5550000003", 8) == "5550000003"


async def test_a_user_alone_is_the_practitioner_that_reports_refer_to(engine, pipeline):
    await take(pipeline, asked=5)
    before = await contents(engine, USER)
    await pipeline.ingest_user(user_json(), 6)
    assert await contents(engine, USER) == before
    await pipeline.ingest_user(user_json(lastName="Older"), 4)
    assert await contents(engine, USER) == before
    await pipeline.ingest_user(user_json(lastName="Jones"), 7)
    assert (await current(engine))[USER]["name"][0]["family"] == "Jones"
    await pipeline.ingest_user(user_json(userId="usr_" + "9" * 32, lastName=""), 7)
    assert len(await current(engine, "Practitioner/")) == 1
    with pytest.raises(WireError):
        await pipeline.ingest_user({**user_json(), "email": 5}, 7)


async def test_what_the_judge_rejects_is_suppressed_with_its_faults_and_served_once_it_does_not(
    engine, pipeline, monkeypatch
):
    fault = MappingIssue("fhir-structure", "error", "/status", "refused as enum")
    judge_all = study_rows.judge_all

    def rejecting(resources, *_):
        return [(fault,) if one["resourceType"] == "DiagnosticReport" else () for one in resources]

    monkeypatch.setattr(study_rows, "judge_all", rejecting)
    ingested = await take(pipeline)
    assert [one.address for one in ingested.written if one.is_suppressed] == [REPORT]
    assert await rows(engine, "SELECT address FROM resource WHERE is_suppressed = 1") == [(REPORT,)]
    assert await rows(engine, "SELECT faults FROM version WHERE faults IS NOT NULL") == [
        ('[{"pointer": "/status", "code": "fhir-structure"}]',)
    ]
    assert await outbox(engine) == [("3", "signed")]
    monkeypatch.setattr(study_rows, "judge_all", judge_all)
    assert written(await pipeline.rerender(STUDY_ID)) == {REPORT}
    assert await rows(engine, "SELECT is_suppressed, version FROM resource WHERE address = ?", REPORT) == [(0, 2)]


async def test_a_report_is_found_by_when_it_was_signed_itself(engine, pipeline):
    signed = "SELECT low FROM moment WHERE key = ?"
    await take(pipeline, report(), addendum())
    found = await rows(engine, signed, key("DiagnosticReport", "signed"))
    assert sorted(found) == [(1_710_518_400_000_000,), (1_710_579_600_000_000,)]
