"""Regular expressions that a site may give for its numbers: only fast ones (D11)."""

from time import process_time

import pytest

from mappings.profile import parse_site, read_site
from mappings.profile.table import Table, read_pattern

LONGEST = 32


def read(text):
    table = Table({"mrn_pattern": text}, "mapping.facilities[0]", [])
    return read_pattern(table, "mrn_pattern"), [fault.key for fault in table.faults]


@pytest.mark.parametrize(
    "text",
    [
        *(
            r"\d{7}",
            "[0-9]{6,8}",
            r"MRN-?\d+",
            "A[0-9]{5}|B[0-9]{6}",
            r"(?:CMC|MRN)\d{6}",
            r"\d{6}(-\d)?",
            r"[^\]A-Z-]{4}",
        ),
        *(r"\d*\d*\d*\d*", "[]a]+", r"\\\.", "a{3,3}"),
    ],
)
def test_what_is_said_plainly_is_taken_and_is_quick_on_any_number(text):
    pattern, faults = read(text)
    assert (pattern.pattern, faults) == (text, [])
    began = process_time()
    for value in ("1" * LONGEST, "9" * (LONGEST - 1) + "x", "M" * LONGEST):
        pattern.fullmatch(value)
    assert process_time() - began < 1  # seconds of this process


@pytest.mark.parametrize(
    "text",
    [
        *("(a+)+b", "(a*)*", r"(\d+)*x", "(a|a)*b", "(?:a?){30}", "([a-z]+)*"),
        *("a?a?a?a?a?aaaaa", "a*a*a*a*a*b", "(a|b)(a|b)(a|b)(a|b)(a|b)", r"(a)\1", "(?=a+)a", "(?P<x>a)", "(?i)a"),
        *("a**", "a+?", "^a", "a$", r"\bA", "[0-9", "(a", "a)", "[z-a]", "{3}", "a{99999999999}", ""),
    ],
)
def test_what_is_wrong_or_could_take_long_is_refused(text):
    assert read(text) == (None, ["mapping.facilities[0].mrn_pattern"])


def test_a_facility_without_one_has_none_and_what_is_no_text_is_refused():
    assert parse_site("[[mapping.facilities]]\nname = 'A'").facility("A").mrn_pattern is None
    site, faults = read_site("[[mapping.facilities]]\nname = 'A'\nmrn_pattern = 7")
    assert [fault.key for fault in faults] == ["mapping.facilities[0].mrn_pattern"]
    assert site.facility("a").mrn_pattern is None
    good = parse_site("[[mapping.facilities]]\nname = 'A'\nmrn_pattern = '[0-9]{7}'")
    assert good.facility("A").mrn_pattern.fullmatch("1234567")
