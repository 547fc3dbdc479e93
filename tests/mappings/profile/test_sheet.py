"""CSV files of a site: their rows, and the place of each fault."""

import pytest

from mappings.profile.table import read_rows

COLUMNS = ("name", "code", "note")
SHEET = "mapping.sheet"


def _read(text):
    faults = []
    rows = list(read_rows(text, SHEET, COLUMNS, ("name", "code"), faults))
    return rows, [(fault.key, fault.problem) for fault in faults]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_lines_may_end_as_any_system_ends_them_and_begin_with_a_byte_order_mark(end, mark):
    rows, faults = _read(mark + end.join(["name,code", "A,1", "B,2"]))
    assert ([(row.line, row.text("name"), row.text("code")) for row in rows], faults) == (
        [(2, "A", "1"), (3, "B", "2")],
        [],
    )


def test_a_quoted_cell_may_hold_commas_quotes_and_line_ends_and_the_line_is_where_the_row_begins():
    rows, faults = _read('name,code\n"A, ""B""\nC",1\nD,2\n')
    assert [(row.line, row.text("name")) for row in rows] == [(2, 'A, "B"\nC'), (4, "D")]
    assert faults == []


def test_columns_stand_in_any_order_and_one_that_is_not_needed_may_be_left_out():
    rows, faults = _read(" CODE , Name\n 1 , A \n")
    assert [(row.text("name"), row.text("code"), row.text("note")) for row in rows] == [("A", "1", "")]
    assert faults == []


def test_blank_lines_are_passed_over():
    rows, faults = _read("\n,,\nname,code\n\n , \nA,1\n\n")
    assert ([row.line for row in rows], faults) == ([6], [])


@pytest.mark.parametrize(
    ("text", "key", "problem"),
    [
        ("", "line 1", "empty"),
        ("\ufeff\n \n", "line 1", "empty"),
        ("name\nA", "line 1", "the column code is missing"),
        ("name,code,colour\nA,1,x", "line 1", "column 3 has a name that is not known"),
        ("name,code,\nA,1,", "line 1", "column 3 has a name that is not known"),
        ("name,code,name\nA,1,B", "line 1", "the column name is there twice"),
        ("name;code\nA;1", "line 1", "semicolons"),
        ("name\tcode\nA\t1", "line 1", "tabs"),
        ("name,code\nA", "line 2", "1 cells under 2 columns"),
        ("name,code\nA,1,2\n", "line 2", "3 cells under 2 columns"),
        ('name,code\nA,1\n"B,2\nC,3', "line 3", "not CSV"),
        ('name,code\n"A"B,1', "line 2", "not CSV"),
        (f"name,code\n{'x' * 200_000},1", "line 2", "not CSV"),
    ],
)
def test_what_is_wrong_is_placed_by_line(text, key, problem):
    _, faults = _read(text)
    assert [place for place, _ in faults] == [f"{SHEET}, {key}"]
    assert problem in faults[0][1]


def test_every_wrong_row_is_named_and_the_good_ones_are_read():
    rows, faults = _read("name,code\nA\nB,2\nC,3,4\n")
    assert [row.text("name") for row in rows] == ["B"]
    assert [place for place, _ in faults] == [f"{SHEET}, line 2", f"{SHEET}, line 4"]


def test_no_message_says_what_stands_in_the_file():
    for text in ("CANARY", "CANARY,CANARY\nCANARY", "name,code,CANARY\n", 'name,code\n"CANARY"CANARY', "CANARY;code"):
        faults = []
        list(read_rows(text, SHEET, COLUMNS, ("name", "code"), faults))
        assert faults
        assert not any("CANARY" in str(fault) for fault in faults)
