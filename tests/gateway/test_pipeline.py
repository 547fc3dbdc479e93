"""One study in, its resources out: judged, and what the judge rejects kept apart (decision D2)."""

import pytest
from fakes.upstream_json import report_json, response_json, study_json, user_json

from gateway import pipeline
from gateway.pipeline import render, render_user
from mappings.issues import MappingIssue, WireError
from mappings.profile import Site
from mappings.subjects import recency

REPORT = ("DiagnosticReport", "rep-" + "3" * 32)


async def rendered(*reports, **study):
    return await render(study_json(**study), response_json(*(reports or [report_json()])), [user_json()], Site())


async def test_a_study_becomes_its_resources_by_type_and_id():
    made = await rendered(report_json(reportPlainText="FINDINGS: Normal."))
    assert REPORT in made.resources
    assert {"Patient", "ImagingStudy", "Practitioner", "Provenance"} <= {key[0] for key in made.resources}
    assert made.suppressed == {}
    assert any(issue.code == "mrn-absent" for issue in made.issues)


async def test_what_the_judge_rejects_is_kept_apart_with_its_faults(monkeypatch):
    fault = MappingIssue("fhir-structure", "error", "/status", "refused as enum")
    faults = {"DiagnosticReport": (fault,)}
    monkeypatch.setattr(pipeline, "judge_all", lambda made: [faults.get(one["resourceType"], ()) for one in made])
    made = await rendered()
    assert made.suppressed == {REPORT: (fault,)}
    assert REPORT not in made.resources
    assert ("Patient" in {key[0] for key in made.resources}) is True


async def test_parts_of_different_studies_are_no_study():
    with pytest.raises(WireError) as error:
        await render(study_json(studyId="stu_" + "9" * 32), response_json(report_json()), [], Site())
    assert error.value.pointer == "/studyId"


async def test_a_text_is_given_out_byte_for_byte_once_it_is_signed():
    text = "FINDINGS:\r\n\tn\u00e9ant\x0b"
    made = await rendered(report_json(reportPlainText=text))
    assert made.text(REPORT[1]) == text.encode()
    draft = await rendered(report_json(reportPlainText=text, status="in_progress", signedAt=None))
    assert draft.text(REPORT[1]) is None
    assert made.text("rep-" + "0" * 32) is None


async def test_a_draft_is_given_out_where_the_site_lets_drafts_out():
    draft = response_json(report_json(reportPlainText="FINDINGS: a", status="in_progress", signedAt=None))
    made = await render(study_json(), draft, [user_json()], Site(send_drafts=True))
    assert made.text(REPORT[1]) == b"FINDINGS: a"


async def test_the_newer_study_ranks_higher_by_date_then_by_signature():
    def dated(day, signed="2024-03-15T16:00:00Z"):
        return report_json(snapshotMetadata={"studyDate": day}, signedAt=signed)

    ranks = [
        recency((await rendered(report_json(status="in_progress", signedAt=None))).study),
        recency((await rendered(dated("2024-03-15"))).study),
        recency((await rendered(dated("2024-03-15", "2024-03-15T13:00:00-05:00"))).study),
        recency((await rendered(dated("2024-03-16"))).study),
    ]
    assert ranks == sorted(set(ranks))


async def test_an_archived_study_is_known_as_one():
    assert (await rendered(studyType="external")).is_external
    assert not (await rendered()).is_external


async def test_a_user_alone_is_the_practitioner_that_reports_refer_to():
    alone = await render_user(user_json(), Site())
    key = ("Practitioner", "usr-" + "2" * 32)
    assert alone.resources == {key: (await rendered()).resources[key]}


async def test_a_user_without_a_last_name_is_no_practitioner():
    assert (await render_user(user_json(lastName=""), Site())).resources == {}


async def test_a_user_that_the_judge_rejects_is_suppressed(monkeypatch):
    fault = MappingIssue("us-core", "error", "/name", "missing")
    monkeypatch.setattr(pipeline, "judge_all", lambda made: [(fault,)] * len(made))
    alone = await render_user(user_json(), Site())
    assert (list(alone.suppressed), alone.resources) == ([("Practitioner", "usr-" + "2" * 32)], {})
