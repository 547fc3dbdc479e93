"""HL7 v2 as a payload: Content-Type, acknowledgements, and what operators are shown (HL7 v2.5.1 §2.9.2, §2.9.3)."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from fakes.heads import message

from gateway.feed.compose.hl7v2_payload import HL7V2
from gateway.feed.payload import NotAnAcknowledgement
from mappings.hl7v2.ack import parse
from mappings.profile import Rule, receiver
from mappings.profile.rule import place_of

MSH = b"MSH|^~\\&|EHR|B|GW|A|20260105||ACK^R01^ACK|1|P|2.5.1"
AT = datetime(2026, 1, 5, 16, 30, 14, tzinfo=UTC)


@pytest.mark.parametrize(
    ("style", "charset", "content_type"),
    [
        ("hoh", "UNICODE UTF-8", "application/hl7-v2; charset=utf-8"),
        ("plain", "8859/1", "x-application/hl7-v2+er7; charset=iso-8859-1"),
    ],
)
def test_the_content_type_names_the_charset_of_the_receiver(style, charset, content_type):
    assert HL7V2.content_type(style, replace(receiver("generic"), charset=charset)) == content_type


def test_an_acknowledgement_has_the_codes_of_its_errors_and_no_empty_ones():
    answer = MSH + b"\rMSA|AE|ID1|no MRN\rERR||PID^1^3|101^Required\rERR|||^in words only\rERR|||207\r"
    ack = HL7V2.acknowledgement(answer)
    assert (ack.code, ack.control_id, ack.text, ack.errors, ack.raw) == ("AE", "ID1", "no MRN", ("101", "207"), answer)


def test_what_is_no_acknowledgement_is_refused_with_the_reason():
    with pytest.raises(NotAnAcknowledgement, match=r"^no-msa$"):
        HL7V2.acknowledgement(message("ID1"))
    assert HL7V2.printed_answer(message("ID1")) == {"unreadable": "no-msa"}


@pytest.mark.parametrize(
    ("receipt", "code", "errors"), [("stored", "CA", []), ("unmatched", "CE", ["204"]), ("unreadable", "CR", ["200"])]
)
def test_an_acknowledgement_that_was_brought_is_answered_by_its_result(receipt, code, errors):
    brought = MSH + b"|||AL\rMSA|AA|ID1\r"
    answer = parse(HL7V2.receipt(brought, receipt, "R1", AT))
    assert (answer.code, answer.control_id, [error.code for error in answer.errors]) == (code, "1", errors)
    assert b"|20260105163014+0000|" in answer.raw


@pytest.mark.parametrize(("condition", "stored", "unmatched"), [(b"NE", 0, 0), (b"ER", 0, 1), (b"SU", 1, 0)])
def test_only_what_msh_15_asks_for_is_answered(condition, stored, unmatched):
    brought = MSH + b"|||" + condition + b"\rMSA|AA|ID1\r"
    assert (HL7V2.receipt(brought, "stored", "R1", AT) is not None) == stored
    assert (HL7V2.receipt(brought, "unmatched", "R1", AT) is not None) == unmatched


def test_an_answer_is_shown_with_its_errors_and_nothing_that_a_terminal_obeys():
    answer = MSH + b"\rMSA|AE|ID1|no\x1b[2J\rERR||PID^1^3|101|E\r"
    assert HL7V2.printed_answer(answer) == {
        "code": "AE",
        "controlId": "ID1",
        "text": "no\\x1b[2J",
        "errors": [{"code": "101", "location": "PID^1^3", "severity": "E", "text": ""}],
    }


def test_the_difference_of_two_messages_is_that_of_their_fields():
    before, after = message("ID1"), message("ID2").replace(b"PID|1", b"PID|1||M\x07")
    assert HL7V2.differences(before, after) == [("PID-3", "", "M\\x07")]
    assert HL7V2.differences(before, b"no message") == []


def test_a_message_with_another_id_is_the_same_but_for_its_id():
    assert HL7V2.resent(message("ID1"), "ID2") == message("ID2")


def test_a_message_that_breaks_a_rule_is_not_sent_again():
    assert HL7V2.refusal(message("ID1"), replace(receiver("generic"), rules=())) == ""
    assert HL7V2.refusal(message("ID1"), receiver("vista-2.4")) == "rule-broken"


def test_a_message_that_only_warns_is_sent_again_and_one_that_only_breaks_a_rule_is_not():
    blocking = Rule("no-oru", "block", "no report", place_of("MSH-9.1"), "not_be_one_of", ("ORU",))
    for rule, reason in ((blocking, "rule-broken"), (replace(blocking, level="warn"), "")):
        assert HL7V2.refusal(message("ID1"), replace(receiver("generic"), rules=(rule,))) == reason
