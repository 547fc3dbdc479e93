"""https://hl7.org/fhir/R4/operations.html; AutoScribe has no idempotency: a POST is never sent twice (decision D27)."""

import asyncio

import pytest
from fakes.facade import BASE, facade, resource_id
from fakes.outcomes import issue, refusal

from gateway.auth.access import ACCESS, Access
from gateway.auth.scopes import scope_list
from gateway.fhir_api.operations.addendum_operations import READ_BACK


def posts(stage):
    return [one for one in stage.requests if one.startswith("POST")]


def of(response):
    assert response.json()["resourceType"] == "Parameters"
    return {
        one["name"]: one.get("valueCode") or one["valueReference"]["reference"] for one in response.json()["parameter"]
    }


def addendum(report):
    return f"DiagnosticReport/{resource_id(report)}/$addendum"


def cancel(report):
    return f"DiagnosticReport/{resource_id(report)}/$cancel-addendum"


async def test_an_addendum_is_opened_and_its_id_read_back(stage):
    report = stage.signed()
    response = await stage.post(addendum(report))
    [new] = [one for one in stage.account.reports[report["studyId"]] if one["isAddendum"]]
    assert response.status_code == 201
    assert response.headers["location"] == f"{BASE}/DiagnosticReport/{resource_id(new)}"
    assert of(response) == {
        "report": f"DiagnosticReport/{resource_id(new)}",
        "status": "registered",
        "study": "ImagingStudy/" + report["studyId"].replace("_", "-"),
    }
    read = await stage.client.get(response.headers["location"])
    assert (read.status_code, read.json()["status"]) == (200, "registered")


async def test_a_repeat_is_answered_and_not_sent_again(stage):
    report = stage.signed()
    first = await stage.post(addendum(report))
    again = await stage.post(addendum(report))
    assert (again.status_code, again.json(), again.headers["location"]) == (
        201,
        first.json(),
        first.headers["location"],
    )
    assert again.headers["idempotency-replayed"] == "true"
    assert "idempotency-replayed" not in first.headers
    assert len(posts(stage)) == 1


async def test_a_client_that_guesses_the_key_of_another_never_gets_its_answer(stage):
    served, report = stage.client._transport.app, stage.signed()
    scopes = "system/DiagnosticReport.$addendum system/DiagnosticReport.r"

    def as_client(client_id):
        async def app(scope, receive, send):
            await served(
                {**scope, ACCESS: Access(client_id, scope_list(scopes), None, 0)},
                receive,
                send,
            )

        stage.client._transport.app = app

    as_client("viewer")
    first = await stage.post(addendum(report))
    as_client("archive")
    other = await stage.post(addendum(report))
    as_client("viewer")
    again = await stage.post(addendum(report))
    assert (first.status_code, again.json()) == (201, first.json())
    assert refusal(other) == (409, "error", "conflict")  # its own request: an addendum is open already
    assert "idempotency-replayed" not in other.headers
    assert len(posts(stage)) == 1


async def test_repeats_at_the_same_time_wait_for_the_first(stage):
    report = stage.signed()
    answers = await asyncio.gather(*(stage.post(addendum(report)) for _ in range(10)))
    assert {one.status_code for one in answers} == {201}
    assert len({one.text for one in answers}) == 1
    assert len(posts(stage)) == 1


@pytest.mark.parametrize("key", [None, ""])
async def test_without_a_key_nothing_is_done(stage, key):
    response = await stage.post(addendum(stage.signed()), key=key)
    assert refusal(response) == (400, "error", "required")
    assert stage.requests == []


@pytest.mark.parametrize("key", ["a b", "x" * 129, "caf\u00e9".encode("latin-1")])
async def test_a_key_that_is_none_is_refused(stage, key):
    response = await stage.post(addendum(stage.signed()), key=key)
    assert refusal(response) == (400, "error", "invalid")
    assert stage.requests == []


async def test_a_key_of_another_request_is_refused(stage):
    first, other = list(stage.reports(status="completed"))[:2]
    await stage.post(addendum(first))
    for path in (addendum(other), cancel(first)):
        response = await stage.post(path)
        assert refusal(response) == (422, "error", "business-rule")
        assert issue(response)["detail"] == "idempotency-key-reused"
    assert len(posts(stage)) == 1


@pytest.mark.parametrize(
    "changed",
    [
        {"headers": {"If-Match": 'W/"1"'}},
        {"content": b'{"resourceType":"Parameters"}', "headers": {"Content-Type": "application/fhir+json"}},
    ],
    ids=["If-Match", "body"],
)
async def test_a_request_with_another_if_match_or_body_is_another_request(stage, changed):
    report = stage.signed()
    await stage.post(addendum(report))
    assert refusal(await stage.post(addendum(report), **changed)) == (422, "error", "business-rule")
    assert len(posts(stage)) == 1


async def test_an_addendum_that_is_open_already_is_a_conflict_and_nothing_is_sent(stage):
    report = stage.signed()
    await stage.post(addendum(report))
    response = await stage.post(addendum(report), key="k2")
    assert refusal(response) == (409, "error", "conflict")
    assert len(posts(stage)) == 1


async def test_an_unsigned_report_takes_no_addendum_and_nothing_is_sent(stage):
    draft = next(stage.reports(status="in_progress", isAddendum=False))
    response = await stage.post(addendum(draft))
    assert refusal(response) == (422, "error", "business-rule")
    assert posts(stage) == []


async def test_what_was_refused_before_anything_was_sent_may_be_asked_again_with_the_same_key(stage):
    report = stage.signed()
    stage.account.open_addendum(report["reportId"])
    assert (await stage.post(addendum(report))).status_code == 409
    stage.account.cancel_addendum(report["reportId"])
    assert (await stage.post(addendum(report))).status_code == 201


async def test_a_refusal_by_autoscribe_is_the_answer_to_repeats_too(stage):
    async with facade("action_success=false") as other:
        report = other.signed()
        for _ in range(2):
            assert refusal(await other.post(addendum(report))) == (409, "error", "conflict")
        assert len(posts(other)) == 1


@pytest.mark.parametrize(
    ("fault", "expected"),
    [("429:method=POST", (429, "error", "throttled")), ("503:method=POST", (502, "error", "transient"))],
)
async def test_what_was_surely_not_carried_out_is_sent_when_it_is_asked_again(stage, fault, expected):
    stage.fail(fault)
    report = stage.signed()
    assert refusal(await stage.post(addendum(report))) == expected
    stage.fail()
    assert (await stage.post(addendum(report))).status_code == 201


@pytest.mark.parametrize("fault", ["cut-off", "lost:seconds=0"])
async def test_a_lost_answer_is_looked_for_at_once_and_never_sent_again(stage, no_waiting, fault):
    stage.fail(f"{fault}:method=POST")
    report = stage.signed()
    first = await stage.post(addendum(report))
    assert first.status_code == 201
    again = await stage.post(addendum(report))
    assert (again.status_code, again.json()) == (201, first.json())
    assert len(posts(stage)) == 1


async def test_a_lost_request_stays_unknown_and_says_what_to_do(stage, no_waiting):
    stage.fail("500:method=POST")
    report = stage.signed()
    assert refusal(await stage.post(addendum(report))) == (504, "error", "timeout")
    again = await stage.post(addendum(report))
    assert refusal(again) == (504, "error", "timeout")
    assert "ask again with a new key" in issue(again)["diagnostics"]
    assert len(posts(stage)) == 1
    assert no_waiting == list(READ_BACK[1:]) * 2
    stage.fail()
    assert (await stage.post(addendum(report), key="k2")).status_code == 201


async def test_what_is_sure_but_cannot_be_read_back_is_a_202_and_the_repeat_looks_again(stage, no_waiting):
    report = stage.signed()
    await stage.get(f"DiagnosticReport/{resource_id(report)}")
    stage.fail("500:path=/studies:call=2-99")
    response = await stage.post(addendum(report))
    assert (response.status_code, issue(response)["severity"], issue(response)["code"]) == (
        202,
        "information",
        "incomplete",
    )
    stage.fail()
    again = await stage.post(addendum(report))
    assert (again.status_code, len(posts(stage))) == (201, 1)


async def test_the_study_is_read_back_until_the_addendum_shows(stage, no_waiting):
    report = stage.signed()
    await stage.get(f"DiagnosticReport/{resource_id(report)}")
    stage.fail("500:path=/studies:call=2-7")
    assert (await stage.post(addendum(report))).status_code == 201
    assert no_waiting.count(0.25) == 1


@pytest.mark.full
@pytest.mark.parametrize("takes", ["either", "original", "addendum"])
@pytest.mark.parametrize("named", ["original", "addendum"])
async def test_an_addendum_is_cancelled_by_either_id_whichever_autoscribe_takes(takes, named):
    async with facade(f"cancel_takes={takes}") as stage:
        report = stage.signed()
        stage.account.open_addendum(report["reportId"])
        [new] = [one for one in stage.account.reports[report["studyId"]] if one["isAddendum"]]
        response = await stage.post(cancel(report if named == "original" else new))
        assert response.status_code == 200, response.text
        assert of(response) == {
            "report": f"DiagnosticReport/{resource_id(report)}",
            "status": "final",
            "study": "ImagingStudy/" + report["studyId"].replace("_", "-"),
        }
        assert stage.account.studies[report["studyId"]]["studyReportStatus"] == "completed"
        assert posts(stage)[0] == f"POST /reports/{new['reportId']}/cancel-addendum"
        assert len(posts(stage)) == (2 if takes == "original" else 1)
        again = await stage.post(cancel(report if named == "original" else new))
        assert (again.status_code, again.json()) == (200, response.json())


async def test_with_no_addendum_open_there_is_nothing_to_cancel_and_nothing_is_sent(stage):
    response = await stage.post(cancel(stage.signed()))
    assert refusal(response) == (409, "error", "conflict")
    assert posts(stage) == []


async def test_a_lost_cancellation_is_looked_for_at_once(stage, no_waiting):
    report = stage.signed()
    stage.account.open_addendum(report["reportId"])
    stage.fail("cut-off:method=POST")
    assert (await stage.post(cancel(report))).status_code == 200
    assert (await stage.post(cancel(report))).status_code == 200
    assert len(posts(stage)) == 1


async def test_an_unknown_report_is_a_404(stage):
    for path in ("DiagnosticReport/rep-" + "0" * 32, "DiagnosticReport/other"):
        assert refusal(await stage.post(f"{path}/$addendum")) == (404, "error", "not-found")
    assert posts(stage) == []


@pytest.mark.parametrize("body", [b'{"resourceType":"Parameters"}', b'{"resourceType":"Parameters","parameter":[]}'])
async def test_a_parameters_resource_with_nothing_in_it_is_as_good_as_none(stage, body):
    response = await stage.post(
        addendum(stage.signed()), content=body, headers={"Content-Type": "application/fhir+json; charset=utf-8"}
    )
    assert response.status_code == 201


@pytest.mark.parametrize(
    ("body", "content_type", "expected"),
    [
        (b"<Parameters/>", "application/fhir+xml", (415, "error", "not-supported")),
        (b"x", "", (415, "error", "not-supported")),
        (b"{", "application/fhir+json", (400, "error", "invalid")),
        (b"[]", "application/fhir+json", (400, "error", "invalid")),
        (b'{"resourceType":"Patient"}', "application/json", (400, "error", "invalid")),
        (
            b'{"resourceType":"Parameters","parameter":[{"name":"text","valueString":"x"}]}',
            "application/fhir+json",
            (400, "error", "invalid"),
        ),
        (b"x" * 70_000, "application/fhir+json", (413, "error", "too-long")),
    ],
)
async def test_another_body_is_refused_and_nothing_is_sent(stage, body, content_type, expected):
    headers = {"Content-Type": content_type}
    assert refusal(await stage.post(addendum(stage.signed()), content=body, headers=headers)) == expected
    assert stage.requests == []


async def test_an_operation_answers_in_xml_where_that_is_asked_for(stage):
    response = await stage.post(addendum(stage.signed()), headers={"Accept": "application/fhir+xml"})
    assert response.status_code == 201
    assert response.headers["content-type"] == "application/fhir+xml; charset=utf-8"
    assert response.content.startswith(b"<?xml")


async def test_a_format_that_is_not_offered_is_refused_before_anything_is_asked_for(stage):
    response = await stage.post(addendum(stage.signed()), headers={"Accept": "image/png"})
    assert refusal(response) == (406, "error", "not-supported")
    assert stage.requests == []


@pytest.mark.parametrize("tag", ['W/"1"', '"1"', 'W/"7", W/"1"', "*"])
async def test_with_if_match_it_is_done_where_that_is_the_current_version(stage, tag):
    report = stage.signed()
    etag = (await stage.get(f"DiagnosticReport/{resource_id(report)}")).headers["etag"]
    assert etag == 'W/"1"'
    response = await stage.post(addendum(report), headers={"If-Match": tag})
    assert response.status_code == 201
    again = await stage.post(addendum(report), headers={"If-Match": tag})
    assert (again.status_code, again.json()) == (201, response.json())
    assert len(posts(stage)) == 1


@pytest.mark.parametrize("tag", ['W/"2"', "W/1", "", 'W/"01"'])
async def test_with_if_match_of_another_version_nothing_is_sent(stage, tag):
    report = stage.signed()
    for path in (addendum(report), cancel(report)):
        response = await stage.post(path, key=path, headers={"If-Match": tag})
        assert refusal(response) == (412, "error", "conflict")
        assert issue(response)["detail"] == "version-conflict"
    assert posts(stage) == []
    assert (await stage.post(addendum(report), key=addendum(report))).status_code == 201


async def test_if_match_counts_for_what_autoscribe_has_this_moment(stage):
    report = stage.signed()
    await stage.get(f"DiagnosticReport/{resource_id(report)}")
    report["isCritical"] = not report["isCritical"]
    response = await stage.post(addendum(report), headers={"If-Match": 'W/"1"'})
    assert refusal(response) == (412, "error", "conflict")
    assert (await stage.post(addendum(report), headers={"If-Match": 'W/"2"'})).status_code == 201
