"""Standard Webhooks 1.0 over the raw bytes, and the data kept of an event."""

import json
from datetime import timedelta

import avara
import pytest
from fakes.inbox import KEY, NOW, REPORT, SECRET, STUDY, body, signed
from hypothesis import example, given
from hypothesis import strategies as st
from standardwebhooks import Webhook
from standardwebhooks.webhooks import WebhookVerificationError

from gateway.runtime import clock
from gateway.webhooks.event import Enrichment, Verifier, WebhookDelivery, delivered, enrichment, event
from mappings.issues import WireError

BODY_A = b'{"id":"whe_1234567890abcdef1234567890abcdef","type":"report.delivered","data":{}}'
BODY_B = (
    b'{"id":"whe_1234567890abcdef1234567890abcdef","type":"report.delivered","data":{"isCritical":false,'
    b'"presignedUrl":"https://storage.avarasoftware.com/reports/rep_1234.pdf?token=xyz789",'
    b'"reportId":"rep_1234567890abcdef1234567890abcdef","studyId":"stu_1234567890abcdef1234567890abcdef",'
    b'"studyInstanceUid":"1.2.840.113619.2.55.3.604688119.868.1234567890.123","externalPatientId":"PAT-2024-7731",'
    b'"plainText":"FINDINGS: Normal brain MRI. No acute intracranial abnormality..."}}'
)
SIGNATURE_A = "v1,HLghNnmPOIo1h1XgaIg5/16lFpFBdYAG4w8Dpib8lBo="
SIGNATURE_B = "v1,KU3vKKxSbVPEhTt+eWQrpLOtUEFtSYnpnO9s3W4tV4s="
OLD_KEY = b"old-sandbox-webhook-key"
VERIFIER = Verifier([KEY])


def raw(headers):
    return [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]


def check(content, headers, now=NOW, verifier=VERIFIER):
    return verifier.verified(raw(headers), content, now)


@pytest.mark.parametrize(("content", "signature"), [(BODY_A, SIGNATURE_A), (BODY_B, SIGNATURE_B)], ids=["A", "B"])
def test_the_published_vectors_are_genuine(content, signature):
    headers = {"webhook-id": "msg_1", "webhook-timestamp": "1760000000", "webhook-signature": signature}
    assert check(content, headers) == WebhookDelivery("msg_1", NOW, content.decode())


@pytest.mark.parametrize("seconds", [0, 299, 300, -299, -300])
def test_our_clock_may_be_five_minutes_off_either_way(seconds):
    content = body()
    assert isinstance(check(content, signed(content), NOW + timedelta(seconds=seconds)), WebhookDelivery)


@pytest.mark.parametrize("seconds", [301, -301, 86400])
def test_a_delivery_from_further_away_in_time_is_refused_though_its_signature_holds(seconds):
    content = body()
    assert check(content, signed(content), NOW + timedelta(seconds=seconds)) == "wrong-time"


def test_either_key_is_good_while_one_takes_the_place_of_the_other():
    content = body()
    old = "whsec_b2xkLXNhbmRib3gtd2ViaG9vay1rZXk="
    both = Verifier([KEY, OLD_KEY])
    for headers in (signed(content), signed(content, secret=old)):
        assert isinstance(check(content, headers, verifier=both), WebhookDelivery)
    assert check(content, signed(content, secret=old)) == "wrong-signature"
    rotated = signed(content, secret=old)
    rotated["webhook-signature"] += " " + signed(content)["webhook-signature"]
    assert isinstance(check(content, rotated), WebhookDelivery)


def test_without_a_key_nothing_is_genuine():
    assert (VERIFIER.has_key, Verifier([]).has_key) == (True, False)
    assert check(BODY_A, signed(BODY_A), verifier=Verifier([])) == "wrong-signature"


@pytest.mark.parametrize(
    ("change", "refusal"),
    [
        ({"webhook-id": ""}, "unsigned"),
        ({"webhook-id": "msg_é"}, "unsigned"),
        ({"webhook-id": "msg 1"}, "unsigned"),
        ({"webhook-id": "m" * 257}, "unsigned"),
        ({"webhook-id": "msg_2"}, "wrong-signature"),
        ({"webhook-timestamp": ""}, "unsigned"),
        ({"webhook-timestamp": "now"}, "unsigned"),
        ({"webhook-timestamp": "-1760000000"}, "unsigned"),
        ({"webhook-timestamp": "1760000000.0"}, "unsigned"),
        ({"webhook-timestamp": "01760000000"}, "unsigned"),
        ({"webhook-timestamp": "1e300"}, "unsigned"),
        ({"webhook-timestamp": "nan"}, "unsigned"),
        ({"webhook-timestamp": "²"}, "unsigned"),
        ({"webhook-timestamp": "9" * 11}, "wrong-signature"),
        ({"webhook-timestamp": "9" * 12}, "unsigned"),
        ({"webhook-timestamp": "1760000001"}, "wrong-signature"),
        ({"webhook-signature": ""}, "unsigned"),
        ({"webhook-signature": "v1"}, "wrong-signature"),
        ({"webhook-signature": "v1,"}, "wrong-signature"),
        ({"webhook-signature": "v1,a"}, "wrong-signature"),
        ({"webhook-signature": "v1,é ÿ"}, "wrong-signature"),
        ({"webhook-signature": "v1,a,b,c"}, "wrong-signature"),
        ({"webhook-signature": SIGNATURE_A.replace("v1", "v2")}, "wrong-signature"),
        ({"webhook-signature": SIGNATURE_A.replace("v1", "v1a")}, "wrong-signature"),
        ({"webhook-signature": SIGNATURE_A.removeprefix("v1,")}, "wrong-signature"),
        ({"webhook-signature": SIGNATURE_A[:-2]}, "wrong-signature"),
        ({"webhook-signature": SIGNATURE_A.swapcase()}, "wrong-signature"),
        ({"webhook-signature": "v1,AAAA " * 10_000}, "wrong-signature"),
        ({"webhook-signature": "A" * 1_000_000}, "wrong-signature"),
    ],
    ids=str,
)
def test_hostile_headers_are_refused_and_raise_nothing(change, refusal):
    good = {"webhook-id": "msg_1", "webhook-timestamp": "1760000000", "webhook-signature": SIGNATURE_A}
    assert check(BODY_A, good | change) == refusal
    if not any(change.values()):
        assert check(BODY_A, {name: value for name, value in good.items() if name not in change}) == refusal


@pytest.mark.parametrize("listed", ["v2,AAAA {}", "v1,AAAA {}", "{} v1,AAAA", "nonsense {}", "v2,AAAA v1a,BBBB {} é"])
def test_the_good_signature_is_found_among_others(listed):
    headers = signed(BODY_A) | {"webhook-signature": listed.format(SIGNATURE_A)}
    assert isinstance(check(BODY_A, headers), WebhookDelivery)


def test_header_names_of_another_scheme_are_not_taken():
    headers = {name.replace("webhook-", "svix-"): value for name, value in signed(BODY_A).items()}
    assert check(BODY_A, headers) == "unsigned"


@pytest.mark.parametrize("name", ["webhook-id", "webhook-timestamp", "webhook-signature"])
def test_a_header_that_is_there_twice_says_nothing(name):
    headers = raw(signed(BODY_A))
    assert (
        VERIFIER.verified([*headers, *(one for one in headers if one[0] == name.encode())], BODY_A, NOW) == "unsigned"
    )


def test_every_byte_of_the_body_counts():
    headers = signed(BODY_B)
    for place in range(len(BODY_B)):
        changed = BODY_B[:place] + bytes([BODY_B[place] ^ 1]) + BODY_B[place + 1 :]
        assert check(changed, headers) == "wrong-signature"
    assert check(b"\xff" + BODY_B, headers) == "wrong-signature"


@given(
    st.lists(
        st.tuples(
            st.sampled_from([b"webhook-id", b"webhook-timestamp", b"webhook-signature", b"host"]),
            st.one_of(st.binary(max_size=64), st.from_regex(rb"v[12],[A-Za-z0-9+/=]{0,60}"), st.just(b"1760000000")),
        )
    ),
    st.binary(max_size=200),
)
@example([(b"webhook-id", b"m"), (b"webhook-timestamp", b"9" * 11), (b"webhook-signature", b"v1,=")], b"\xc3\x28")
def test_no_headers_and_no_bytes_raise_or_pass(headers, content):
    assert VERIFIER.verified(headers, content, NOW) in {"unsigned", "wrong-signature"}


@given(st.text(), st.from_regex(r"[!-~]{1,40}", fullmatch=True), st.binary(min_size=1, max_size=64))
def test_what_the_library_signs_is_genuine_and_the_library_says_so_too(text, webhook_id, key):
    now = clock.now()
    content = text.encode("utf-8", "replace")
    hook = Webhook(key)
    headers = {
        "webhook-id": webhook_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": hook.sign(webhook_id, now, content.decode()),
    }
    hook.verify(content, headers, json_parse=False)
    delivery = check(content, headers, now, Verifier([key]))
    assert (delivery.webhook_id, delivery.text) == (webhook_id, content.decode())
    other = Verifier([key + b"x"])
    assert check(content, headers, now, other) == "wrong-signature"


@pytest.mark.parametrize("change", [{}, {"webhook-id": "msg_2"}, {"webhook-signature": "v1,AAAA"}], ids=str)
def test_the_vendors_sdk_takes_what_is_taken_here_and_refuses_what_is_refused(change):
    now = clock.now()
    headers = signed(BODY_B, at=now) | change
    is_genuine = isinstance(check(BODY_B, headers, now), WebhookDelivery)
    assert is_genuine == (not change)
    with avara.Avara(api_key="k", webhook_key=SECRET, base_url="http://127.0.0.1:1") as client:
        try:
            client.webhooks.unwrap(BODY_B.decode(), headers=headers)
        except WebhookVerificationError:
            assert not is_genuine
        else:
            assert is_genuine


def test_an_event_is_its_id_its_kind_and_its_data():
    told = event(BODY_B.decode())
    assert (told.event_id, told.kind) == ("whe_1234567890abcdef1234567890abcdef", "report.delivered")
    assert event('{"id": "whe_1", "type": "x", "more": 1}').data == {}
    assert event('{"id": "whe_1", "type": "x", "data": [1]}').data == [1]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "5",
        "null",
        '{"type": "x"}',
        '{"id": "", "type": "x"}',
        '{"id": "a b", "type": "x"}',
        '{"id": "whe_\\u0000", "type": "x"}',
        '{"id": "whe_1", "type": 5}',
        '{"id": "whe_1", "id": "whe_2", "type": "x"}',
        '{"id": "whe_1", "type": "x", "data": NaN}',
        "[" * 100_000,
        "\ufeff{}",
    ],
    ids=lambda text: text[:40],
)
def test_a_body_that_is_no_event_is_told_apart(text):
    with pytest.raises(WireError):
        event(text)


def test_of_a_delivered_report_only_the_ids_are_kept():
    kept = delivered(json.loads(BODY_B)["data"])
    assert kept == {
        "reportId": "rep_1234567890abcdef1234567890abcdef",
        "studyId": "stu_1234567890abcdef1234567890abcdef",
        "studyInstanceUid": "1.2.840.113619.2.55.3.604688119.868.1234567890.123",
    }
    ids = {"reportId": REPORT, "studyId": STUDY}
    assert delivered(ids) == delivered({**ids, "studyInstanceUid": None}) == ids


@pytest.mark.parametrize(
    "data",
    [
        {},
        [],
        {"reportId": REPORT},
        {"studyId": STUDY},
        {"reportId": STUDY, "studyId": STUDY},
        {"reportId": f"{REPORT}\n", "studyId": STUDY},
        {"reportId": REPORT, "studyId": "stu_../../x"},
        {"reportId": REPORT, "studyId": STUDY, "studyInstanceUid": "1\x002"},
    ],
    ids=str,
)
def test_a_delivered_report_that_is_not_named_cannot_be_worked_off(data):
    with pytest.raises(WireError):
        delivered(data)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"accessionNumber": "ACC-1", "patientId": "P1"}, ("ACC-1", "P1")),
        ({"accessionNumber": " ACC-1 ", "patientId": "  "}, ("ACC-1", None)),
        ({"accessionNumber": None, "patientId": "Größe"}, (None, "Größe")),
        ({}, (None, None)),
    ],
)
def test_an_enrichment_says_accession_number_and_patient_id_where_there_are_any(data, expected):
    said = enrichment({"clinicId": "c", "studyInstanceUid": "1.2.3", **data})
    assert said == Enrichment("1.2.3", *expected, "c")
    assert enrichment({"clinicId": 7, "studyInstanceUid": "1.2.3"}).clinic_id == ""


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"studyInstanceUid": ""},
        {"studyInstanceUid": "1 2"},
        {"studyInstanceUid": "1.2", "accessionNumber": 5},
        {"studyInstanceUid": "1.2", "accessionNumber": "\ud800"},
        {"studyInstanceUid": "1.2", "patientId": "a\x00"},
        {"studyInstanceUid": "1.2", "patientId": "x" * 257},
    ],
    ids=str,
)
def test_an_enrichment_that_no_store_could_keep_is_told_apart(data):
    with pytest.raises(WireError) as caught:
        enrichment(data)
    assert caught.value.pointer.startswith("/data/")
