"""`report.delivered`: signed as Standard Webhooks says, repeated until it is taken, never in the way of the account."""

import asyncio
import json

import pytest
from standardwebhooks import Webhook

from gateway.runtime.errors import ConfigError
from gateway.sandbox.seed import generate
from gateway.sandbox.state import SandboxAccount
from gateway.sandbox.switches import Switches
from gateway.sandbox.webhooks import OLD_KEY, WebhookSender, WebhookTarget, signature

KEY = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
BODY_A = b'{"id":"whe_1234567890abcdef1234567890abcdef","type":"report.delivered","data":{}}'
BODY_B = (
    b'{"id":"whe_1234567890abcdef1234567890abcdef","type":"report.delivered","data":{"isCritical":false,'
    b'"presignedUrl":"https://storage.avarasoftware.com/reports/rep_1234.pdf?token=xyz789",'
    b'"reportId":"rep_1234567890abcdef1234567890abcdef","studyId":"stu_1234567890abcdef1234567890abcdef",'
    b'"studyInstanceUid":"1.2.840.113619.2.55.3.604688119.868.1234567890.123","externalPatientId":"PAT-2024-7731",'
    b'"plainText":"FINDINGS: Normal brain MRI. No acute intracranial abnormality..."}}'
)


@pytest.mark.parametrize(
    ("body", "size", "expected"),
    [
        (BODY_A, 81, "v1,HLghNnmPOIo1h1XgaIg5/16lFpFBdYAG4w8Dpib8lBo="),
        (BODY_B, 470, "v1,KU3vKKxSbVPEhTt+eWQrpLOtUEFtSYnpnO9s3W4tV4s="),
    ],
)
def test_the_signature_is_that_of_the_published_vectors(body, size, expected):
    assert len(body) == size
    assert signature(KEY, "msg_1", 1760000000, body) == expected


def sending(mailbox, **switches):
    state = SandboxAccount(generate(1, 20), Switches(**switches))
    sender = WebhookSender(mailbox.target, state.switches, 1, lambda report_id: f"http://127.0.0.1/{report_id}.pdf")
    state.listeners.append(sender)
    return state, sender


async def test_a_signed_report_is_told_with_a_signature_that_verifies(mailbox):
    state, sender = sending(mailbox)
    signed = state.sign_new(critical=True)
    await sender.settled()
    [(headers, body)] = mailbox.received
    Webhook(KEY).verify(body, headers)
    event = json.loads(body)
    study = state.studies[signed.study_id]
    assert event == {
        "id": headers["webhook-id"],
        "type": "report.delivered",
        "data": {
            "isCritical": True,
            "presignedUrl": f"http://127.0.0.1/{signed.report_id}.pdf",
            "reportId": signed.report_id,
            "studyId": signed.study_id,
            "studyInstanceUid": signed.study_instance_uid,
            "externalPatientId": study["externalPatientId"],
            "plainText": state.reports[signed.study_id][0]["reportPlainText"],
        },
    }
    assert sender.delivered == [event["id"]]


async def test_an_event_that_is_not_taken_is_sent_again_with_the_same_id_and_body(mailbox):
    state, sender = sending(mailbox)
    mailbox.answers = [500, 302, 429]
    state.sign_new()
    await sender.settled()
    assert len({(headers["webhook-id"], body) for headers, body in mailbox.received}) == 1
    assert len(mailbox.received) == 4
    assert len(sender.delivered) == 1 and not sender.given_up


async def test_an_event_is_given_up_after_the_last_attempt(mailbox):
    state, sender = sending(mailbox, webhook_attempts="1")
    mailbox.answers = [503]
    state.sign_new()
    await sender.settled()
    assert not sender.delivered and len(sender.given_up) == 1


async def test_nobody_listening_is_no_error():
    state = SandboxAccount(generate(1, 5))
    sender = WebhookSender(WebhookTarget("http://127.0.0.1:9/nobody", KEY, wait=0.001), state.switches, 1, str)
    state.listeners.append(sender)
    state.sign_new()
    await sender.settled()
    assert len(sender.given_up) == 1


async def test_after_a_rotation_both_keys_verify(mailbox):
    state, sender = sending(mailbox, webhook_signatures="rotated")
    state.sign_new()
    await sender.settled()
    [(headers, body)] = mailbox.received
    for key in (KEY, OLD_KEY):
        Webhook(key).verify(body, headers)


async def test_what_is_under_way_is_given_up_on_close(mailbox):
    state, sender = sending(mailbox)
    state.sign_new()
    await asyncio.sleep(0)
    await sender.close()
    await sender.settled()
    assert not sender.delivered


async def test_an_event_that_is_not_delivered_yet_stops_no_other_report_from_being_signed(mailbox):
    state, sender = sending(mailbox)
    for _ in range(5):
        state.sign_new()
    await sender.settled()
    told = [json.loads(body)["data"]["studyId"] for _, body in mailbox.received]
    assert told == list(state.studies)[-5:]


@pytest.mark.parametrize(
    ("url", "key", "names"),
    [
        ("ftp://127.0.0.1/x", KEY, "--webhook-url"),
        ("http:///x", KEY, "--webhook-url"),
        ("http://127.0.0.1/x", "whsec_", "--webhook-key"),
        ("http://127.0.0.1/x", "whsec_a", "--webhook-key"),
    ],
)
def test_a_target_that_cannot_be_used_is_refused_at_once(url, key, names):
    with pytest.raises(ConfigError, match=names):
        WebhookTarget(url, key)
