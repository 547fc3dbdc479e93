r"""https://hl7.org/fhir/R4/search.html#escaping."""

import pytest

from gateway.fhir_api.query import alternatives, token, unescaped


@pytest.mark.parametrize(
    ("value", "parts"),
    [
        ("a", ["a"]),
        ("a,b", ["a", "b"]),
        (r"a\,b,c", [r"a\,b", "c"]),
        (r"a\\,b", [r"a\\", "b"]),
        (",a,,", ["a"]),
        ("a\\", ["a\\"]),
    ],
)
def test_alternatives_are_parted_at_commas_that_are_not_escaped(value, parts):
    assert alternatives(value) == parts


@pytest.mark.parametrize(
    ("value", "parts"),
    [
        ("code", (None, "code")),
        ("sys|code", ("sys", "code")),
        ("|code", ("", "code")),
        ("sys|", ("sys", "")),
        (r"a\|b", (None, "a|b")),
        (r"a\|b|c\,d", ("a|b", "c,d")),
        ("sys|a|b", ("sys", "a|b")),
    ],
)
def test_a_token_is_parted_at_the_first_bar_that_is_not_escaped(value, parts):
    assert token(value) == parts


def test_what_is_escaped_stands_for_itself():
    assert unescaped(r"\,\|\$\\x") == r",|$\x"
