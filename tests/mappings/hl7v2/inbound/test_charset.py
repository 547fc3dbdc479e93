"""Character sets of inbound messages: MSH-18 by table 0211 alone (HL7 v2.5.1 §2.15.9.18)."""

import pytest
from fakes.hospital_messages import header, message, taken_from


def sent(charset: str, family: bytes, number: bytes = b"E1^^^MERCY^MR", account: int = 18) -> bytes:
    """Write a message with a name in bytes, and an account number after it."""
    head = message(header("ADT^A31", charset), "EVN|A31").encode()
    return head + b"PID|1||" + number + b"||" + family + b"^ANN||19610309|F" + b"|" * (account - 8) + b"A9^^^MERCY^AN\r"


@pytest.mark.parametrize(
    ("charset", "family", "read"),
    [
        ("UNICODE UTF-8", "MÜLLER ŁUKASZ 李".encode(), "MÜLLER ŁUKASZ 李"),
        ("8859/1", "MÜLLER".encode("iso8859-1"), "MÜLLER"),
        ("8859/1", "Ã©".encode("iso8859-1"), "Ã©"),
        ("8859/15", "ŒUF".encode("iso8859-15"), "ŒUF"),
        ("8859/2", "ŁÓDŹ".encode("iso8859-2"), "ŁÓDŹ"),
        ("ASCII", b"MULLER", "MULLER"),
        (" 8859/1 ", b"M\xdcLLER", "MÜLLER"),
        ("", b"M\xdcLLER", "MÜLLER"),
        ("8859/1~UNICODE UTF-8", b"M\xdcLLER", "MÜLLER"),
        ("8859/1", rb"M\XDC\LLER", "MÜLLER"),
        ("UNICODE UTF-8", rb"M\XC39C\LLER", "MÜLLER"),
    ],
)
def test_a_name_is_read_in_the_character_set_of_the_message(charset, family, read):
    found = taken_from(sent(charset, family))
    assert found.patient.family == read
    assert found.issues == ()


@pytest.mark.parametrize(
    ("charset", "family", "issue", "place"),
    [
        ("UNICODE UTF-8", b"M\xdcLLER", "text-unusable", "PID-5"),
        ("ASCII", b"M\xdcLLER", "text-unusable", "PID-5"),
        ("8859/1", b"M\x9aLLER", "text-unusable", "PID-5"),
        ("8859/1", b"M\x1bLLER", "text-unusable", "PID-5"),
        ("UTF-8", "MÜLLER".encode(), "charset-unknown", "MSH-18"),
        ("WINDOWS-1252", b"M\xdcLLER", "charset-unknown", "MSH-18"),
        ("unicode utf-8", "MÜLLER".encode(), "charset-unknown", "MSH-18"),
    ],
)
def test_a_name_that_cannot_be_decoded_is_not_used_and_the_numbers_are(charset, family, issue, place):
    found = taken_from(sent(charset, family))
    assert (found.patient.family, found.patient.given) == ("", "ANN")
    assert (issue, place) in {(one.code, one.place) for one in found.issues}
    assert [one.value for one in found.patient.numbers] == ["E1"]
    assert found.patient.account.value == "A9"


def test_without_msh_18_and_without_a_setting_the_message_is_ascii():
    assert taken_from(sent("", b"M\xdcLLER"), charset="").patient.family == ""


@pytest.mark.parametrize("charset", ["GB 18030-2000", "BIG-5", "ISO IR87", "~ISO IR87", "8859/1~BIG-5"])
def test_where_a_delimiter_can_be_half_a_character_nothing_after_it_is_a_key(charset):
    found = taken_from(sent(charset, b"\x8f|M", account=17))
    assert [one.value for one in found.patient.numbers] == ["E1"]
    assert (found.patient.family, found.patient.account) == ("", None)
    assert [one.code for one in found.issues] == ["charset-unsupported"]


@pytest.mark.parametrize("charset", ["UNICODE UTF-16", "UNICODE UTF-32", "UNICODE"])
def test_where_no_byte_is_ascii_nothing_is_read(charset):
    found = taken_from(sent(charset, b"M"))
    assert (found.patient.numbers, found.patient.family) == ((), "")
    assert [one.code for one in found.issues] == ["charset-unsupported"]


def test_a_number_that_cannot_be_decoded_is_no_key():
    found = taken_from(sent("UNICODE UTF-8", b"A", b"E\xdc1^^^MERCY^MR"))
    assert found.patient.numbers == ()
    assert [(one.code, one.place) for one in found.issues] == [("text-unusable", "PID-3")]


def test_a_number_whose_authority_or_type_cannot_be_decoded_is_no_bare_number():
    for number in (b"E1^^^M\xdcRCY^MR", b"E1^^^MERCY^\xdc", b"E1^^^&&ISO^MR"):
        found = taken_from(sent("UNICODE UTF-8", b"A", number))
        assert found.patient.numbers == ()
        assert ("authority-unreadable", "PID-3") in {(one.code, one.place) for one in found.issues}
