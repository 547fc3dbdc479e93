"""HL7 v2.5.1 §2.15.9.18: characters that a character set lacks are spelled with others."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mappings.hl7v2.charset import SPELLING, UNKNOWN, spelled
from mappings.hl7v2.er7 import escape

CODECS = ("ascii", "iso-8859-1")


@pytest.mark.parametrize(
    ("text", "ascii_text"),
    [
        ("\u201cnodule\u201d \u2018a\u2019 \u2014 b\u2026", "\"nodule\" 'a' - b..."),
        ("\u22655 mm, \u2264 3, \u00b1 1", ">=5 mm, <= 3, +/- 1"),
        ("\u2022 38 \u00b0C, 5 \u00b5g, 5 \u03bcg", "* 38 degC, 5 ug, 5 ug"),
        ("Mu\u0308ller M\u00fcller \u0141\u00f3d\u017a stra\u00dfe", "Muller Muller Lodz strasse"),
        ("\ufb01n CO\u2082 \u2103", "fin CO2 degC"),
        ("a\u200db\ufe0f \ufeffc", "ab c"),
        ("a\u00a0b\u3000c", "a b c"),
        ("\u65e5\u672c \u0663", "?? ?"),
        ("N\u00ba5, 1\u00aa, 30\u00ba, 38 \u00baC, 38\u00baC", "No5, 1a, 30deg, 38 degC, 38degC"),
        ("\u2248 5, \u2267 5, \u2a7d 5", "\\R\\ 5, >= 5, <= 5"),
        ("\u2191 uptake, \u2193 signal", "(up) uptake, (down) signal"),
    ],
)
def test_what_ascii_has_not_is_spelled_as_people_do(text: str, ascii_text: str) -> None:
    assert spelled(text, "ascii")[0] == ascii_text


@pytest.mark.parametrize(
    ("text", "ascii_text"),
    [
        ("10\u2076", "10\\S\\6"),
        ("10\u207b\u2076", "10\\S\\-6"),
        ("1\u00bd cm", "1 1/2 cm"),
        ("T2\u2081", "T2_1"),
        ("2\u2460", "2(1)"),
        ("\u2260 3, \u2270 4, x\u0338", "<> 3, ? 4, x?"),
    ],
)
def test_no_number_becomes_another_and_no_sign_its_contrary(text: str, ascii_text: str) -> None:
    assert spelled(text, "ascii")[0] == ascii_text


def test_latin_1_keeps_what_it_has() -> None:
    text = "\u00b1 \u00b0 \u00b5 \u00e9 \u00bd \u00b2 \u00ab"
    assert spelled(text, "iso-8859-1") == (text, 0)
    assert spelled("e\u0301", "iso-8859-1") == ("\u00e9", 0)
    assert spelled("m\u00b2 10\u2076", "iso-8859-1") == ("m\u00b2 10\\S\\6", 1)


def test_utf_8_holds_everything() -> None:
    assert spelled("\u201c\u65e5", "utf-8") == ("\u201c\u65e5", 0)


def test_the_characters_that_had_to_be_spelled_are_counted() -> None:
    assert spelled("\u201ca\u201d|\u65e5\u672c|e\u0301", "ascii")[1] == 5


@pytest.mark.parametrize(("sign", "sequence"), [("\uff5c", "\\F\\"), ("\uff3e", "\\S\\"), ("\uff06", "\\T\\")])
def test_a_delimiter_that_comes_out_is_escaped(sign: str, sequence: str) -> None:
    assert spelled(f"a{sign}b", "ascii")[0] == f"a{sequence}b"


def test_quotation_marks_never_become_the_null_that_deletes() -> None:
    assert spelled("|\u201c\u201d|", "ascii")[0] == '|"" |'
    assert spelled('|""|\u201c|', "ascii")[0] == '|""|"|'


@pytest.mark.parametrize("text", ["\u0301", "\u200d\ufe0f", "\u0338"])
def test_what_says_something_never_comes_out_empty(text: str) -> None:
    assert spelled(f"|{text}|", "ascii")[0] == f"|{UNKNOWN}|"


def test_a_blank_of_another_kind_stays_blank() -> None:
    assert spelled("|\u2003|", "ascii")[0] == "| |"


@pytest.mark.parametrize("codec", CODECS)
def test_every_spelling_of_the_table_is_ascii(codec: str) -> None:
    for character, spelling in SPELLING.items():
        assert spelling.isascii()
        spelled(character, codec)[0].encode(codec)


@given(st.text(), st.sampled_from(CODECS))
def test_any_text_can_be_encoded_and_keeps_its_structure(text: str, codec: str) -> None:
    escaped = escape(text.replace("\r", ""))
    made, count = spelled(f"A|{escaped}^b&c~d\r", codec)
    made.encode(codec)
    assert [made.count(delimiter) for delimiter in "|^&~\r"] == [1] * 5
    assert (count == 0) or made != f"A|{escaped}^b&c~d\r"
    assert spelled(made, codec) == (made, 0)
