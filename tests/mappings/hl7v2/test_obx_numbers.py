"""Numbers of OBX (HL7 v2.5.1 §7.4.2.1, §7.4.2.4)."""

from __future__ import annotations

import pytest

from mappings.hl7v2.obx_numbers import Numbers


def test_every_obx_has_the_next_set_id_alone_or_with_others() -> None:
    numbers = Numbers()
    assert numbers.next_set_id() == "1"
    assert list(numbers.next_beginnings(3)) == ["OBX|2|", "OBX|3|", "OBX|4|"]
    assert list(numbers.next_beginnings(0)) == []
    assert numbers.next_set_id() == "5"


@pytest.mark.parametrize("before", [0, 1, 990, 998, 999, 1000, 12_000])
def test_the_set_ids_go_on_as_far_as_there_are_lines(before: int) -> None:
    numbers = Numbers(obx_1=before)
    expected = [f"OBX|{number}|" for number in range(before + 1, before + 11)]
    assert list(numbers.next_beginnings(10)) == expected
    assert numbers.obx_1 == before + 10


def test_sub_ids_count_on_their_own() -> None:
    numbers = Numbers(obx_1=7)
    assert [numbers.next_sub_id(), numbers.next_sub_id()] == ["1", "2"]
