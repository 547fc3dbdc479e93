"""HL7 v2.5.1 §2.5: fields in which a message differs from the one before it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mappings.hl7v2.received import Difference, Unreadable, differences

HEAD = "MSH|^~\\&|GW|A|EHR|B|{at}||ORU^R01^ORU_R01|{id}|P|2.5.1\r"
FIRST = HEAD.format(at="20260105", id="ID1") + (
    "PID|1||00042^^^CITY^MR||DOE^JANE\rOBR|1||F1||||||||||||||||||||||F\r"
    "OBX|1|TX|59776-5||line one||||||F\rOBX|2|TX|59776-5||line two||||||F\r"
)


def after(text=FIRST, *changes):
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return text.encode()


def test_of_the_same_message_again_nothing_differs_though_msh_7_and_10_do():
    assert differences(FIRST.encode(), after(FIRST, ("20260105", "20260106"), ("ID1", "ID2"))) == ()


def test_a_field_that_changed_is_named_with_both_values():
    made = after(FIRST, ("DOE^JANE", "ROE^JANE"), ("|F\rOBX|1", "|C\rOBX|1"))
    assert differences(FIRST.encode(), made) == (
        Difference("PID-5", "DOE^JANE", "ROE^JANE"),
        Difference("OBR-25", "F", "C"),
    )


def test_of_several_segments_of_a_kind_the_one_is_named():
    made = after(FIRST, ("line two", "line 2"))
    assert differences(FIRST.encode(), made) == (Difference("OBX[2]-5", "line two", "line 2"),)


def test_a_line_before_the_others_is_one_line_more_and_not_a_change_of_all():
    more = "OBX|1|TX|59776-5||ADDENDUM||||||F\rOBX|2|TX|59776-5||line one||||||F\rOBX|3|TX|59776-5||line two||||||F\r"
    made = (FIRST[: FIRST.index("OBX")] + more).encode()
    assert differences(FIRST.encode(), made) == (Difference("OBX[1]", "", "OBX|1|TX|59776-5||ADDENDUM||||||F"),)
    assert differences(made, FIRST.encode()) == (Difference("OBX[1]", "OBX|1|TX|59776-5||ADDENDUM||||||F", ""),)


def test_a_segment_that_became_of_another_kind_is_one_less_and_one_more():
    made = after(FIRST, ("OBX|2|TX|59776-5||line two||||||F", "NTE|1||said by hand"))
    found = differences(FIRST.encode(), made)
    assert [(one.place, bool(one.was), bool(one.now)) for one in found] == [
        ("NTE", False, True),
        ("OBX[2]", True, False),
    ]


def test_the_header_is_compared_as_the_other_segments_are():
    assert differences(FIRST.encode(), after(FIRST, ("|P|", "|T|"))) == (Difference("MSH-11", "P", "T"),)


def test_what_is_no_message_is_refused():
    with pytest.raises(Unreadable):
        differences(b"FILE 1", FIRST.encode())


def test_no_value_stands_in_what_a_difference_shows():
    assert "DOE" not in repr(Difference("PID-5", "DOE^JANE", "ROE^JANE"))


VALUES = st.text(alphabet="abcXYZ 01", max_size=4)
LINES = st.lists(VALUES, max_size=5)


def message(lines):
    rows = (f"OBX|{n}|TX|59776-5||{line}||||||F\r" for n, line in enumerate(lines, 1))
    return (FIRST[: FIRST.index("OBX")] + "".join(rows)).encode()


@given(LINES, LINES)
def test_nothing_differs_exactly_where_the_same_is_said(first, second):
    found = differences(message(first), message(second))
    assert (found == ()) is (first == second)


@given(LINES, LINES)
def test_what_differs_one_way_differs_the_other(first, second):
    there = differences(message(first), message(second))
    back = differences(message(second), message(first))
    assert (not there) is (not back)
