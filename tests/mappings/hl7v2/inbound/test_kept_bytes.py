"""Decision D48: of a message with orders of several sections only radiology is kept, and it is read as the whole is."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import count

import pytest
from fakes.hospital_messages import SOURCE, header, message
from hypothesis import given
from hypothesis import strategies as st

from mappings.hl7v2.inbound import kept_bytes, read_hospital_message
from mappings.hl7v2.received import read

RULES = replace(SOURCE, sections=frozenset({"RAD", "CT"}))
RADIOLOGY = ("ORC|NW|R1^EPC", "OBR|1|R1^EPC||CT^Head||||||||||||||||||||CT", "NTE|1||R2 fever", "OBX|1|NM|R3||1.2")
LABORATORY = (
    "ORC|NW|L1^EPC",
    "OBR|2|L1^EPC||L2^HIV||||||||||||||||||||LAB",
    "NTE|1||L3",
    "OBX|1|ST|L4||L5",
    "NTE|1||L6",
)


def kept(*segments, message_type="ORM^O01", rules=RULES):
    payload = message(header(message_type), "PID|1||E1^^^MERCY^MR", "PV1|1|I|ED", *segments).encode()
    return payload, kept_bytes(payload, read(payload), rules)


def said(payload, rules=RULES):
    """Return what a message says, its issues by code."""
    found = read_hospital_message(read(payload), rules)
    return replace(found, issues=()), {one.code for one in found.issues}


@pytest.mark.parametrize("message_type", ["ORM^O01", "OMG^O19", "OMI^O23"])
@pytest.mark.parametrize("segments", [RADIOLOGY + LABORATORY, LABORATORY + RADIOLOGY])
def test_nothing_of_an_order_of_another_section_is_kept(message_type, segments):
    payload, left = kept(*segments, message_type=message_type)
    assert not re.search(rb"L[0-9]|LAB|HIV", left)
    assert said(left) == said(payload)
    assert all(segment.encode() + b"\r" in left for segment in RADIOLOGY)
    assert kept_bytes(left, read(left), RULES) == left


def test_an_orc_stays_with_the_obr_of_radiology_that_it_has_and_its_numbers_are_read_as_before():
    obrs = ("OBR|1|R2^EPC||CT^Head||||||||||||||||||||CT", "OBR|2|L3^EPC||L4|||||||||||||||||||||LAB", "NTE|1||L5")
    payload, left = kept("ORC|NW|R1^EPC", "TQ1|1||||||||S", *obrs)
    assert said(left) == said(payload)
    (order,) = said(left)[0].orders
    assert (order.placer.value, order.priority) == ("R2", "S")
    assert b"L" not in left.partition(b"ORC")[2]


def test_without_its_obr_24_an_order_that_would_be_new_is_cut_and_an_end_is_kept():
    payload, left = kept("ORC|NW|L1^EPC", *RADIOLOGY, "ORC|CA|R9^EPC", "ORC|NW|L2^EPC", "OBR|1|L2^EPC||L3")
    assert not re.search(rb"L[0-9]", left)
    assert (said(left), b"ORC|CA|R9^EPC" in left) == (said(payload), True)


def test_orders_of_a_second_patient_and_prior_results_are_cut_alike_and_the_message_is_still_held_for_them():
    second = ("PID|1||E2^^^MERCY^MR", *LABORATORY, *RADIOLOGY)
    payload, left = kept(*RADIOLOGY, *second)
    assert not re.search(rb"L[0-9]", left)
    assert said(left) == said(payload)
    assert "several-patients" in said(left)[1]
    prior = ("OBR|3|L7^EPC||L8||||||||||||||||||||LAB", "OBX|1|ST|L9||L1")
    payload, left = kept(*RADIOLOGY, *prior, message_type="OMG^O19")
    assert not re.search(rb"L[0-9]", left)
    assert said(left) == said(payload)


def test_a_study_uid_of_all_orders_is_kept_and_none_goes_over_to_another_order():
    payload, left = kept(*RADIOLOGY, *LABORATORY, "ZDS|1.2.3")
    assert (said(left), said(left)[0].orders[0].study_uids) == (said(payload), ("1.2.3",))
    payload, left = kept(
        *RADIOLOGY, *LABORATORY, "ZDS|1.2.3", "ORC|NW|R7", "OBR|1|R7||||||||||||||||||||||RAD", "ZDS|1.2.4"
    )
    assert said(left) == said(payload)
    assert b"1.2.3" not in left


@pytest.mark.parametrize(
    "rules", [replace(RULES, sections=frozenset()), replace(RULES, sections=frozenset({"CT", "LAB"}))]
)
def test_without_an_order_of_another_section_the_bytes_stay_as_they_came(rules):
    payload, left = kept(*RADIOLOGY, *LABORATORY, rules=rules)
    assert left == payload


def test_what_was_cut_is_no_order_either_once_the_settings_take_its_section():
    _, left = kept(*RADIOLOGY, *LABORATORY)
    for sections in ({"LAB"}, set()):
        found = read_hospital_message(read(left), replace(RULES, sections=frozenset(sections)))
        assert [one.placer.value for one in found.orders] == (["R1"] if not sections else [])


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r\r"])
def test_bytes_around_the_segments_stay(end):
    text = end.join((header("ORM^O01"), "PID|1||E1^^^MERCY^MR", *LABORATORY, *RADIOLOGY))
    payload = b"\xef\xbb\xbf" + text.encode()
    left = kept_bytes(payload, read(payload), RULES)
    assert left.startswith(b"\xef\xbb\xbfMSH")
    assert left.endswith(end.join(RADIOLOGY).encode())


DETAILS = st.lists(st.sampled_from(["NTE", "OBX", "DG1", "ZDS", "TQ1", "IPC", "ZZZ"]), max_size=3)
OBRS = st.lists(st.tuples(st.sampled_from(["RAD", "CT", "LAB", ""]), DETAILS), max_size=3)
ORDERS = st.tuples(st.sampled_from(["ORC", "PID", ""]), st.sampled_from(["NW", "CA", "XO", "SC", ""]), DETAILS, OBRS)


@given(st.lists(ORDERS, max_size=4), st.sampled_from(["ORM^O01", "OMG^O19", "OMI^O23"]))
def test_whatever_is_cut_the_rest_is_read_as_it_was(drawn, message_type):
    numbers, segments = count(1), []

    def details(names):
        return [f"{name}|1.2.{next(numbers)}||S|x{next(numbers)}" for name in names]

    for first, control, shared, obrs in drawn:
        if first == "ORC":
            segments += [f"ORC|{control}|P{next(numbers)}^EPC|F{next(numbers)}^RIS", *details(shared)]
        elif first == "PID":
            segments.append(f"PID|1||E{next(numbers)}^^^MERCY^MR")
        for section, under in obrs:
            segments += [f"OBR|1|P{next(numbers)}^EPC||C{next(numbers)}{'|' * 20}{section}", *details(under)]
    payload, left = kept(*segments, message_type=message_type)
    if said(payload)[0].taken == "taken":
        assert said(left) == said(payload)
    assert kept_bytes(left, read(left), RULES) == left
    assert b"|LAB" not in left
