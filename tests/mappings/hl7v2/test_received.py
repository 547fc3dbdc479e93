"""Lenient reading of a message from elsewhere (HL7 v2.5.1 §2.5, §2.7)."""

import pytest

from mappings.hl7v2.received import Delimiters, Unreadable, read


def test_fields_are_counted_as_hl7_counts_them():
    received = read(b"MSH|^~\\&|APP|SITE\rPID|1||MRN\r")
    assert [segment.name for segment in received.segments] == ["MSH", "PID"]
    assert [received.msh.field(number) for number in (1, 2, 3, 4, 5)] == ["|", "^~\\&", "APP", "SITE", ""]
    assert received.segments[1].field(3) == "MRN"
    assert received.segments[1].offset == 18


def test_only_the_first_segment_has_its_separator_as_a_field():
    received = read(b"MSH|^~\\&|A\rMSH|x|y\r")
    assert received.segments[1].field(1) == "x"


@pytest.mark.parametrize(
    ("escaped", "text"), [("a\\F\\b\\S\\c\\T\\d\\R\\e\\E\\f", "a|b^c&d~e\\f"), ("a\\.br\\b", "a\nb")]
)
def test_escape_sequences_are_read_in_one_pass(escaped, text):
    assert Delimiters().unescape(escaped) == text


def test_an_escaped_escape_character_does_not_begin_another_sequence():
    assert Delimiters().unescape("\\E\\F\\E\\") == "\\F\\"


@pytest.mark.parametrize("escaped", ["a\\C2842\\b", "a\\M2442\\b", "a\\M2D4142\\b"])
def test_text_of_another_character_set_is_not_taken_for_what_it_looks_like(escaped):
    assert Delimiters().unescape(escaped) == "a\ufffdb"
    assert Delimiters().unescape("\\E\\C2842\\E\\") == "\\C2842\\"


def test_bytes_of_any_charset_pass_and_can_be_echoed():
    field = read(b"MSH|^~\\&|S\xe9\xff\r").msh.field(3)
    assert field.encode("utf-8", "surrogateescape") == b"S\xe9\xff"
    assert Delimiters().unescape(field) == "S\ufffd\ufffd"


def test_the_fault_names_the_place_and_not_the_bytes():
    with pytest.raises(Unreadable, match=r"^no-msh at offset 1$"):
        read(b"\nDOE^JANE")
