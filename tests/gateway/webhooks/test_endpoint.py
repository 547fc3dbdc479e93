"""`POST /webhooks/autoscribe` answers only once the event is on disk, and never with a 5xx for bad input."""

import asyncio
import json
from contextlib import asynccontextmanager
from datetime import timedelta

import httpx
import pytest
import structlog
from fakes.inbox import KEY, NOW, REPORT, SECRET, STUDY, Clock, Memory, body, sample, signed
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st

from gateway.runtime.computing import workers
from gateway.runtime.metrics import Measured, Metrics
from gateway.runtime.serving import listening_socket, running
from gateway.sandbox.seed import generate
from gateway.sandbox.state import SandboxAccount
from gateway.sandbox.switches import parse_switches
from gateway.sandbox.webhooks import OLD_KEY, WebhookSender, WebhookTarget
from gateway.webhooks.endpoint import MOST_BYTES, PATH, WebhookInbox, webhook_routes
from gateway.webhooks.event import Verifier
from gateway.webhooks.worker import WebhookWork

URL = f"http://127.0.0.1{PATH}"
CANARY = "CANARY"
DELIVERED = "report.delivered"
ENRICHMENT = "patient_study.enrichment_requested"
REFUSED = {"success": False, "error": "unauthorized"}


class Door:
    """Route in an application of its own, over stores in memory."""

    def __init__(self, keys=(KEY,), **patience):
        self.memory, self.metrics, self.clock, self.woken = Memory(), Metrics(), Clock(), 0
        self.app = FastAPI(routes=webhook_routes())
        self.app.add_middleware(Measured, metrics=self.metrics)
        self.app.state.inbox = WebhookInbox(
            Verifier(keys), self.memory, self.memory, self.metrics, self.wake, now=self.clock, **patience
        )

    def wake(self):
        self.woken += 1

    async def send(self, content, headers=None, method="POST"):
        async with httpx.AsyncClient(transport=httpx.ASGITransport(self.app)) as client:
            given = signed(content) if headers is None else headers
            return await client.request(method, URL, content=content, headers=given)

    def count(self, kind, outcome):
        return sample(self.metrics, "webhooks_total", kind=kind, outcome=outcome)


@pytest.fixture
def door():
    return Door()


@pytest.fixture
def lines():
    with structlog.testing.capture_logs() as captured:
        yield captured


async def test_a_delivered_report_is_on_disk_before_it_is_answered(door, lines):
    content = body(DELIVERED, reportId=REPORT, studyId=STUDY, plainText=CANARY, presignedUrl=f"https://x/{CANARY}")
    answer = await door.send(content)
    assert (answer.status_code, answer.json()) == (200, {"success": True})
    [row] = door.memory.rows.values()
    assert (row.webhook_id, row.event_id, row.kind, row.at) == ("msg_1", "whe_1", DELIVERED, NOW)
    assert row.body == {"reportId": REPORT, "studyId": STUDY}
    assert (door.woken, door.count(DELIVERED, "recorded"), lines) == (1, 1, [])
    assert sample(door.metrics, "http_requests_total", route=PATH, method="POST", status="200") == 1


@pytest.mark.parametrize(("webhook_id", "event_id"), [("msg_1", "whe_1"), ("msg_1", "whe_2"), ("msg_2", "whe_1")])
async def test_a_repeat_is_answered_alike_and_has_no_effect(door, webhook_id, event_id):
    await door.send(body())
    before = dict(door.memory.rows)
    content = body(event_id=event_id, reportId=f"rep_{'f' * 32}", studyId=STUDY)
    answer = await door.send(content, signed(content, webhook_id))
    assert (answer.status_code, answer.json()) == (200, {"success": True})
    assert door.memory.rows == before
    assert door.count(DELIVERED, "repeated") == 1


async def test_two_copies_at_one_time_make_one_record(door):
    answers = await asyncio.gather(*(door.send(body()) for _ in range(10)))
    assert {answer.status_code for answer in answers} == {200}
    assert len(door.memory.rows) == 1


@pytest.mark.parametrize("seconds", [301, -301])
async def test_an_old_or_a_future_delivery_is_refused_by_our_clock(door, seconds, lines):
    door.clock.forward(seconds)
    answer = await door.send(body())
    assert (answer.status_code, answer.json()) == (401, REFUSED)
    assert (door.memory.rows, door.count("none", "wrong-time")) == ({}, 1)
    assert [(line["event"], line["code"], line["log_level"]) for line in lines] == [
        ("webhook-refused", "wrong-time", "warning")
    ]


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"webhook-id": "msg_1"},
        {"webhook-signature": "v1,AAAA"},
        {"webhook-signature": "v1," + "A" * 60_000},
        {name.replace("webhook", "svix"): value for name, value in signed(body()).items()},
    ],
    ids=lambda one: " ".join(one)[:30] or "none",
)
async def test_what_is_not_signed_is_refused_without_saying_why(door, headers):
    answer = await door.send(body(), headers)
    assert (answer.status_code, answer.json()) == (401, REFUSED)
    assert (door.memory.rows, door.woken) == ({}, 0)


async def test_of_each_signature_it_is_told_whether_it_holds():
    """Check that a missing signature, or a wrong body or method, does not count against the secret."""
    told = []
    door = Door(note_signature=told.append)
    await door.send(body())
    await door.send(body(), signed(body(), secret="whsec_" + "QUFB" * 10))
    await door.send(b"no JSON")
    await door.send(body(), {})
    await door.send(b"", {}, "GET")
    assert told == [True, False, True]


async def test_without_a_key_nothing_is_taken_and_autoscribe_is_asked_to_come_again(lines):
    door = Door(keys=())
    answer = await door.send(body())
    assert (answer.status_code, answer.json()["error"]) == (503, "no-webhook-key")
    assert int(answer.headers["retry-after"]) > 0
    assert lines[0]["log_level"] == "error"


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "BREW"])
async def test_only_post_is_taken(door, method):
    answer = await door.send(b"", {}, method)
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


async def test_a_body_of_one_mebibyte_is_read_and_one_byte_more_is_refused(door):
    head = b'{"id":"whe_1","type":"x","data":{"more":"'
    content = head + b"x" * (MOST_BYTES - len(head) - 3) + b'"}}'
    assert len(content) == MOST_BYTES
    assert (await door.send(content)).status_code == 200
    answer = await door.send(content + b" ")
    assert (answer.status_code, answer.json()["error"]) == (413, "too-large")


@pytest.mark.parametrize("kind", [DELIVERED, "something.new"])
async def test_a_large_event_is_parsed_in_a_worker_and_kept_like_a_small_one(door, kind):
    content = body(kind, reportId=REPORT, studyId=STUDY, more=["x"] * 2**15)
    async with workers(1, (), ()):
        assert (await door.send(content)).status_code == 200
        assert (await door.send(b"{" * 2**16)).status_code == 400


async def test_an_endless_body_is_read_no_further_than_the_limit(door):
    sent = 0

    async def endless():
        nonlocal sent
        while True:
            sent += 65536
            yield b"x" * 65536

    answer = await door.send(endless(), {})
    assert (answer.status_code, sent <= MOST_BYTES + 2 * 65536) == (413, True)


async def test_a_body_that_does_not_come_is_not_waited_for(lines):
    door = Door(body_patience=0.01)

    async def slow():
        yield b"{"
        await asyncio.sleep(30)

    answer = await door.send(slow(), {})
    assert (answer.status_code, answer.json()["error"]) == (408, "too-slow")


async def test_a_sender_who_goes_away_leaves_no_trace_but_a_count(door):
    async def receive():
        return {"type": "http.disconnect"}

    async def send(message):
        pass

    scope = {"type": "http", "method": "POST", "path": PATH, "headers": [], "query_string": b"", "root_path": ""}
    await door.app(scope, receive, send)
    assert (door.memory.rows, door.count("none", "cut-off")) == ({}, 1)


@pytest.mark.parametrize("content_type", [None, "text/plain", "application/json; charset=latin-1", "x"])
async def test_the_content_type_does_not_matter(door, content_type):
    headers = signed(body()) | ({"content-type": content_type} if content_type else {})
    assert (await door.send(body(), headers)).status_code == 200
    assert len(door.memory.rows) == 1


@pytest.mark.parametrize("failure", [OSError(CANARY), None], ids=["broken", "too slow"])
@pytest.mark.parametrize("content", [body(), body(ENRICHMENT, studyInstanceUid="1.2", patientId=CANARY)])
async def test_what_cannot_be_kept_is_not_taken_so_that_it_is_sent_again(failure, content, lines):
    door = Door(store_patience=0.02)
    door.memory.down, door.memory.gate = failure, None if failure else asyncio.Event()
    answer = await door.send(content)
    assert (answer.status_code, answer.json()["error"]) == (503, "store-unavailable")
    assert int(answer.headers["retry-after"]) > 0
    assert [line["event"] for line in lines] == ["webhook-not-kept", "webhook-refused"]
    assert CANARY not in answer.text
    door.memory.down = door.memory.gate = None
    assert (await door.send(content)).status_code == 200
    assert len(door.memory.rows) + len(door.memory.kept) == 1


@pytest.mark.parametrize(
    ("kind", "reply"),
    [
        ("clinical_context.enrichment_requested", {}),
        ("modality_worklist.requested", {"authorized": False, "items": []}),
        ("study.access_requested", {"authorized": False, "urls": []}),
        ("ephemeral.access_requested", {"authorized": False, "urls": []}),
        ("secondary_capture.access_requested", {"authorized": False, "uploadUrls": []}),
    ],
)
async def test_what_the_gateway_does_not_do_is_declined_in_good_form(door, kind, reply):
    answer = await door.send(body(kind, studyId="x", mrn=CANARY))
    assert (answer.status_code, answer.json()) == (200, reply)
    assert (door.memory.rows, door.memory.kept, door.count(kind, "answered")) == ({}, {}, 1)


@pytest.mark.parametrize(
    ("data", "kept"), [({"mrn": CANARY}, {"mrn": CANARY}), ([CANARY], {"data": [CANARY]}), (None, {}), (5, {"data": 5})]
)
async def test_an_event_of_a_kind_that_is_not_known_is_kept_and_counted_and_never_due(door, lines, data, kept):
    content = json.dumps({"id": "whe_1", "type": f"{CANARY}.happened", "data": data}).encode()
    answers = [await door.send(content) for _ in range(2)]
    assert [(one.status_code, one.json()) for one in answers] == [(200, {"success": True})] * 2
    [row] = door.memory.rows.values()
    assert (row.kind, row.body, row.state, row.code) == (f"{CANARY}.happened", kept, "given up", "unknown-kind")
    assert (door.count("other", "recorded"), door.count("other", "repeated"), door.woken) == (1, 1, 0)
    assert CANARY not in str(lines)


async def test_after_one_of_a_kind_that_is_not_known_the_next_is_taken(door):
    await door.send(body("x", "whe_1"), signed(body("x", "whe_1"), "msg_1"))
    content = body(event_id="whe_2")
    assert (await door.send(content, signed(content, "msg_2"))).status_code == 200
    assert [row.state for row in door.memory.rows.values()] == ["given up", "due"]


async def test_accession_number_and_patient_id_are_kept_by_study(door):
    content = body(ENRICHMENT, clinicId="c", studyInstanceUid="1.2.3", accessionNumber="ACC-1", patientId=" ")
    answer = await door.send(content)
    assert (answer.status_code, answer.json()) == (200, {})
    assert door.memory.kept == {"1.2.3": ("ACC-1", None, NOW)}
    assert (door.memory.rows, door.count(ENRICHMENT, "recorded")) == ({}, 1)


async def test_an_enrichment_sent_again_later_puts_no_older_number_in_the_place_of_a_newer(door):
    older = body(ENRICHMENT, studyInstanceUid="1.2.3", accessionNumber="OLD")
    newer = body(ENRICHMENT, studyInstanceUid="1.2.3", accessionNumber="NEW")
    await door.send(newer, signed(newer, at=NOW + timedelta(seconds=1)))
    await door.send(older, signed(older, "msg_2"))
    assert door.memory.kept["1.2.3"][0] == "NEW"


async def test_an_enrichment_that_says_nothing_of_use_needs_no_store(door):
    door.memory.down = OSError()
    assert (await door.send(body(ENRICHMENT, studyInstanceUid="1.2.3"))).json() == {}


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"", "none"),
        (b"[]", "none"),
        (b"{", "none"),
        (b'{"id": "whe_1", "type": "report.delivered", "data": {}}', DELIVERED),
        (b'{"id": "whe_1", "type": "report.delivered", "data": []}', DELIVERED),
        (body(DELIVERED, reportId=CANARY, studyId=STUDY), DELIVERED),
        (body(ENRICHMENT, accessionNumber=CANARY), ENRICHMENT),
    ],
)
async def test_a_genuine_body_that_is_not_understood_is_an_error_for_the_operator(door, content, kind, lines):
    answer = await door.send(content)
    assert (answer.status_code, answer.json()) == (400, {"success": False, "error": "not-understood"})
    [line] = lines
    assert line["request_id"] == answer.headers["x-request-id"]
    assert (line["event"], line["log_level"], line["operation"]) == ("webhook-refused", "error", kind)
    assert CANARY not in str(line)
    assert (door.memory.rows, door.count(kind, "not-understood")) == ({}, 1)


JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text() | st.sampled_from([STUDY, REPORT, "\ud800"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
KEYS = st.sampled_from(["reportId", "studyId", "studyInstanceUid", "accessionNumber", "patientId"]) | st.text()
EVENTS = st.fixed_dictionaries(
    {
        "id": st.just("whe_1") | JSON,
        "type": st.sampled_from([DELIVERED, ENRICHMENT, "study.access_requested", "x"]) | JSON,
        "data": st.dictionaries(KEYS, JSON, max_size=6) | JSON,
    }
)


@pytest.mark.full
@given(st.one_of(st.binary(max_size=300), EVENTS.map(lambda one: json.dumps(one).encode())), st.booleans(), st.data())
def test_no_bytes_and_no_headers_lead_to_a_5xx(content, is_signed, data):
    door = Door()
    if is_signed:
        headers = signed(content.decode("utf-8", "replace").encode())
    else:
        names = st.sampled_from(["webhook-id", "webhook-timestamp", "webhook-signature", "content-type", "x"])
        headers = data.draw(st.dictionaries(names, st.binary(max_size=50)))
    answer = asyncio.run(door.send(content, headers))
    assert answer.status_code in {200, 400, 401}
    assert (answer.status_code == 200) <= is_signed
    json.loads(answer.text)
    for row in door.memory.rows.values():
        f"{row.event_id}{json.dumps(row.body)}".encode()
    for uid, (accession_number, patient_id, _) in door.memory.kept.items():
        "".join((uid, accession_number or "", patient_id or "")).encode()


@asynccontextmanager
async def behind(door, *switches):
    """Connect a sandbox account whose events reach the endpoint over a socket."""
    with listening_socket("127.0.0.1", 0) as listener:
        async with running(door.app, listener):
            url = f"http://127.0.0.1:{listener.getsockname()[1]}{PATH}"
            state = SandboxAccount(generate(1, 20), parse_switches(switches))
            sender = WebhookSender(WebhookTarget(url, SECRET), state.switches, 1, str)
            state.listeners.append(sender)
            yield state, sender


@pytest.fixture
def live():
    """Return an endpoint with a running clock."""
    door = Door()
    door.app.state.inbox = WebhookInbox(Verifier([KEY]), door.memory, door.memory, door.metrics, door.wake)
    return door


@pytest.mark.parametrize(
    "switch",
    [
        "webhook_accepts=2xx",
        "webhook_accepts=success_true",
        "webhook_order=swapped",
        "webhook_copies=twice",
        "webhook_id=other",
        "webhook_signatures=rotated",
        "webhook_fields=none",
    ],
)
async def test_every_report_that_is_signed_in_the_sandbox_is_recorded_once(live, switch):
    async with behind(live, switch) as (state, sender):
        reports = {state.sign_new().report_id for _ in range(4)}
        await sender.settled()
    assert not sender.given_up
    assert sorted(row.body["reportId"] for row in live.memory.rows.values()) == sorted(reports)


async def test_a_delivery_that_the_store_could_not_take_comes_again_and_is_recorded(live):
    live.memory.down = OSError()
    async with behind(live, "webhook_attempts=10") as (state, sender):
        state.sign_new()
        while live.count(DELIVERED, "store-unavailable") is None:
            assert not sender.given_up
            await asyncio.sleep(0.01)
        live.memory.down = None
        await sender.settled()
    assert len(live.memory.rows) == len(sender.delivered) == 1


async def test_a_sandbox_that_signs_with_another_key_is_refused(live):
    async with behind(live, "webhook_attempts=1") as (state, sender):
        sender.target = WebhookTarget(sender.target.url, OLD_KEY)
        state.sign_new()
        await sender.settled()
    assert (len(sender.given_up), live.memory.rows, live.count("none", "wrong-signature")) == (1, {}, 1)


async def test_from_the_signature_to_the_fetch_of_the_study_it_takes_no_poll(live):
    fetched = []

    async def ingest(study_id):
        fetched.append(study_id)
        return {row.body["reportId"] for row in live.memory.rows.values()}

    work = WebhookWork(live.memory, ingest, live.metrics)
    live.app.state.inbox = WebhookInbox(Verifier([KEY]), live.memory, live.memory, live.metrics, work.wake)
    task = asyncio.create_task(work.run())
    async with behind(live) as (state, sender):
        told = state.sign_new()
        await sender.settled()
        while sample(live.metrics, "webhook_work_total", outcome="done") is None:
            assert not task.done()
            await asyncio.sleep(0.005)
    task.cancel()
    assert fetched == [told.study_id]
