"""HL7 v2.5.1 §2.15.9.18: bytes from any sender, as printable lines."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mappings.hl7v2.received import segments


def test_a_message_is_a_line_for_each_segment_in_its_own_charset():
    message = "MSH|^~\\&|GW||||||ORU|1|P|2.5.1||||||8859/1\rPID|1||||MÜLLER\r"
    assert segments(message.encode("iso-8859-1"))[1] == "PID|1||||MÜLLER"
    assert segments(message.replace("8859/1", "UNICODE UTF-8").encode())[1] == "PID|1||||MÜLLER"


def test_what_is_no_message_is_shown_too_and_a_terminal_obeys_none_of_it():
    assert segments(b"\x1b[2J gone\x00\r\nHTTP 500") == ["\\x1b[2J gone\\x00", "HTTP 500"]
    assert segments(b"caf\xe9") == ["caf\\xe9"]


@given(st.binary(max_size=60))
def test_every_line_can_be_printed(data):
    assert all(line.isprintable() and line for line in segments(data))
