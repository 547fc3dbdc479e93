r"""HL7 v2.5.1 §2.7, §2.15.9.18: bytes of a message in the form that its receiver can read."""

from dataclasses import replace

import pytest
from fakes.oru_example import codes, report, sent, study
from hypothesis import given
from hypothesis import strategies as st

from mappings.hl7v2.charset import PLAIN, encoded
from mappings.hl7v2.er7 import LINE_BREAK, escape
from mappings.profile import receiver

GENERIC = receiver("generic")


def test_every_segment_ends_with_cr() -> None:
    made = encoded(["MSH|x", "PID|\u00fc"], GENERIC)
    assert made.output == "MSH|x\rPID|\u00fc\r".encode()
    assert made.issues == ()


@pytest.mark.parametrize(
    ("charset", "bytes_of_it"), [("UNICODE UTF-8", "\u00fc\u2265".encode()), ("8859/1", b"\xfc>="), ("ASCII", b"u>=")]
)
def test_a_message_is_in_the_character_set_that_it_names(charset: str, bytes_of_it: bytes) -> None:
    message = sent(study(report(reportPlainText="\u00fc\u2265")), to=replace(GENERIC, charset=charset))
    assert message.split(b"\r")[0].split(b"|")[17] == charset.encode()
    assert b"|" + bytes_of_it + b"|" in message


def test_what_was_spelled_otherwise_is_said_once_with_its_number() -> None:
    made = encoded(["MSH|\u2265", "PID|\u2264|\u2264"], replace(GENERIC, charset="ASCII"))
    assert [(issue.code, issue.pointer) for issue in made.issues] == [("characters-transliterated", "")]
    assert made.issues[0].action.startswith("3 characters")


def test_a_receiver_that_knows_no_field_sequence_gets_a_plain_character() -> None:
    r"""The text of `\E\F\E\` is `\F\`, which contains no field separator."""
    made = encoded(["OBX|a\\F\\b\\S\\c\\E\\F\\E\\d"], replace(GENERIC, escape="no_F"))
    assert made.output == b"OBX|a/b\\S\\c\\E\\F\\E\\d\r"
    assert made.issues[0].action.startswith("1 delimiters")


def test_a_receiver_that_knows_no_sequence_gets_plain_characters_only() -> None:
    made = encoded(["MSH|^~\\&|x", "OBX|a\\F\\b\\S\\c\\E\\d\\R\\e\\T\\f"], replace(GENERIC, escape="strip"))
    assert made.output == b"MSH|^~\\&|x\rOBX|a/b**c/d-e+f\r"
    assert [issue.code for issue in made.issues] == ["delimiters-replaced"]
    assert made.issues[0].action.startswith("5 delimiters")


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("~5 mm", "approx. 5 mm"),
        ("ratio ~ 0.8", "ratio approx. 0.8"),
        ("ratio~0.8 (~1)", "ratio approx. 0.8 (approx. 1)"),
        ("<~5", "< approx. 5"),
        ("~ the same", "approx. the same"),
        ("5~10 mm, L4~L5, mild~moderate", "5-10 mm, L4-L5, mild-moderate"),
        ("~~~~", "===="),
        ("10^6/L, x^-2", "10**6/L, x**-2"),
        ("a \\R\\ b", "a /R/ b"),
    ],
)
def test_no_plain_text_says_something_else_than_the_sign_it_stands_for(text: str, plain: str) -> None:
    made = encoded([f"OBX|{escape(text)}|{escape(text)}"], replace(GENERIC, escape="strip"))
    assert made.output == f"OBX|{plain}|{plain}\r".encode()


@pytest.mark.parametrize("text", ["\u2248 5 mm", "\u223c5 mm", "\u2245 5 mm"])
def test_about_stays_about_in_ascii_without_escapes(text: str) -> None:
    made = encoded([f"OBX|{text}"], replace(GENERIC, charset="ASCII", escape="strip"))
    assert made.output == b"OBX|approx. 5 mm\r"


@pytest.mark.parametrize("switch", PLAIN)
def test_base64_and_line_breaks_of_formatted_text_stay(switch: str) -> None:
    segment = f"OBX|a{LINE_BREAK}{LINE_BREAK}b|AQ+/=="
    assert encoded([segment], replace(GENERIC, escape=switch)).output == f"{segment}\r".encode()


def test_a_delimiter_that_comes_of_another_character_set_is_replaced_too() -> None:
    made = encoded(["OBX|a\uff5cb"], replace(GENERIC, charset="ASCII", escape="no_F"))
    assert made.output == b"OBX|a/b\r"


def test_the_issues_stand_with_those_of_the_message() -> None:
    what = study(report(reportPlainText="\u2265 | 3"))
    found = codes(what, to=replace(GENERIC, charset="ASCII", escape="strip"))
    assert found["characters-transliterated"] == found["delimiters-replaced"] == ""


@given(st.text())
def test_whatever_a_value_holds_no_sequence_is_left_after_strip(text: str) -> None:
    output = encoded([f"X|{escape(text)}|y"], replace(GENERIC, charset="ASCII", escape="strip")).output
    assert b"\\" not in output
    assert output.count(b"|") == 2
