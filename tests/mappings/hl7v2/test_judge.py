"""Decision D2: a message is judged by hl7apy's tables and parser, and by our own table of lengths."""

from dataclasses import replace

import pytest
from fakes.oru_example import SITE, USER, addendum, profile, report, sent, study

from mappings.hl7v2.judge import WAIVED_ABSENCE, WAIVED_FOR, WAIVED_TEXT, judge_message
from mappings.profile import receiver

GOOD = sent(accession="ACC1")


def faults(message: bytes) -> list[tuple[str, str]]:
    return [(fault.code, fault.pointer) for fault in judge_message(message)]


@pytest.mark.parametrize(
    "message",
    [
        GOOD,
        sent(study(report(isCritical=True), addendum()), sent_before=True),
        sent(study(report(snapshot={"patientName": None, "mrn": None}, reportPlainText=None), users=(), severity="x")),
        sent(to=replace(receiver("generic"), vitals="on", uid="none")),
        sent(study(externalPatientId="E-1", clinicalIndication=None, modality=None)),
    ],
)
def test_messages_of_ours_are_good(message: bytes) -> None:
    assert judge_message(message) == ()


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (b"PID|1|", b"PID|one|", ("datatype", "PID-1")),
        (b"|19710214|", b"|19711314|", ("datatype", "PID-7.1")),
        (b"|19710214|", b"|19710214^a^b|", ("datatype", "PID-7")),
        (b"|F\rPV1", b"|F^x\rPV1", ("datatype", "PID-8")),
        (b"|F\rPV1", b"|F~M\rPV1", ("repetition", "PID-8")),
        (b"|00412345^^^MERCY^MR|", b"||", ("field-required", "PID-3")),
        (b"TQ1|1", b"TQX|1", ("segment-unknown", "TQX")),
        (b"OBX|3|TX", b"OBX|3|NM", ("datatype", "OBX[3]-5")),
        (b"||||||F|||2026", b"|" * 11 + b"x" + b"|" * 20 + b"x|2026", ("position-unknown", "OBX[1]-26")),
        (b"|P|2.5.1|", b"|P|9.9|", ("version-unknown", "MSH-12")),
        (b"|P|2.5.1|", b"|P|2.2|", ("version-unknown", "MSH-12")),
        (b"|UNICODE UTF-8", b"|BIG-5", ("charset-unknown", "MSH-18")),
        (b"FINDINGS:", b"FINDINGS:\n", ("control-character", "")),
        (b"FINDINGS:", b"FINDINGS:\xff", ("charset", "MSH-18")),
        (b"|S||2026", b"|STAT||2026", ("length-exceeded", "OBR-5")),
    ],
)
def test_a_planted_fault_is_found_at_its_field(before: bytes, after: bytes, expected: tuple[str, str]) -> None:
    assert before in GOOD
    assert expected in faults(GOOD.replace(before, after, 1))


def test_segments_in_the_wrong_order_are_found_by_the_parser() -> None:
    first, _, rest = GOOD.partition(b"PID|")
    pid, _, rest = rest.partition(b"\r")
    assert ("structure", "") in faults(first + rest + b"PID|" + pid + b"\r")


def test_a_value_longer_than_the_parser_takes_is_waived_and_its_length_judged_by_our_table() -> None:
    long = study(report(reportPlainText="x|" * 5000), clinicalIndication="y" * 240)
    assert judge_message(sent(long)) == ()
    assert faults(sent(study(clinicalIndication="y" * 260))) == [("length-exceeded", "OBR-31")]


def test_a_degree_longer_than_the_strict_parser_takes_is_waived() -> None:
    assert judge_message(sent(study(users=({**USER, "suffix1": "Diplomate of Radiology"},)))) == ()


@pytest.mark.parametrize("junk", [b"", b"PID|1", b"MSH", b"\xff\xfe", b"MSH|^~\\&|" + b"\x00" * 9, b"MSHabcdefg\r"])
def test_no_bytes_at_all_break_the_judge(junk: bytes) -> None:
    assert judge_message(junk) != ()


@pytest.mark.parametrize("number", range(0, len(GOOD), 97))
def test_a_message_cut_anywhere_is_judged(number: int) -> None:
    judge_message(GOOD[:number])


def test_no_fault_shows_a_value() -> None:
    broken = GOOD.replace(b"PID|1|", b"PID|SECRET|").replace(b"|19710214|", b"|SECRET|").replace(b"|S||", b"|SECRET||")
    texts = "".join(map(str, judge_message(broken)))
    assert texts
    assert "SECRET" not in texts


def planted(before: bytes, after: bytes, version: str) -> list[tuple[str, str]]:
    message = sent(to=profile(version=version, charset="ASCII"))
    assert before in message
    return faults(message.replace(before, after, 1))


@pytest.mark.parametrize(
    ("version", "before", "after", "expected"),
    [
        ("2.3", b"ORU^R01", b"ORU^R01^ORU_R01", ("datatype", "MSH-9")),
        ("2.3", b"|DOE^JANE^Q^^^^L", b"|DOE^JANE~DOE", ("repetition", "PID-5")),
        ("2.3", b"\rOBX|1|", b"\rTQ1|1\rOBX|1|", ("segment-unknown", "TQ1")),
        ("2.4", b"\rOBX|1|", b"\rTQ1|1\rOBX|1|", ("segment-unknown", "TQ1")),
        (
            "2.7",
            b"|24628-0^CT CHEST WITH CONTRAST^LN||",
            b"|24628-0^CT CHEST WITH CONTRAST^LN|S|",
            ("repetition", "OBR-5"),
        ),
        ("2.7", b"^JONES^ANN^^^DR", b"^JONES^ANN^^^DR^MD", ("withdrawn", "PV1-8.7")),
        ("2.3.1", b"|20260105113012", b"|2026010511301", ("datatype", "MSH-7.1")),
    ],
)
def test_a_fault_is_found_by_the_tables_of_its_version(
    version: str, before: bytes, after: bytes, expected: tuple[str, str]
) -> None:
    if version == "2.3.1":
        before, after = b"|20260105113014-0500|", b"|20261305113014-0500|"
    assert expected in planted(before, after, version)


@pytest.mark.parametrize(("charset", "name"), [("8859/1", "JOSÉ"), ("UNICODE UTF-8", "JOSÉ 山田"), ("ASCII", "JOSÉ")])
def test_a_message_is_judged_in_the_character_set_that_it_names(charset: str, name: str) -> None:
    what = study(report(snapshot={"patientName": f"DOE^{name}"}))
    message = sent(what, to=profile(charset=charset))
    assert faults(message) == []
    wrong = message.replace(f"|{charset}".encode(), b"|ASCII", 1)
    assert ("charset", "MSH-18") in faults(wrong) or charset == "ASCII"


def test_without_a_character_set_the_bytes_are_ascii() -> None:
    bare = GOOD.replace(b"||||||UNICODE UTF-8", b"")
    assert faults(bare) == []
    assert ("charset", "MSH-18") in faults(bare.replace(b"JANE", "JANÉ".encode()))


WAIVED = {
    ("OBX", 3): (b"|59776-5^", b"|59776-5&GDT^"),
    ("OBX", 8): (b"||||||F|", b"|||AA^Critical abnormal^HL70078|||F|"),
    ("PID", 3): (b"|00412345^^^MERCY^MR|", b"|00412345|"),
    ("MSH", 9): (b"|ORU^R01^ORU_R01|", b"|ORU^R01|"),
}


def test_every_waiver_has_a_test() -> None:
    assert WAIVED.keys() == WAIVED_TEXT.keys()
    assert {row[1:] for row in WAIVED_ABSENCE} == {("OBX", 4)}


@pytest.mark.full
@pytest.mark.parametrize("version", ["2.3.1", "2.4", "2.5", "2.5.1", "2.7"])
@pytest.mark.parametrize("place", WAIVED)
def test_what_a_receiver_asks_for_and_hl7apy_refuses_is_waived(place: tuple[str, int], version: str) -> None:
    assert planted(*WAIVED[place], version) == []


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"|59776-5^", b"|59776-5&GDT&X^"),
        (b"|59776-5^", b"|59776-5&gdt^"),
        (b"||||||F|", b"|||AA^Critical abnormal^L|||F|"),
        (b"||||||F|", b"|||AA^a^HL70078^b|||F|"),
    ],
)
def test_a_waiver_waives_nothing_else(before: bytes, after: bytes) -> None:
    assert "datatype" in [code for code, _ in planted(before, after, "2.5.1")]


@pytest.mark.parametrize("suffix", [b"R", b"I"])
def test_a_suffix_of_vista_is_waived_and_no_other_letter(suffix: bytes) -> None:
    assert planted(b"|59776-5^", b"|59776-5&" + suffix + b"^", "2.3.1") == []
    assert "datatype" in [code for code, _ in planted(b"|59776-5^", b"|59776-5&X^", "2.3.1")]


def test_an_empty_pid_3_is_waived_where_pid_2_has_the_number_and_nowhere_else() -> None:
    assert WAIVED_FOR == {("PID", 3): 2}
    assert planted(b"PID|1||00412345^^^MERCY^MR|", b"PID|1|500-412345||", "2.4") == []
    assert planted(b"PID|1||00412345^^^MERCY^MR|", b"PID|1|||", "2.4") == [("field-required", "PID-3")]


@pytest.mark.parametrize("version", ["2.3.1", "2.7"])
def test_an_observation_without_a_sub_id_is_waived_where_hl7apy_requires_one(version: str) -> None:
    assert faults(sent(to=profile(version=version, vitals="on", uid="obx113014"))) == []


@pytest.mark.parametrize("version", ["2.3.1", "2.4", "2.5.1"])
def test_the_lines_of_a_second_order_are_judged_as_those_of_the_first(version) -> None:
    site = replace(SITE, accession_keys=("accession",), number_separator=";")
    message = sent(study(metadata={"accession": "A1;A2"}), site=site, to=profile(version=version))
    assert message.count(b"\rOBR|") == 2
    assert judge_message(message) == ()
