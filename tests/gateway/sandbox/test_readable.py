"""A message as a person reads it in the terminal."""

import pytest

from gateway.sandbox.readable import readable

ORU = (
    "MSH|^~\\&|GW|MERCY|EHR|HOSP|20260105||ORU^R01^ORU_R01|ID1|P|2.5.1\r"
    "PID|1||00412345^^^MERCY^MR||DOE^JANE\r"
    "OBR|1||3oSA^AUTOSCRIBE|^CT CHEST||||||||||||||||||||F\r"
    "OBX|1|TX|18748-4^Diagnostic imaging study^LN|1|RV\\T\\LV ratio \\R\\ 0.8 (series 4 \\F\\ image 112)||||||F\r"
    "OBX|2|FT|18748-4^Diagnostic imaging study^LN|2|one\\.br\\two||||||F\r"
    "OBX|3|TX|18748-4|3|a~b||||||F\r"
    "OBX|4|ED|PDF^Report|4|AUTOSCRIBE^Application^PDF^Base64^" + "A" * 30_000 + "||||||F\r"
)


def test_each_segment_is_a_line_with_named_fields_and_texts_are_unescaped():
    assert readable(ORU.encode()).split("\n") == [
        "MSH  [3 sending application] GW  [4 sending facility] MERCY  [5 receiving application] EHR",
        "     [6 receiving facility] HOSP  [7 time of message] 20260105  [9 message type] ORU^R01^ORU_R01",
        "     [10 control id] ID1  [11 processing id] P  [12 version] 2.5.1",
        "PID  [1] 1  [3 patient identifiers] 00412345^^^MERCY^MR  [5 patient name] DOE^JANE",
        "OBR  [1] 1  [3 filler order] 3oSA^AUTOSCRIBE  [4 service] ^CT CHEST  [24 section] F",
        "OBX  1 TX 18748-4^Diagnostic imaging study^LN (1)  [11 status] F",
        "    | RV&LV ratio ~ 0.8 (series 4 | image 112)",
        "OBX  2 FT 18748-4^Diagnostic imaging study^LN (2)  [11 status] F",
        "    | one",
        "    | two",
        "OBX  3 TX 18748-4 (3)  [11 status] F",
        "    | a",
        "    | b",
        "OBX  4 ED PDF^Report (4)  [11 status] F",
        "    = AUTOSCRIBE^Application^PDF^Base64^(30000 characters)",
    ]


@pytest.mark.parametrize("text", ["word " * 100_000, "x" * 500_000, "\\T\\" * 200_000])
def test_a_long_text_is_wrapped_and_nothing_of_it_is_lost(text):
    lines = readable(f"MSH|^~\\&|\rOBX|1|TX|||{text}\r".encode(), width=60).split("\n")
    assert max(map(len, lines)) <= 60
    body = [line.removeprefix("    | ") for line in lines[2:]]
    assert "".join(body).replace(" ", "") == text.replace("\\T\\", "&").replace(" ", "")


def test_no_character_can_steer_the_terminal():
    shown = readable("MSH|^~\\&|\x1b[2J|\x9b\r\x1b]0;x|1\rOBX|1|TX|||\x07bell \\X1B\\ \u202e é 漢\r".encode())
    assert all(character.isprintable() or character == "\n" for character in shown)
    assert "<1B>[2J" in shown
    assert "<07>bell <1B> <202E> é 漢" in shown


@pytest.mark.parametrize("payload", [b"", b"\x00\x01", b"hello DOE^JANE", b"MSH"])
def test_bytes_that_are_no_message_are_told_as_such(payload):
    assert readable(payload).startswith("not HL7 v2: ")
    assert readable(payload).endswith(f", {len(payload)} bytes")


def test_an_empty_field_and_an_odd_segment_do_not_stop_it():
    assert readable(b"MSH|^~\\&|\r|||\rOBX\rOBX|1|TX\r\xff\xfe|\xe9\r").split("\n") == [
        "MSH",
        "",
        "OBX",
        "OBX  1 TX",
        "    |",
        "<DCFF><DCFE>  [1] \ufffd",
    ]
