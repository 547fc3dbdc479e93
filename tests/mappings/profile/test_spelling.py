"""Exact match, and the differences that it keeps (D23)."""

from unicodedata import normalize

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mappings.profile import exact


@pytest.mark.parametrize(
    "spelling",
    ["CT Chest", " ct  CHEST\t", "CT\u00a0Chest\r\n", "Ct\n\nchest"],
)
def test_case_and_white_space_are_no_difference(spelling):
    assert exact(spelling) == exact("CT chest")


def test_a_composed_letter_is_its_parts():
    assert exact("Dr. Ångström") == exact("Dr. A\u030angstro\u0308m")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("CT Chest", "CTChest"),
        ("CT Chest", "CT-Chest"),
        ("CT Chest", "Chest CT"),
        ("CT Chest.", "CT Chest"),
        ("Muller", "Müller"),
        ("Weiss", "Weiß"),
        ("1 view", "1 views"),
        ("ﬁnger", "finger"),
        ("CT Chest", "CT Chest with contrast"),
    ],
)
def test_nothing_else_is_folded(one, other):
    assert exact(one) != exact(other)


@pytest.mark.parametrize("nothing", [None, "", " ", "\t\n\u00a0"])
def test_what_says_nothing_has_no_key(nothing):
    assert exact(nothing) == ""


@given(st.text())
def test_the_key_of_a_key_is_the_key(text):
    assert exact(exact(text)) == exact(text)


@given(st.text())
def test_composed_or_not_is_the_same(text):
    assert exact(normalize("NFD", text)) == exact(normalize("NFC", text)) == exact(text)


@given(st.text(), st.text(alphabet=" \t\r\n\u00a0"))
def test_outer_white_space_never_counts(text, space):
    assert exact(space + text + space) == exact(text)
