"""Acknowledgements, read and written (HL7 v2.5.1 §2.9.2, §2.15.5, §2.15.8)."""

import hl7
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mappings.hl7v2.ack import HL70008, Ack, AckError, AckInvalid, acknowledge, asks_for_commit, parse

MSH = b"MSH|^~\\&|EHR|HOSP|GW|SITE|20260105||ACK^R01^ACK|1|P|2.5.1\r"
ORU = "MSH|^~\\&|GW|SITE|EHR|HOSP|20260105163014+0000||ORU^R01^ORU_R01|Js8H5Znu6q8Ibanjv4jC|P|2.5.1\rPID|1\r"


@pytest.mark.parametrize("code", HL70008)
def test_each_code_of_table_0008_is_read(code):
    assert parse(MSH + f"MSA|{code}|ID1\r".encode()) == Ack(code, "ID1")


@pytest.mark.parametrize(
    "payload",
    [
        MSH + b"MSA|AA|ID1\r",
        MSH + b"MSA|AA|ID1",
        MSH.replace(b"\r", b"\n") + b"MSA|AA|ID1\n",
        MSH.replace(b"\r", b"\r\n") + b"MSA|AA|ID1\r\n",
        b"\xef\xbb\xbf" + MSH + b"MSA|AA|ID1\r",
        b"\r\n" + MSH + b"\r\rMSA|AA|ID1\r",
        b"\x00" + MSH + b"\x00MSA|AA|ID1\r\x00\x00",
        (MSH + b"MSA|AA|ID1\r").decode().encode("utf-16"),
        MSH.replace(b"HOSP", b"H\xd4PITAL") + b"MSA| AA | ID1 |\xe9\xff\r",
        b"MSH#*!?%#EHR#HOSP#GW#SITE#20260105##ACK*R01*ACK#1#P#2.5.1\rMSA#AA#ID1\r",
        b"MSH|\rMSA|AA|ID1\r",
        MSH.replace(b"^~\\&|", b"^~\\&#|") + b"MSA|AA|ID1\r",
        MSH + b"SFT|x\rMSA|AA|ID1\rZZZ|1\r",
    ],
)
def test_form_does_not_matter(payload):
    ack = parse(payload)
    assert ack.code == "AA"
    assert ack.control_id == "ID1"


@pytest.mark.parametrize(
    ("payload", "code", "offset"),
    [
        (b"", "empty", 0),
        (b"\x00\r\n ", "empty", 0),
        (b"this is no acknowledgement", "no-msh", 0),
        (b"\r\nMSA|AA|ID1\r", "no-msh", 2),
        (b"MSH", "bad-delimiters", 3),
        (b"MSHX^~\\&X", "bad-delimiters", 3),
        (b"MSH\xe9^~\\&", "bad-delimiters", 3),
        (b"MSH|^^\\&|", "bad-delimiters", 4),
        (b"MSH|AB~&|", "bad-delimiters", 4),
        (MSH, "no-msa", 0),
        (ORU.encode(), "no-msa", 0),
        (MSH + b"MSA|AA|ID1\rMSA|AE|ID1\r", "several-msa", len(MSH) + 11),
        (MSH + b"MSA\r", "code-not-in-table-0008", len(MSH)),
        (MSH + b"MSA||ID1\r", "code-not-in-table-0008", len(MSH)),
        (MSH + b"MSA|OK|ID1\r", "code-not-in-table-0008", len(MSH)),
        (MSH + b"MSA|aa|ID1\r", "code-not-in-table-0008", len(MSH)),
        (MSH + b"MSA|A", "code-not-in-table-0008", len(MSH)),
    ],
)
def test_what_is_no_acknowledgement_is_never_taken_for_one(payload, code, offset):
    with pytest.raises(AckInvalid, match=f"^{code} at offset {offset}$") as invalid:
        parse(payload)
    assert (invalid.value.code, invalid.value.offset) == (code, offset)


@given(st.binary(max_size=60) | st.binary(max_size=60).map(lambda rest: MSH + b"MSA|" + rest))
def test_any_bytes_are_an_acknowledgement_or_invalid(payload):
    try:
        assert parse(payload).code in HL70008
    except AckInvalid as invalid:
        assert 0 <= invalid.offset <= len(payload)


def test_an_acknowledgement_without_msa_2_answers_no_message():
    assert parse(MSH + b"MSA|AA\r").control_id == ""


def test_another_msa_2_answers_another_message():
    assert parse(MSH + b"MSA|AA|ID10\r").control_id == "ID10"


@pytest.mark.parametrize(
    ("segment", "error", "text"),
    [
        # v2.5 and later
        (
            "ERR||PID^1^5^1^1|101^Required field missing^HL70357|E|||diag\\F\\x|Name is missing",
            AckError("101", "PID^1^5^1^1", "E", "HL70357"),
            "Required field missing; diag|x; Name is missing",
        ),
        ("ERR|||207|F", AckError("207", "", "F"), ""),
        ("ERR||PID^1^3~PID^1^5|101|W", AckError("101", "PID^1^3~PID^1^5", "W"), ""),
        ("ERR|||207^Internal^HL70357|E|X1^Deceased^L", AckError("207", "", "E", "HL70357"), "Internal; X1; Deceased"),
        ("ERR||||||||Only words", AckError(""), "Only words"),
        ("ERR|||No patient DOE^JANE|Z", AckError(""), "JANE; No patient DOE"),
        ("ERR||DOE, JANE|101|E", AckError("101", "", "E"), "DOE, JANE"),
        # v2.3 to v2.4
        (
            "ERR|PID^1^5^101&Required field missing&HL70357",
            AckError("101", "PID^1^5", "", "HL70357"),
            "Required field missing",
        ),
        ("ERR|PID^1^5", AckError("", "PID^1^5"), ""),
        ("ERR|^^^207&Application internal error", AckError("207", "^^"), "Application internal error"),
        (
            "ERR|207^Application internal error^HL70357",
            AckError("207", "", "", "HL70357"),
            "Application internal error",
        ),
        ("ERR|Patient DOE is unknown", AckError(""), "Patient DOE is unknown"),
    ],
)
def test_an_err_segment_is_read_in_the_form_of_its_version(segment, error, text):
    ack = parse(MSH + b"MSA|AE|ID1|refused\r" + segment.encode() + b"\r")
    assert [AckError(e.code, e.location, e.severity, e.system) for e in ack.errors] == [error]
    assert ack.errors[0].text == text
    assert ack.text == "refused"


def test_every_error_of_every_segment_and_repetition_is_kept():
    payload = MSH + b"MSA|AE|ID1|||207^Internal error^HL70357\rERR|PID^1^5^101~~PV1^1^19^102\rERR|||200\rERR|\r"
    payload = payload.replace(b"ID1|||207", b"ID1||||207")
    assert [error.code for error in parse(payload).errors] == ["101", "102", "200", "207"]


def test_delimiters_of_the_answer_are_its_own_in_errors_too():
    payload = b"MSH#*!?%#EHR\rMSA#AE#ID?T?1#a?F?b\rERR##PID*1*5#101*Missing?X41?*HL70357#E\r"
    ack = parse(payload)
    assert (ack.control_id, ack.text) == ("ID%1", "a#b")
    assert ack.errors == (AckError("101", "PID^1^5", "E", "HL70357", "MissingA"),)


@pytest.mark.parametrize("sequence", ["\\X4\\", "\\XZZ\\", "\\Z9\\", "\\"])
def test_an_escape_sequence_that_is_not_known_stays(sequence):
    assert parse(MSH + f"MSA|AA|ID1|{sequence}\r".encode()).text == sequence


def test_what_a_receiver_wrote_is_not_in_repr_or_in_the_text_of_an_exception():
    ack = parse(MSH + b"MSA|AE|ID1|DOE^JANE\rERR|||101^DOE^L|E||||DOE\rERR|DOE^JANE\rERR|DOE\r")
    assert "DOE" not in repr(ack)
    with pytest.raises(AckInvalid) as invalid:
        parse(b"DOE^JANE")
    assert "DOE" not in str(invalid.value) + repr(invalid.value)


def test_an_answer_is_made_with_sender_and_receiver_swapped_and_the_message_named():
    made = acknowledge(ORU.encode(), "AA", control_id="90210", at="20260105163014+0000")
    assert made == (
        b"MSH|^~\\&|EHR|HOSP|GW|SITE|20260105163014+0000||ACK^R01^ACK|90210|P|2.5.1\rMSA|AA|Js8H5Znu6q8Ibanjv4jC\r"
    )


@pytest.mark.parametrize(
    ("version", "err"),
    [
        ("2.5.1", "ERR||PID^1^5|101^Missing \\T\\ more^HL70357|E"),
        ("2.7^USA", "ERR||PID^1^5|101^Missing \\T\\ more^HL70357|E"),
        ("2.3.1", "ERR|PID^1^5^101&Missing \\T\\ more&HL70357"),
    ],
)
def test_an_error_is_written_in_the_form_of_the_messages_version(version, err):
    error = AckError("101", "PID^1^5", text="Missing & more")
    made = acknowledge(ORU.replace("2.5.1", version).encode(), "AE", control_id="1", at="2026", error=error)
    lines = made.decode().split("\r")
    assert lines[0].endswith(f"|P|{version}")
    assert lines[1:] == ["MSA|AE|Js8H5Znu6q8Ibanjv4jC|Missing \\T\\ more", err, ""]


def test_an_answer_uses_the_delimiters_of_the_message_and_echoes_its_bytes():
    message = b"MSH#*!?%#GW#S\xe9\xff#EHR#HOSP#2026##ORU*R01#ID%1#T#2.4\r"
    error = AckError("207", text="a#b*c?\r\nd")
    made = acknowledge(message, "AR", control_id="1", at="2026", error=error)
    assert made == (
        b"MSH#*!?%#EHR#HOSP#GW#S\xe9\xff#2026##ACK*R01*ACK#1#T#2.4\r"
        b"MSA#AR#ID%1#a?F?b?S?c?E?  d\r"
        b"ERR#***207%a?F?b?S?c?E?  d%HL70357\r"
    )


@pytest.mark.parametrize("message", [b"", b"not HL7", b"MSH|", b"\xff\xfe"])
def test_bytes_that_are_no_message_get_an_answer_that_is_one(message):
    made = acknowledge(message, "AR", control_id="1", at="2026", error=AckError("100", text="Sequence é"))
    ack = parse(made)
    assert (ack.code, ack.control_id, ack.text) == ("AR", "", "Sequence ?")
    assert [error.code for error in ack.errors] == ["100"]


@pytest.mark.parametrize(
    ("condition", "of_success", "of_a_fault"),
    [("AL", 1, 1), ("NE", 0, 0), ("ER", 0, 1), ("SU", 1, 0), (" AL ", 1, 1), ("", 0, 0), ("al", 0, 0), ('""', 0, 0)],
)
def test_msh_15_says_of_what_an_accept_acknowledgement_is_wanted(condition, of_success, of_a_fault):
    """HL7 v2.5.1 §2.15.9.15, table 0155."""
    message = f"MSH|^~\\&|EHR|HOSP|GW|S|2026||ACK|1|P|2.5.1|||{condition}|NE\rMSA|AA|1\r".encode()
    asked = [asks_for_commit(message, is_accepted=is_accepted) for is_accepted in (True, False)]
    assert asked == [bool(of_success), bool(of_a_fault)]


@pytest.mark.parametrize("message", [b"", b"not HL7", b"MSH|^~\\&|EHR"])
def test_what_has_no_msh_15_asks_for_nothing(message):
    assert not asks_for_commit(message, is_accepted=False)


CODES = st.sampled_from(sorted(HL70008))
WORDS = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=30)


@given(CODES, WORDS.map(str.strip), st.sampled_from(["2.3", "2.4", "2.5", "2.5.1", "2.8"]))
def test_what_is_answered_is_read_back(code, words, version):
    message = ORU.replace("2.5.1", version).encode()
    ack = parse(acknowledge(message, code, control_id="1", at="2026", error=AckError("207", "PID^1^5", text=words)))
    assert ack.code == code
    assert ack.control_id == "Js8H5Znu6q8Ibanjv4jC"
    assert ack.text == words
    assert [(error.code, error.location, error.text) for error in ack.errors] == [("207", "PID^1^5", words)]


def test_an_independent_parser_reads_the_answer():
    made = acknowledge(ORU.encode(), "AE", control_id="1", at="2026", error=AckError("101", "PID^1^5", text="Missing"))
    read = hl7.parse(made.decode())
    assert str(read["MSA.F1"]) == "AE"
    assert str(read["MSA.F2"]) == "Js8H5Znu6q8Ibanjv4jC"
    assert str(read["ERR.F3.R1.C1"]) == "101"
    assert str(read["MSH.F9.R1.C1"]) == "ACK"
