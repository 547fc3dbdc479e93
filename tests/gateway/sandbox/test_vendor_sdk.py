"""The vendor's own SDK against the sandbox, unchanged, and its raw responses against the wire contract."""

import avara
import pytest
from fakes.upstream_json import STUDY_PAGE

from mappings.study import wire


@pytest.fixture
def running(sandbox):
    return sandbox(studies=60)


@pytest.fixture
def api(running):
    with avara.Avara(api_key=running.options.api_key, base_url=running.url, max_retries=0) as client:
        yield client.auto_scribe


@pytest.fixture
def signed(running):
    """A study with a signed report, as JSON."""
    return next(one.study for one in running.state.world.seeded if len(one.reports) == 2 and not one.dictated)


def by(kind, signed):
    return {
        "study_id": {"study_id": signed["studyId"]},
        "study_instance_uid": {"study_instance_uid": signed["studyInstanceUid"]},
        "report_id": {"report_id": signed["reportIds"][0]["reportId"]},
    }[kind]


@pytest.mark.parametrize("selector", ["study_id", "study_instance_uid"])
def test_reports_of_a_study_are_listed(api, signed, selector):
    raw = api.reports.with_raw_response.list(**by(selector, signed))
    assert wire.check(wire.loads(raw.read()), wire.REPORT_LIST) == ()
    listed = raw.parse()
    assert [report.report_id for report in listed.reports] == [one["reportId"] for one in signed["reportIds"]]
    assert listed.study_instance_uid == signed["studyInstanceUid"]
    assert listed.reports[0].report_plain_text


@pytest.mark.parametrize(
    ("selector", "shape"),
    [
        ("report_id", wire.REPORT_TEXT),
        ("study_id", wire.REPORT_TEXT_LIST),
        ("study_instance_uid", wire.REPORT_TEXT_LIST),
    ],
)
def test_texts_come_singly_by_report_and_as_a_list_by_study(api, signed, selector, shape):
    raw = api.reports.with_raw_response.text(**by(selector, signed))
    body = wire.loads(raw.read())
    assert wire.check(body, shape) == ()
    assert ("reports" in body) == (selector != "report_id")
    assert hasattr(raw.parse(), "reports") == (selector != "report_id")


@pytest.mark.parametrize(
    ("selector", "shape"),
    [("report_id", wire.REPORT_PDF), ("study_id", wire.REPORT_PDF_LIST), ("study_instance_uid", wire.REPORT_PDF_LIST)],
)
def test_pdf_links_come_singly_by_report_and_as_a_list_by_study(api, signed, selector, shape):
    raw = api.reports.with_raw_response.pdf(**by(selector, signed))
    assert wire.check(wire.loads(raw.read()), shape) == ()
    parsed = raw.parse()
    item = parsed if selector == "report_id" else parsed.reports[0]
    assert item.presigned_url.startswith("http://127.0.0.1:")


def test_an_addendum_is_opened_signed_and_another_cancelled(api, running, signed):
    original = signed["reportIds"][0]["reportId"]
    raw = api.reports.with_raw_response.addendum(original)
    assert wire.check(wire.loads(raw.read()), wire.ACTION_RESPONSE) == ()
    assert api.studies.retrieve(signed["studyId"]).study_report_status == "addendum_active"
    draft = api.reports.list(study_id=signed["studyId"]).reports[-1]
    assert (draft.is_addendum, draft.status, draft.is_critical, draft.signed_at) == (True, "in_progress", None, None)

    running.control("POST", f"/reports/{draft.report_id}/sign")
    assert api.studies.retrieve(signed["studyId"]).study_report_status == "completed"
    done = api.reports.list(study_id=signed["studyId"]).reports[-1]
    assert (done.report_id, done.status) == (draft.report_id, "completed")
    assert done.report_plain_text and done.signed_at

    assert api.reports.addendum(original).success
    assert api.reports.cancel_addendum(original).success
    study = api.studies.retrieve(signed["studyId"])
    assert study.study_report_status == "completed"
    assert [one.report_id for one in study.report_ids][-1] == draft.report_id


def test_studies_are_paged_to_the_end_without_loss(api, running):
    studies = list(api.studies.list(limit=7))
    assert [study.study_id for study in studies] == list(reversed(running.state.studies))


@pytest.mark.parametrize("limit", [1, 20, 100])
def test_a_page_of_studies_keeps_the_contract(api, limit):
    body = wire.loads(api.studies.with_raw_response.list(limit=limit).read())
    assert wire.check(body, STUDY_PAGE) == ()
    assert len(body["studies"]) == min(limit, 60)
    assert ("cursor" in body) == body["hasMore"]


def test_several_statuses_are_asked_for_in_one_filter(api):
    found = list(api.studies.list(study_report_status=["completed", "addendum_active"], is_cancelled=False))
    assert {study.study_report_status for study in found} == {"completed", "addendum_active"}
    assert not any(study.is_cancelled for study in found)


@pytest.mark.parametrize(
    "filters",
    [
        {"severity": "stat"},
        {"study_description": "mri"},
        {"study_type": "external"},
        {"is_cancelled": True},
        {"study_report_status": ["in_progress"]},
    ],
)
def test_each_filter_keeps_some_studies_and_drops_others(api, filters):
    assert 0 < len(list(api.studies.list(**filters))) < 60


def test_the_studies_of_a_user_and_of_a_customer_are_found(api, running):
    assigned = next(study for study in running.state.studies.values() if study["assignedTo"])
    user_id = assigned["assignedTo"]["userId"]
    assert {study.assigned_to.user_id for study in api.studies.list(assigned_to=user_id)} == {user_id}
    customer = next(study["expressCustomer"] for study in running.state.studies.values() if "expressCustomer" in study)
    found = list(api.studies.list(express_customer_id=customer["expressCustomerId"]))
    assert found and all(one.express_customer.express_customer_name == customer["expressCustomerName"] for one in found)


def test_a_study_is_found_by_its_id_and_its_uid(api, signed):
    raw = api.studies.with_raw_response.retrieve(signed["studyId"])
    assert wire.check(wire.loads(raw.read()), wire.STUDY) == ()
    assert api.studies.retrieve_by_uid(signed["studyInstanceUid"]).study_id == signed["studyId"]


def test_users_are_read_and_paged(api, running):
    users = list(api.users.list(limit=10))
    assert len(users) == len(running.state.users) - 1
    raw = api.users.with_raw_response.retrieve(users[0].user_id)
    assert wire.check(wire.loads(raw.read()), wire.USER) == ()
    page = api.users.with_raw_response.list(limit=100)
    assert wire.check(wire.loads(page.read()), wire.USER_PAGE) == ()


@pytest.mark.parametrize(
    ("filters", "count"),
    [
        ({"can_create_reports": True}, 8),
        ({"email": "user3@sandbox.example"}, 1),
        ({"first_name": "tech"}, 14),
        ({"last_name": "diologist"}, 1),
        ({"level": "owner"}, 1),
    ],
)
def test_users_are_filtered(api, filters, count):
    assert len(list(api.users.list(**filters))) == count


def test_users_are_filtered_by_how_they_were_invited(api):
    everyone = len(list(api.users.list()))
    assert (
        len(list(api.users.list(invited_source="api"))) + len(list(api.users.list(invited_source="dashboard")))
        == everyone
    )


def test_a_study_is_sent_in_changed_cancelled_and_taken_back(api, running):
    values = {
        "study_instance_uid": "2.25.77",
        "study_description": "CT Head",
        "severity": "high",
        "modality": "CT",
        "report_metadata": {"patient_name": "Test, Sent In", "mrn": "1"},
    }
    raw = api.studies.with_raw_response.create(**values)
    assert wire.check(wire.loads(raw.read()), wire.STUDY) == ()
    study = raw.parse()
    assert study.study_report_status == "unassigned"
    with pytest.raises(avara.ConflictError):
        api.studies.create(**values)
    assert api.studies.update(study.study_id, severity="stat").severity == "stat"
    assert api.studies.cancel(study_id=study.study_id).success
    assert api.studies.retrieve(study.study_id).is_cancelled
    assert api.studies.uncancel(study_instance_uid="2.25.77").success
    assert not api.studies.retrieve(study.study_id).is_cancelled

    report_id = running.control("POST", f"/studies/{study.study_id}/start")["reportId"]
    assert api.studies.retrieve(study.study_id).study_report_status == "in_progress"
    running.control("POST", f"/reports/{report_id}/sign", content="FINDINGS: As dictated.")
    assert api.reports.text(report_id=report_id).plain_text == "FINDINGS: As dictated."


def test_the_sdk_raises_its_own_error_for_each_refusal(api, running, signed):
    original = signed["reportIds"][0]["reportId"]
    with pytest.raises(avara.NotFoundError):
        api.studies.retrieve("stu_" + "0" * 32)
    with pytest.raises(avara.UnprocessableEntityError):
        api.reports.list()
    with pytest.raises(avara.ConflictError):
        api.reports.cancel_addendum(original)
    with (
        avara.Avara(api_key="another", base_url=running.url, max_retries=0) as stranger,
        pytest.raises(avara.AuthenticationError),
    ):
        stranger.auto_scribe.studies.list()


async def test_the_asynchronous_client_works_too(running):
    async with avara.AsyncAvara(api_key=running.options.api_key, base_url=running.url, max_retries=0) as client:
        studies = [study async for study in client.auto_scribe.studies.list(limit=50)]
    assert len(studies) == 60


def test_the_sdk_accepts_the_webhook_and_its_signature(sandbox, mailbox):
    started = sandbox(studies=3, webhook=mailbox.target)
    signed = started.control("POST", "/sign")
    while not mailbox.received:
        pass
    headers, body = mailbox.received[0]
    with avara.Avara(api_key="k", webhook_key=mailbox.target.key, base_url=started.url) as client:
        event = client.webhooks.unwrap(body.decode(), headers=headers)
    assert event.type == "report.delivered"
    assert (event.data.report_id, event.data.study_instance_uid) == (signed["reportId"], signed["studyInstanceUid"])
