"""Check digits and forms of identifiers from registries."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mappings.profile import is_loinc, is_npi, is_oid


@pytest.mark.parametrize("code", ["24627-2", "18748-4", "59776-5", "1-8", "100000-9"])
def test_a_loinc_code_has_its_check_digit(code):
    assert is_loinc(code)
    for digit in set("0123456789") - {code[-1]}:
        assert not is_loinc(code[:-1] + digit)


@pytest.mark.parametrize(
    "code", ["", "24627", "24627-", "-2", "24627-22", "LP29684-5", "12345678-9", "2462٧-2", " 1-8"]
)
def test_what_is_no_loinc_code_is_none(code):
    assert not is_loinc(code)


@given(st.integers(0, 9_999_999))
def test_two_neighbours_changed_over_are_found_but_for_nought_and_nine(number):
    code = next(f"{number}-{digit}" for digit in range(10) if is_loinc(f"{number}-{digit}"))
    body, check = code.split("-")
    for index in range(len(body) - 1):
        one, other = body[index : index + 2]
        swapped = body[:index] + other + one + body[index + 2 :]
        assert is_loinc(f"{swapped}-{check}") == (one == other or {one, other} == {"0", "9"})


def test_npi_and_oid_are_the_same_as_for_identifiers():
    assert is_npi("1234567893")
    assert not is_npi("1234567890")
    assert is_oid("1.2.840.10008")
    assert not is_oid("1.2.840.")
