"""Meaning of acknowledgements (HL7 v2.5.1 §2.9.2.2, tables 0008 and 0357, D32)."""

from __future__ import annotations

from dataclasses import replace

import pytest
from fakes.fed import destination

from gateway.feed.deliver.outcome import MEANINGS, ruling_on
from gateway.feed.payload import Acknowledgement
from mappings.hl7v2.ack import HL70008
from mappings.profile import receiver

USUAL = destination(1)


def with_table(**table):
    rows = tuple((key.replace("_", " "), meaning) for key, meaning in table.items())
    return replace(USUAL, receiver=replace(receiver("generic"), ack_table=rows))


def ack(code, *errors, text=""):
    return Acknowledgement(code, "ID1", text, errors)


def test_every_code_of_the_table_has_a_meaning():
    assert MEANINGS.keys() == HL70008.keys()


@pytest.mark.parametrize(
    ("code", "meaning"),
    [
        ("AA", "delivered"),
        ("CA", "delivered"),
        ("AE", "hold_lane"),
        ("CE", "hold_lane"),
        ("AR", "retry"),
        ("CR", "retry"),
    ],
)
def test_what_is_wrong_with_the_content_waits_and_what_is_not_is_tried_again(code, meaning):
    assert ruling_on(ack(code), USUAL).meaning == meaning


@pytest.mark.parametrize(
    ("code", "meaning"), [("AE", "retry"), ("AR", "hold_lane"), ("CE", "retry"), ("CR", "hold_lane")]
)
def test_an_inverted_receiver_means_the_other(code, meaning):
    assert ruling_on(ack(code), replace(USUAL, inverted_acks=True)).meaning == meaning


@pytest.mark.parametrize("name", ["vista-2.3", "vista-2.4"])
@pytest.mark.parametrize("is_inverted", [False, True])
def test_vista_says_ar_of_a_fault_of_the_content_and_either_holds_the_study(name, is_inverted):
    vista = replace(USUAL, receiver=receiver(name), inverted_acks=is_inverted)
    assert [ruling_on(ack(code), vista).meaning for code in ("AE", "AR", "AA")] == [
        "hold_lane",
        "hold_lane",
        "delivered",
    ]


def test_acceptance_is_never_inverted_and_errors_beside_it_change_nothing():
    one = ruling_on(ack("AA", "207"), replace(USUAL, inverted_acks=True))
    assert (one.meaning, one.code, one.pauses) == ("delivered", "AA", False)


def test_the_code_names_the_first_error():
    assert ruling_on(ack("AE", "101", "102"), USUAL).code == "AE-101"


@pytest.mark.parametrize("code", ["200", "201", "202", "203"])
def test_a_message_that_is_not_supported_pauses_the_destination(code):
    assert ruling_on(ack("AR", code), USUAL).pauses
    assert not ruling_on(ack("AR", "207"), USUAL).pauses


def test_a_row_with_a_pattern_stands_above_one_without():
    one = with_table(AE="dead_letter", AE_duplicate="delivered", AE_207="retry")
    assert ruling_on(ack("AE"), one).meaning == "dead_letter"
    assert ruling_on(ack("AE", text="this is a duplicate"), one).meaning == "delivered"
    assert ruling_on(ack("AE", "207"), one).meaning == "retry"


def test_a_table_outranks_the_inverted_switch():
    one = replace(with_table(AR="dead_letter"), inverted_acks=True)
    assert ruling_on(ack("AR"), one).meaning == "dead_letter"
    assert ruling_on(ack("AE"), one).meaning == "retry"
