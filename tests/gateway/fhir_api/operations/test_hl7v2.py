"""HL7 v2.5.1 §7.3.1: preview of the messages that the feed would send for a report, with issues (decision D34)."""

import base64
import json
from dataclasses import replace
from datetime import UTC, datetime
from itertools import islice

import pytest
from fakes.facade import resource_id
from fakes.fed import destination
from fakes.outcomes import issue, refusal
from fhir.resources.R4B.parameters import Parameters

from gateway.cli.convert import Request, convert
from gateway.fhir_api.operations.hl7v2 import ER7
from gateway.ingest.pdf_queue import PdfQueue
from gateway.routing import Filter, Scope
from gateway.runtime import clock
from gateway.runtime.metrics import Metrics
from gateway.store.database.engine import Statement
from gateway.store.feed.leases import paused
from gateway.store.feed.messages import hold
from gateway.store.stored_reports import Pdfs
from mappings.hl7v2.judge import judge_message
from mappings.hl7v2.received import read
from mappings.profile import RECEIVERS, parse_receiver, receiver

AS_ER7 = {"Accept": ER7}
NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
BLOCKED = """
name = "blocked"
[[rules]]
name = "accession-needed"
level = "block"
source = "https://example.org/guide"
field = "OBR-18"
must = "be_valued"
"""
OUTBOX = Statement("SELECT count(*) FROM outbox")


def path(report, name="generic"):
    return f"DiagnosticReport/{resource_id(report)}/$hl7v2?receiver={name}"


def has_receivers(stage, *profiles, **changes):
    """Give the site receiver profiles of its own, and other settings."""
    serving = stage.app.state.facade
    receivers = {one.name: one for one in map(parse_receiver, profiles)}
    stage.app.state.facade = replace(serving, site=replace(serving.site, receivers=receivers, **changes))


def messages(response):
    """The messages of Parameters."""
    body = response.json()
    Parameters.model_validate(body)
    resources = [one["resource"] for one in body["parameter"] if one["name"] == "message"]
    assert {one["contentType"].partition(";")[0] for one in resources} <= {ER7}
    return [base64.b64decode(one["data"]) for one in resources]


def issues(response):
    outcomes = [one["resource"] for one in response.json()["parameter"] if one["name"] == "outcome"]
    return [one for outcome in outcomes for one in outcome["issue"]]


def without_control_id(message):
    """Return a message without MSH-10, which depends on the destination."""
    segments = message.split(b"\r")
    fields = segments[0].split(b"|")
    return [b"|".join([*fields[:9], *fields[10:]]), *segments[1:]]


# What needs numbers that the site of these tests does not have
HOLDING = ("rad128", "vista-2.3", "vista-2.4")


@pytest.mark.parametrize("name", [name for name in RECEIVERS if name not in HOLDING])
async def test_the_message_is_that_of_convert_for_every_receiver(stage, monkeypatch, name):
    monkeypatch.setattr(clock, "now", lambda: NOW)
    report = stage.signed()
    response = await stage.get(path(report, name))
    assert response.status_code == 200, response.text
    study = {**stage.account.studies[report["studyId"]], "reports": [report]}
    users = [one for one in stage.account.users.values() if one["userId"] == report["userId"]]
    document = json.dumps({**study, "users": users}).encode()
    site = stage.app.state.facade.site
    expected = convert(document, Request("hl7v2", site, "", receiver(name), NOW))
    [made] = messages(response)
    assert without_control_id(made) == without_control_id(expected.output)
    said = {one["details"]["coding"][0]["code"] for one in issues(response)}
    assert said == {one.code for one in expected.issues}


async def test_a_message_is_one_that_its_judge_takes(stage):
    [made] = messages(await stage.get(path(stage.signed())))
    assert list(judge_message(made)) == []


async def test_as_er7_it_is_the_bytes_of_the_message_with_cr_behind_each_segment(stage, monkeypatch):
    monkeypatch.setattr(clock, "now", lambda: NOW)
    report = stage.signed()
    response = await stage.get(path(report), headers=AS_ER7)
    assert response.headers["content-type"] == f"{ER7}; charset=utf-8"
    assert [response.content] == messages(await stage.get(path(report)))
    assert b"\n" not in response.content
    assert response.content.endswith(b"\r")
    assert [one.name for one in read(response.content).segments][:2] == ["MSH", "PID"]
    for form in (f"&_format={ER7}", "&_format=application/hl7-v2%2Ber7"):
        assert (await stage.get(path(report) + form)).content == response.content


@pytest.mark.parametrize(
    ("charset", "name"), [("UNICODE UTF-8", "utf-8"), ("8859/1", "iso-8859-1"), ("ASCII", "us-ascii")]
)
async def test_the_charset_of_the_receiver_is_said(stage, charset, name):
    has_receivers(stage, f'name = "own"\ncharset = "{charset}"')
    response = await stage.get(path(stage.signed(), "own"), headers=AS_ER7)
    assert response.headers["content-type"] == f"{ER7}; charset={name}"
    response.content.decode(name)


async def test_an_original_with_a_signed_addendum_is_said_with_it(stage):
    addendum = next(
        one
        for one in stage.reports(status="completed", isAddendum=True)
        if not stage.account.studies[one["studyId"]]["isCancelled"]
        and one["reportPlainText"].strip()
        and all(other["snapshotMetadata"] == one["snapshotMetadata"] for other in stage.account.reports[one["studyId"]])
    )
    original = next(one for one in stage.account.reports[addendum["studyId"]] if not one["isAddendum"])
    for report in (original, addendum):
        [made] = messages(await stage.get(path(report)))
        lines = [one.field(5) for one in read(made).segments if one.name == "OBX"]
        for text in (original["reportPlainText"], addendum["reportPlainText"]):
            assert text.split("\n")[0].strip() in lines


async def test_nothing_is_queued_and_the_same_is_answered_again(stage, monkeypatch):
    monkeypatch.setattr(clock, "now", lambda: NOW)
    report = stage.signed()
    first = await stage.get(path(report))
    engine = stage.app.state.facade.engine
    before = await engine.fetch(OUTBOX)
    assert (await stage.get(path(report))).json() == first.json()
    assert await engine.fetch(OUTBOX) == before


async def test_an_unsigned_report_causes_no_message(stage):
    draft = next(stage.reports(status="in_progress", isAddendum=False))
    for headers in ({}, AS_ER7):
        response = await stage.get(path(draft), headers=headers)
        assert refusal(response) == (422, "error", "business-rule")
        assert issue(response)["detail"] == "no-message"


async def test_a_draft_that_the_site_lets_out_is_said_as_one(stage):
    draft = next(
        one
        for one in stage.reports(status="in_progress", isAddendum=False)
        if one.get("reportPlainText") and not stage.account.studies[one["studyId"]]["isCancelled"]
    )
    has_receivers(stage, 'name = "own"\nsend_drafts = "on"', send_drafts=True)
    [made] = messages(await stage.get(path(draft, "own")))
    [obr] = [one for one in read(made).segments if one.name == "OBR"]
    assert obr.field(25) == "P"


async def test_a_message_that_a_rule_blocks_is_shown_with_the_rule_and_not_given_as_bytes(stage):
    has_receivers(stage, BLOCKED)
    report = stage.signed()
    response = await stage.get(path(report, "blocked"))
    assert (response.status_code, len(messages(response))) == (200, 1)
    [said] = [one for one in issues(response) if one["severity"] == "error"]
    assert said["details"]["coding"][0]["code"] == "rule-accession-needed"
    assert "not sent" in said["diagnostics"]
    refused = await stage.get(path(report, "blocked"), headers=AS_ER7)
    assert refusal(refused) == (422, "error", "business-rule")
    assert "rule-accession-needed" in issue(refused)["diagnostics"]


async def test_a_report_that_a_receiver_is_not_sent_is_answered_with_the_reason(stage):
    report = stage.signed()
    response = await stage.get(path(report, "rad128"))
    assert (response.status_code, messages(response)) == (200, [])
    assert "accession-missing" in [one["details"]["coding"][0]["code"] for one in issues(response)]
    refused = await stage.get(path(report, "rad128"), headers=AS_ER7)
    assert refusal(refused) == (422, "error", "business-rule")
    assert "accession-missing" in issue(refused)["diagnostics"]


async def test_a_withdrawn_report_says_why_nothing_is_sent(stage):
    report = next(
        one
        for one in stage.reports(status="completed", isAddendum=False)
        if stage.account.studies[one["studyId"]]["isCancelled"]
    )
    has_receivers(stage, on_cancelled_after_sign="withdraw")
    response = await stage.get(path(report))
    assert response.status_code == 200, response.text
    assert issues(response)


@pytest.mark.parametrize(("most", "is_sent"), [(10 * 2**20, True), (1_024, False)])
async def test_a_receiver_that_takes_the_pdf_is_shown_its_bytes_where_they_are_kept(stage, most, is_sent):
    has_receivers(stage, f'name = "own"\npdf = "ed"\npdf_max = {most}')
    report = stage.signed()
    before = await stage.get(path(report, "own"))
    assert "pdf-absent" in [one["details"]["coding"][0]["code"] for one in issues(before)]
    serving = stage.app.state.facade

    async def refresh(study_id):
        return await serving.reads._pipeline.refresh(study_id)

    pdfs = Pdfs(serving.engine)
    assert await PdfQueue(pdfs, serving.upstream.stream_pdf, refresh, Metrics()).once() == 1
    stored = await pdfs.current(report["reportId"])
    data = b"".join([chunk async for chunk in pdfs.read(stored, 0, stored.size - 1)])
    response = await stage.get(path(report, "own"))
    [made] = messages(response)
    assert (base64.b64encode(data) in made) is is_sent


@pytest.mark.parametrize(
    ("query", "expected", "place"),
    [
        ("", (400, "error", "invalid"), "http.receiver"),
        ("?receiver=nobody", (400, "error", "not-supported"), "http.receiver"),
        ("?receiver=generic&receiver=pkb", (400, "error", "invalid"), "http.receiver"),
        ("?receiver=generic&at=now", (400, "error", "not-supported"), "http.at"),
    ],
)
async def test_what_cannot_be_is_refused_and_says_where(stage, query, expected, place):
    response = await stage.get(f"DiagnosticReport/{resource_id(stage.signed())}/$hl7v2{query}")
    assert refusal(response) == expected
    assert issue(response)["expression"] == [place]


async def test_where_there_is_nothing_to_say_there_is_no_outcome(stage):
    answers = [await stage.get(path(one)) for one in islice(stage.reports(status="completed"), 20)]
    plain = [one for one in answers if {row["name"] for row in one.json()["parameter"]} == {"message"}]
    assert plain
    assert all(messages(one) for one in plain)


async def test_a_receiver_that_is_not_known_is_told_those_that_are(stage):
    has_receivers(stage, BLOCKED)
    response = await stage.get(path(stage.signed(), "nobody"))
    said = issue(response)["diagnostics"]
    assert all(name in said for name in ("blocked", *RECEIVERS))
    assert "nobody" not in response.text


async def test_the_profile_that_was_withdrawn_is_refused_with_both_that_stand_for_it(stage):
    response = await stage.get(path(stage.signed(), "vista"))
    assert response.status_code == 400
    assert "Write vista-2.3 or vista-2.4" in issue(response)["diagnostics"]


@pytest.mark.parametrize("name", HOLDING)
async def test_where_a_number_that_the_receiver_needs_is_not_known_there_is_no_message(stage, name):
    response = await stage.get(path(stage.signed(), name))
    assert messages(response) == []
    assert {"rad128": "accession-missing"}.get(name, "vista-patient-unknown") in {
        one["details"]["coding"][0]["code"] for one in issues(response)
    }


async def test_a_report_that_is_not_known_is_a_404(stage):
    response = await stage.get(f"DiagnosticReport/rep-{'0' * 32}/$hl7v2?receiver=generic")
    assert refusal(response) == (404, "error", "not-found")


def has_destinations(stage, *destinations):
    stage.app.state.facade = replace(stage.app.state.facade, destinations=destinations)


def for_destination(report, name="ehr"):
    return f"DiagnosticReport/{resource_id(report)}/$hl7v2?destination={name}"


def becomes(response):
    """Return the predicted delivery of the report in the response."""
    [said] = [one["part"] for one in response.json()["parameter"] if one["name"] == "delivery"]
    return {one["name"]: one["valueString"] for one in said}


async def test_for_a_destination_it_is_made_with_the_switches_of_its_own(stage):
    own = destination(2575, addendum="append")
    one = replace(own, receiver=replace(own.receiver, obx3_style="va", obx14="signed"), mrn_authority="receiver")
    has_destinations(stage, one)
    report = stage.signed()
    response = await stage.get(for_destination(report))
    [made] = messages(response)
    segments = read(made).segments
    assert {one.field(3) for one in segments if one.name == "OBX"} <= {"R^REPORT^L", "I^IMPRESSION^L"}
    [pid] = [one for one in segments if one.name == "PID"]
    assert pid.field(3).partition("~")[0].endswith("^^^^MR")
    assert becomes(response) == {"destination": "ehr", "state": "queued"}
    er7 = await stage.get(for_destination(report), headers=AS_ER7)
    assert read(er7.content).segments[1] == read(made).segments[1]


@pytest.mark.full
@pytest.mark.parametrize(
    ("changes", "state", "reason"),
    [
        ({"is_enabled": False}, "not_enabled", None),
        ({"start": datetime(2099, 1, 1, tzinfo=UTC)}, "before_start", None),
        ({"filter": Filter(Scope(modalities=frozenset({"XX"})))}, "excluded", "modalities"),
        ({"receiver": replace(receiver("generic"), accession="required")}, "held", "accession-missing"),
        ({"receiver": parse_receiver(BLOCKED)}, "dead_letter", "rule-accession-needed"),
        ({"dry_run": True}, "recorded", None),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_it_says_what_would_become_of_the_report_there_and_why(stage, changes, state, reason):
    has_destinations(stage, replace(destination(2575), **changes))
    report = stage.signed()
    said = becomes(await stage.get(for_destination(report)))
    assert (said["state"], said.get("reason")) == (state, reason)
    as_er7 = await stage.get(for_destination(report), headers=AS_ER7)
    if state == "recorded":
        assert as_er7.content.startswith(b"MSH|")
    else:
        assert refusal(as_er7) == (422, "error", "business-rule")
        assert state in issue(as_er7)["diagnostics"]


async def test_a_draft_that_the_destination_is_not_sent_becomes_nothing(stage):
    draft = next(
        one
        for one in stage.reports(status="in_progress", isAddendum=False)
        if one.get("reportPlainText") and not stage.account.studies[one["studyId"]]["isCancelled"]
    )
    has_receivers(stage, send_drafts=True)
    has_destinations(stage, destination(2575))
    said = becomes(await stage.get(for_destination(draft)))
    assert (said["state"], said["reason"]) == ("nothing", "report-not-signed")


async def test_a_signed_report_of_which_nothing_is_sent_becomes_nothing(stage):
    report = next(one for one in stage.reports(status="completed", isAddendum=False) if withdrawn(stage, one))
    has_receivers(stage, on_cancelled_after_sign="withdraw")
    has_destinations(stage, destination(2575))
    said = becomes(await stage.get(for_destination(report)))
    assert (said["state"], said["reason"]) == ("nothing", "withdrawn-unsent")


def withdrawn(stage, report):
    return stage.account.studies[report["studyId"]]["isCancelled"]


async def test_it_says_that_the_study_is_held_there_and_that_the_destination_is_paused(stage):
    has_destinations(stage, destination(2575))
    report = stage.signed()
    await stage.get(for_destination(report))
    engine = stage.app.state.facade.engine
    await engine.do(lambda: paused("ehr", "maintenance", 1))
    await engine.do(lambda: hold("ehr", report["studyId"], "refused", None, 1))
    said = becomes(await stage.get(for_destination(report)))
    assert said == {"destination": "ehr", "state": "queued", "lane": "refused", "paused": "maintenance"}
    assert (await stage.get(for_destination(report), headers=AS_ER7)).status_code == 200


@pytest.mark.parametrize(
    ("query", "expected", "place"),
    [
        ("receiver=generic&destination=ehr", (400, "error", "invalid"), "http.receiver"),
        ("destination=his", (400, "error", "not-supported"), "http.destination"),
    ],
)
async def test_which_destination_is_meant_must_be_clear(stage, query, expected, place):
    has_destinations(stage, destination(2575))
    response = await stage.get(f"DiagnosticReport/{resource_id(stage.signed())}/$hl7v2?{query}")
    assert refusal(response) == expected
    assert issue(response)["expression"] == [place]
    assert "his" not in response.text.replace("this", "")
