"""Given names: forms of one name, and names in their own right (D12)."""

import pytest

from mappings.patient.given_names import IN_USE, is_form_of


@pytest.mark.parametrize(
    ("one", "other"),
    [("bob", "robert"), ("liz", "beth"), ("paco", "francisco"), ("kathy", "catherine"), ("jon", "john")],
)
def test_short_forms_and_spellings_are_forms_of_one_name_both_ways(one, other):
    assert is_form_of(one, other) and is_form_of(other, one)


@pytest.mark.parametrize(
    ("one", "other"),
    [("jaden", "kaden"), ("mia", "mila"), ("alexander", "alexandra"), ("christopher", "christina"), ("bob", "bill")],
)
def test_names_that_share_a_short_form_or_a_sound_are_not(one, other):
    assert not is_form_of(one, other)
    assert {one, other} <= IN_USE


def test_every_name_is_one_plain_word():
    assert all(name.isascii() and name.isalpha() and name.islower() for name in IN_USE)
    assert len(IN_USE) > 1000
