"""Every answer of every switch: it changes what it says, and nothing that was not covered here exists."""

import dataclasses
import json

import httpx
import pytest

from gateway.runtime import clock
from gateway.runtime.errors import ConfigError
from gateway.sandbox.seed import generate
from gateway.sandbox.state import SandboxAccount
from gateway.sandbox.switches import Switches, parse_switches, table
from gateway.sandbox.upstream import SandboxOptions, open_sandbox
from mappings.study import wire

WORLD = generate(1, 60)
KEY = SandboxOptions().api_key
NOWHERE = "stu_" + "0" * 32


@dataclasses.dataclass
class Probe:
    """A sandbox inside the process, asked as a client would."""

    client: httpx.AsyncClient
    state: SandboxAccount
    app: object
    mailbox: object

    async def get(self, path, **query):
        return await self.client.get(f"/v1/autoScribe{path}", params=query)

    async def post(self, path):
        return await self.client.post(f"/v1/autoScribe{path}")

    def seeded(self, wanted):
        return next(one for one in WORLD.seeded if wanted(one))

    @property
    def plain(self):
        return self.seeded(lambda one: one.study["reportMetadata"].get("studyTime") and len(one.reports) == 1).study

    @property
    def two_reports(self):
        return self.seeded(lambda one: len(one.reports) == 2 and one.study["studyReportStatus"] == "completed")

    @property
    def addendum_open(self):
        return self.seeded(lambda one: one.study["studyReportStatus"] == "addendum_active")

    @property
    def draft(self):
        return self.seeded(lambda one: one.study["studyReportStatus"] == "in_progress")

    @property
    def external(self):
        return self.seeded(lambda one: one.archived)

    @property
    def without_reports(self):
        return self.seeded(lambda one: not one.reports and not one.archived).study


async def error_body(probe):
    answer = await probe.get(f"/studies/{NOWHERE}")
    return answer.headers.get("content-type", "").partition(";")[0], answer.text.startswith('{"error":')


async def unknown_id(probe):
    return (await probe.get(f"/studies/{NOWHERE}")).status_code


async def no_selector(probe):
    return (await probe.get("/reports")).status_code


async def addendum_unsigned(probe):
    return (await probe.post(f"/reports/{probe.draft.reports[0]['reportId']}/addendum")).status_code


async def addendum_twice(probe):
    return (await probe.post(f"/reports/{probe.addendum_open.reports[0]['reportId']}/addendum")).status_code


async def cancel_none(probe):
    return (await probe.post(f"/reports/{probe.two_reports.reports[0]['reportId']}/cancel-addendum")).status_code


async def key_scope(probe):
    first = (await probe.get("/studies", limit=100)).json()["studies"]
    return all("createdByApiKey" in study for study in first)


async def out_of_scope(probe):
    other = probe.seeded(lambda one: "createdByUser" in one.study).study
    return (await probe.get(f"/studies/{other['studyId']}")).status_code


async def selectors(probe):
    first, second = probe.two_reports, probe.draft
    answer = await probe.get(
        "/reports/text",
        reportId=first.reports[0]["reportId"],
        studyId=second.study["studyId"],
        studyInstanceUid=probe.plain["studyInstanceUid"],
    )
    named = {
        first.reports[0]["reportId"]: "report",
        second.study["studyId"]: "study",
        probe.plain["studyId"]: "uid",
    }
    body = answer.json()
    return named.get(body.get("reportId") or body.get("studyId"), answer.status_code)


async def no_reports(probe):
    return (await probe.get("/reports", studyId=probe.without_reports["studyId"])).status_code


async def report_order(probe):
    seen = {}
    for one in (one for one in WORLD.seeded if len(one.reports) > 1):
        body = (await probe.get("/reports", studyId=one.study["studyId"])).json()
        times = [report["createdAt"] for report in body["reports"]]
        seen.setdefault(times == sorted(times), 0)
    return {(True,): "oldest", (False,): "newest"}.get(tuple(seen), "mixed")


async def study_order(probe):
    times = [one["createdAt"] for one in (await probe.get("/studies", limit=50)).json()["studies"]]
    return {tuple(sorted(times)): "oldest", tuple(sorted(times, reverse=True)): "newest"}.get(tuple(times), "mixed")


async def addendum_parent(probe):
    body = (await probe.get("/reports", studyId=probe.addendum_open.study["studyId"])).json()
    original, addendum = body["reports"]
    return addendum.get("parentReportId") == original["reportId"]


async def addendum_text(probe):
    original, addendum = probe.addendum_open.reports
    probe.state.sign(addendum["reportId"])
    text = (await probe.get("/reports/text", reportId=addendum["reportId"])).json()["plainText"]
    return original["reportPlainText"] in text


async def cancel_takes(probe):
    original, addendum = probe.addendum_open.reports
    by_original = await probe.post(f"/reports/{original['reportId']}/cancel-addendum")
    by_addendum = await probe.post(f"/reports/{addendum['reportId']}/cancel-addendum")
    return by_original.status_code, by_addendum.status_code


async def addendum_reply(probe):
    return sorted((await probe.post(f"/reports/{probe.two_reports.reports[0]['reportId']}/addendum")).json())


async def action_success(probe):
    study_id = probe.two_reports.study["studyId"]
    body = (await probe.post(f"/reports/{probe.two_reports.reports[0]['reportId']}/addendum")).json()
    return body["success"], (await probe.get(f"/studies/{study_id}")).json()["studyReportStatus"]


async def events(probe, *, answers=(), reply=b'{"success": true}', count=1, addendum=False):
    probe.mailbox.answers.extend(answers)
    probe.mailbox.reply = reply
    if addendum:
        probe.state.sign(probe.addendum_open.reports[1]["reportId"])
    else:
        for _ in range(count):
            probe.state.sign_new()
    await probe.app.state.sender.settled()
    return [(headers, json.loads(body)) for headers, body in probe.mailbox.received]


async def webhook_attempts(probe):
    return len(await events(probe, answers=[500, 500]))


async def webhook_accepts(probe):
    return len(await events(probe, reply=b"ok")) > 1


async def webhook_order(probe):
    got = await events(probe, count=2)
    signed = list(probe.state.studies)[-2:]
    return [body["data"]["studyId"] for _, body in got] == signed


async def webhook_copies(probe):
    return len(await events(probe))


async def addendum_event(probe):
    return len(await events(probe, addendum=True))


async def webhook_id(probe):
    [(headers, body)] = await events(probe)
    return headers["webhook-id"] == body["id"]


async def webhook_signatures(probe):
    [(headers, _)] = await events(probe)
    return len(headers["webhook-signature"].split())


async def webhook_fields(probe):
    [(_, body)] = await events(probe)
    return {"studyInstanceUid", "externalPatientId", "plainText"} <= body["data"].keys()


async def rate_limit(probe):
    answers = [await probe.get("/users", limit=1) for _ in range(250)]
    refused = [answer for answer in answers if answer.status_code == 429]
    return all(answer.headers["retry-after"] == "1" for answer in refused) and bool(refused)


async def study_time(probe):
    return len((await probe.get(f"/studies/{probe.plain['studyId']}")).json()["reportMetadata"]["studyTime"])


async def accession(probe):
    return "accessionNumber" in (await probe.get(f"/studies/{probe.plain['studyId']}")).json()["metadata"]


async def null_filter(probe):
    answer = await probe.get("/studies", assignedTo="", limit=100)
    if answer.status_code != 200:
        return answer.status_code
    return "all" if len(answer.json()["studies"]) == 60 else "unassigned"


async def external_reports(probe):
    answer = await probe.get("/reports", studyId=probe.external.study["studyId"])
    return len(answer.json()["reports"]) if answer.status_code == 200 else answer.status_code


async def pdf_unsigned(probe):
    one = await probe.get("/reports/pdf", reportId=probe.draft.reports[0]["reportId"])
    body = (await probe.get("/reports/pdf", studyId=probe.draft.study["studyId"])).json()
    return one.status_code, len(body["reports"])


async def pdf_type(probe):
    item = (await probe.get("/reports/pdf", reportId=probe.two_reports.reports[0]["reportId"])).json()
    answer = await probe.client.get(item["presignedUrl"])
    assert answer.content.startswith(b"%PDF-")
    return answer.headers.get("content-type")


async def revoked_user(probe):
    return (await probe.get(f"/users/{next(iter(WORLD.revoked))}")).status_code


async def drift(probe):
    codes = set()
    for one in WORLD.seeded:
        body = (await probe.get(f"/studies/{one.study['studyId']}")).json()
        codes |= {issue.code for issue in wire.check(body, wire.STUDY)}
        if one.reports:
            body = (await probe.get("/reports", studyId=one.study["studyId"])).json()
            codes |= {issue.code for issue in wire.check(body, wire.REPORT_LIST)}
    return sorted(codes)


async def unsigned_text(probe):
    draft = probe.draft
    listed = (await probe.get("/reports", studyId=draft.study["studyId"])).json()["reports"][0]
    text = (await probe.get("/reports/text", reportId=draft.reports[0]["reportId"])).json()
    return "reportPlainText" in listed, "plainText" in text


async def cursor(probe):
    first = (await probe.get("/studies", limit=10)).json()
    second = (await probe.get("/studies", limit=10, cursor=first["cursor"])).json()
    again = await probe.get("/studies", limit=10, cursor=first["cursor"])
    expected = list(reversed(probe.state.studies))
    return expected.index(second["studies"][0]["studyId"]), again.status_code


async def last_cursor(probe):
    body = (await probe.get("/studies", limit=100)).json()
    assert not body["hasMore"]
    return bool(body["cursor"]) if "cursor" in body else None


ACTIVE, DONE = (True, "addendum_active"), (False, "completed")
ALL_DRIFTS = ["key-absent", "null-value", "unknown-code", "unknown-key"]
# probe, what it finds by default, what it finds with each other answer
CASES = [
    (
        error_body,
        ("application/json", True),
        {
            "message": ("application/json", False),
            "errors_list": ("application/json", False),
            "text": ("text/plain", False),
            "html": ("text/html", False),
            "empty": ("", False),
        },
    ),
    (unknown_id, 404, {"400": 400, "403": 403, "422": 422}),
    (no_selector, 422, {"400": 400, "404": 404}),
    (addendum_unsigned, 409, {"422": 422, "400": 400, "404": 404}),
    (addendum_twice, 409, {"422": 422, "400": 400}),
    (cancel_none, 409, {"422": 422, "400": 400, "404": 404}),
    (key_scope, False, {"self": True}),
    (selectors, "report", {"study_id": "study", "uid": "uid", "refuse": 422}),
    (no_reports, 200, {"404": 404}),
    (report_order, "oldest", {"newest_first": "newest", "shuffled": "mixed"}),
    (study_order, "newest", {"oldest_first": "oldest", "shuffled": "mixed"}),
    (addendum_parent, False, {"parent_report_id": True}),
    (addendum_text, False, {"merged": True}),
    (cancel_takes, (200, 404), {"original": (200, 404), "addendum": (404, 200)}),
    (addendum_reply, ["success"], {"report_id": ["reportId", "success"]}),
    (action_success, ACTIVE, {"false": DONE}),
    (webhook_attempts, 3, {"1": 1, "10": 3}),
    (webhook_accepts, False, {"success_true": True}),
    (webhook_order, True, {"swapped": False}),
    (webhook_copies, 1, {"twice": 2}),
    (addendum_event, 1, {"no": 0}),
    (webhook_id, True, {"other": False}),
    (webhook_signatures, 1, {"rotated": 2}),
    (webhook_fields, True, {"none": False}),
    (rate_limit, False, {"1": True, "5": True, "20": True, "100": True}),
    (study_time, 5, {"seconds": 8, "fraction": 12}),
    (accession, False, {"metadata": True}),
    (null_filter, "unassigned", {"ignored": "all", "refuse": 422}),
    (external_reports, 404, {"empty": 0, "data": 1}),
    (pdf_unsigned, (404, 0), {"listed": (200, 1)}),
    (pdf_type, "application/pdf", {"application/octet-stream": "application/octet-stream", "absent": None}),
    (revoked_user, 404, {"found": 200}),
    (
        drift,
        [],
        {
            "unknown_fields": ["unknown-key"],
            "unknown_codes": ["unknown-code"],
            "null_optional": ["null-value"],
            "absent_nullable": ["key-absent"],
            "old_names": ["unknown-key"],
            "all": ALL_DRIFTS,
        },
    ),
    (unsigned_text, (True, True), {"absent": (False, False)}),
    (cursor, (10, 200), {"repeats": (9, 200), "skips": (11, 200), "once": (10, 422)}),
    (last_cursor, None, {"empty": False, "present": True}),
]
# switches that show only beside another one
TOGETHER = [
    (out_of_scope, ["key_scope=self"], 404),
    (out_of_scope, ["key_scope=self", "out_of_scope=403"], 403),
    (addendum_reply, ["action_message=present"], ["message", "success"]),
    (action_success, ["action_message=present", "action_success=false"], DONE),
]
ROWS = [
    *((probe, [], default) for probe, default, _ in CASES),
    *((probe, [f"{probe.__name__}={answer}"], found) for probe, _, others in CASES for answer, found in others.items()),
    *TOGETHER,
]


@pytest.mark.parametrize(
    ("probe", "settings", "expected"),
    ROWS,
    ids=[f"{probe.__name__}:{','.join(given) or 'default'}" for probe, given, _ in ROWS],
)
async def test_a_switch_changes_what_it_says(probe, settings, expected, mailbox, monkeypatch):
    monkeypatch.setattr(clock, "monotonic", lambda: 5.0)
    app, state = open_sandbox(SandboxOptions(studies=60, switches=tuple(settings), webhook=mailbox.target))
    transport = httpx.ASGITransport(app)
    headers = {"authorization": f"Bearer {KEY}"}
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8801", headers=headers) as client:
        assert await probe(Probe(client, state, app, mailbox)) == expected


def test_every_answer_of_every_switch_is_tried_above():
    tried = {setting for _, settings, _ in ROWS for setting in settings}
    there = {f"{name}={answer}" for name, _, answers, _ in table() for answer in answers[1:]}
    assert there - tried == set()


def test_a_switch_has_a_row_of_the_open_questions_a_meaning_and_a_default_among_its_answers():
    for name, row, answers, doc in table():
        assert 1 <= row <= 22 and doc and len(answers) > 1
        assert getattr(Switches(), name) == answers[0]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("nonsense=1", "no such switch. Known: error_body,"),
        ("drift=sideways", "no such answer. Write drift= and one of none, unknown_fields,"),
        ("", "no such switch"),
    ],
)
def test_a_setting_that_is_none_is_refused_with_what_there_is(given, says):
    with pytest.raises(ConfigError, match="--switch") as refused:
        parse_switches([given])
    assert says in str(refused.value)


def test_a_name_may_be_written_with_hyphens():
    assert parse_switches(["addendum-text=merged", "cursor=once"]) == Switches(addendum_text="merged", cursor="once")
