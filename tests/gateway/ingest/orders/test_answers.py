"""HL7 v2.5.1 §2.9.2 and §2.9.3: what is understood is accepted, in the mode that the sender asks for."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import get_args

import pytest
from fakes.hospital_source import ordering

from gateway.ingest.orders.inbox import ANSWERS, Outcome, is_acknowledgement, written_answers
from mappings.hl7v2.ack import parse
from mappings.hl7v2.received import read

AT = datetime(2026, 1, 5, 16, tzinfo=UTC)


def codes(outcome: Outcome, enhanced: str = "", *, rejects: bool = False) -> list[str]:
    payload = ordering(control_id="77", enhanced=enhanced)
    made = list(written_answers(payload, read(payload), outcome, rejects_unlisted=rejects, at=AT))
    assert all(parse(one).control_id == "77" for one in made)
    return [parse(one).code for one in made]


@pytest.mark.parametrize(
    ("outcome", "code"),
    [
        ("stored", "AA"),
        ("duplicate", "AA"),
        ("not-listed", "AA"),
        ("not-radiology", "AA"),
        ("wrong-processing-id", "AR"),
        ("other-sender", "AR"),
    ],
)
def test_in_original_mode_there_is_one_answer(outcome, code):
    assert codes(outcome) == [code]


def test_every_outcome_but_an_acknowledgement_has_an_answer():
    assert set(get_args(Outcome)) == {*ANSWERS, "acknowledgement"}


def test_a_type_that_is_not_listed_is_rejected_where_the_settings_say_so():
    assert codes("not-listed", rejects=True) == ["AR"]
    assert codes("not-radiology", rejects=True) == ["AA"]


@pytest.mark.parametrize(
    ("conditions", "accepted", "refused"),
    [
        ("AL|NE", ["CA"], ["CR"]),
        ("AL|AL", ["CA", "AA"], ["CR", "AR"]),
        ("NE|AL", ["AA"], ["AR"]),
        ("NE|NE", [], []),
        ("ER|NE", [], ["CR"]),
        ("SU|ER", ["CA"], ["AR"]),
        ("AL", ["CA"], ["CR"]),
        ("XX|", ["AA"], ["AR"]),
    ],
)
def test_in_enhanced_mode_the_answers_are_those_that_are_asked_for(conditions, accepted, refused):
    assert codes("stored", conditions) == accepted
    assert codes("other-sender", conditions) == refused


def test_an_answer_goes_back_to_the_sender_in_its_own_delimiters():
    payload = ordering(control_id="a#b").replace(b"|", b"!")
    (answer,) = written_answers(payload, read(payload), "stored", rejects_unlisted=False, at=AT)
    assert answer.startswith(b"MSH!^~\\&!GW!CITY!HIS!CITY!20260105160000+0000!!ACK^O01^ACK!")
    assert answer.endswith(b"MSA!AA!a#b\r")


def test_bytes_that_are_no_message_get_an_error():
    (answer,) = written_answers(b"GET / HTTP/1.1", None, "unreadable", rejects_unlisted=False, at=AT)
    assert parse(answer).code == "AE"


def test_an_acknowledgement_is_known_and_never_answered():
    assert is_acknowledgement(read(b"MSH|^~\\&|A|B|C|D|20260105||ACK|1|P|2.5.1\rMSA|AA|7\r"))
    assert is_acknowledgement(read(b"MSH|^~\\&|A|B|C|D|20260105||ORR^O02|1|P|2.5.1\rMSA|AA|7\r"))
    assert not is_acknowledgement(read(ordering()))
