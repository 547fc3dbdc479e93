"""Decisions D48, D49: a stored message is found by each patient, order and visit that it names."""

from __future__ import annotations

from dataclasses import replace

import pytest
from fakes.hospital import SITE, mrn
from fakes.hospital_source import hl7, merging, ordering, visiting

from gateway.ingest.orders.named_numbers import MessageNumbers
from gateway.settings import survey

SOURCE = """
[[source]]
name = "city-his"
listen = "127.0.0.1:2601"
may = ["orders"]
facility = "City"
"""


@pytest.fixture
def numbers(tmp_path):
    path = tmp_path / "gateway.toml"
    path.write_text(SOURCE)
    found, _ = survey(path)
    assert found is not None
    return MessageNumbers(replace(found, site=SITE), {})


def values(found):
    return sorted(one.value for one in found)


def test_an_order_names_its_patient_and_its_own_numbers(numbers):
    named = numbers.of("city-his", ordering())
    assert named.patients == {mrn("4711")}
    assert any("P1" in text for text in named.texts)


def test_each_patient_of_a_message_is_named(numbers):
    named = numbers.of("city-his", ordering() + hl7("PID|2||5000^^^CITY^MR", "ORC|NW|P2", "OBR|1|P2"))
    assert (values(named.patients), values(named.other_patients)) == (["4711"], ["5000"])


@pytest.mark.parametrize("event", ["A40", "A37"])
def test_each_group_of_a_merge_is_named_by_itself(numbers, event):
    second = hl7("PID|2||5002^^^CITY^MR", "MRG|4712^^^CITY^MR", "PID|3||9^^^ELSEWHERE^MR")
    named = numbers.of("city-his", merging(event=event) + second)
    survivors = [{number.value for number in one} & {"5000", "5002"} for one in named.merged]
    assert survivors == [{"5000"}, {"5002"}, set()]
    assert mrn("5002") in named.other_patients


def test_an_order_has_no_group_of_a_merge(numbers):
    assert numbers.of("city-his", ordering()).merged == ()


@pytest.mark.parametrize("payload", [merging(), visiting(mrn="4711")])
def test_a_type_that_the_source_may_not_send_any_more_is_read_too(numbers, payload):
    assert mrn("4711") in numbers.of("city-his", payload).patients


def test_of_a_source_without_a_table_named_authorities_are_read(numbers):
    assert numbers.of("gone", ordering()).patients == {mrn("4711")}


def test_what_is_no_message_names_nobody(numbers):
    assert numbers.of("city-his", b"\x00").patients == frozenset()
