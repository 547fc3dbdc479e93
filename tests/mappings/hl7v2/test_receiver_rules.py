"""Decision D34: checker of rules. Each kind of rule is tried on a message that keeps it and on one that breaks it."""

import pytest

from mappings.hl7v2.received import Unreadable
from mappings.hl7v2.receiver_rules import CHECKS, check_rules
from mappings.profile import Receiver, Rule, receiver
from mappings.profile.rule import MUST, Level, Quantity, RulePlace, Where, place_of


def segment(name: str, **fields: str) -> str:
    """Make a segment from its fields: `segment("OBR", f3="F1")`."""
    numbered = {int(key[1:]): value for key, value in fields.items()}
    return "|".join([name, *(numbered.get(number, "") for number in range(1, max(numbered) + 1))])


MESSAGE = (
    r"MSH|^~\&|GW|MERCY|EHR|MERCY|20260105163014+0000||ORU^R01^ORU_R01|1|P|2.5.1",
    segment("PID", f1="1", f3="0041^^^MERCY^MR~77^^^LAKE^PI", f5="DOE^JANE^^^^^L"),
    segment("ORC", f1="RE", f2="PL1", f3="F1^AUTOSCRIBE"),
    segment(
        "OBR",
        **{"f2": "PL1", "f3": "F1^AUTOSCRIBE", "f4": "CTCHW^CT CHEST^L", "f7": "20260105", "f18": "ACC1"},
        **{"f25": "F", "f32": "1234567893&SMITH&ALEX"},
    ),
    segment("ORC", f1="RE", f2="PL2", f3="F2^AUTOSCRIBE"),
    segment("OBR", f2="PL2", f3="F2^AUTOSCRIBE", f4="^CT HEAD", f25="F"),
    segment("OBX", f1="1", f2="ST", f3="113014^DICOM Study^DCM", f5="1.2.3", f11="O"),
    segment("OBX", f1="2", f2="TX", f3="R&ADT^REPORT^L", f4="1", f5=r"a \F\ b", f11="F"),
    segment("OBX", f1="3", f2="TX", f3="I^IMPRESSION^L", f4="2", f5=" ", f11="F"),
)


def broken(rule: Rule, *message: str) -> list[str]:
    """Places where a message breaks one rule."""
    checked = "".join(f"{line}\r" for line in message or MESSAGE).encode()
    return [one.place for one in check_rules(checked, Receiver("x", rules=(rule,)))]


def rule(field: str, must: str, *value: str, where: Where | None = None, of: Quantity = "each") -> Rule:
    place = RulePlace("*") if field == "*" else place_of(field)
    return Rule("r", "block", "a statement", place, must, value, where, of)


UID = Where(RulePlace("OBX", 3, 1), True, "113014")
NOT_UID = Where(RulePlace("OBX", 3, 1), False, "113014")


@pytest.mark.parametrize(
    "kept",
    [
        rule("OBR-3", "be_valued"),
        rule("OBR-4.2", "be_valued"),
        rule("OBR-50", "be_empty"),
        rule("ZDS-1", "be_empty"),
        rule("OBR-25", "be_one_of", "A", "F"),
        rule("ZDS-1", "be_one_of", ""),
        rule("OBR-25", "not_be_one_of", "R"),
        rule("PID-3.5", "be_one_of", "MR", "PI"),
        rule("OBX-3.1.2", "match", "([IDAF].*)?"),
        rule("OBR-3", "equal", "ORC-3"),
        rule("OBR-2", "equal", "ORC-2"),
        rule("PID-3", "equal", "PID-3"),
        rule("OBX-5", "not_contain", "\\T\\"),
        rule("OBX-5", "be_at_most", "5"),
        rule("OBX-11", "equal", "OBR-25", where=NOT_UID),
        rule("OBX-2", "be_one_of", "ST", where=UID),
        rule("OBX-2", "be_one_of", "NM", where=Where(RulePlace("OBX", 2), True, "NM")),
        rule("OBX-5", "be_valued", where=UID, of="any"),
        rule("OBR-18", "be_valued", of="any"),
        rule("OBR-7", "be_valued", where=Where(RulePlace("ORC", 2), True, "PL1")),
        rule("*", "not_be_one_of", '""'),
        rule("*", "not_contain", "\\S\\"),
        rule("*", "be_at_most", "20"),
        rule("MSH-2", "be_one_of", "^~\\&"),
        rule("MSH-1", "be_one_of", "|"),
    ],
    ids=str,
)
def test_a_message_that_keeps_a_rule_breaks_nothing(kept: Rule) -> None:
    assert broken(kept) == []


@pytest.mark.parametrize(
    ("asked", "places"),
    [
        (rule("OBR-18", "be_valued"), ["OBR[2]-18"]),
        (rule("OBR-4.1", "be_valued"), ["OBR[2]-4.1"]),
        (rule("ZDS-1", "be_valued"), ["ZDS-1"]),
        (rule("PID-3.4", "be_empty"), ["PID-3.4"]),
        (rule("OBR-25", "be_one_of", "A", "C"), ["OBR[1]-25", "OBR[2]-25"]),
        (rule("PID-3.5", "be_one_of", "MR"), ["PID-3.5"]),
        (rule("ZDS-1", "be_one_of", "x"), ["ZDS-1"]),
        (rule("OBX-11", "not_be_one_of", "O"), ["OBX[1]-11"]),
        (rule("OBX-3.1.2", "match", "([IDRF].*)?"), ["OBX[2]-3.1.2"]),
        (rule("OBR-25", "match", "f"), ["OBR[1]-25", "OBR[2]-25"]),
        (rule("OBR-44", "equal", "OBR-4"), ["OBR[1]-44", "OBR[2]-44"]),
        (rule("OBX-11", "equal", "OBR-25"), ["OBX[1]-11"]),
        (rule("OBX-5", "not_contain", "\\F\\"), ["OBX[2]-5"]),
        (rule("OBX-5", "be_at_most", "4"), ["OBX[1]-5", "OBX[2]-5"]),
        (rule("OBX-2", "be_one_of", "TX"), ["OBX[1]-2"]),
        (rule("OBX-2", "be_one_of", "HD", where=UID), ["OBX[1]-2"]),
        (rule("OBX-11", "be_one_of", "P", where=NOT_UID), ["OBX[2]-11", "OBX[3]-11"]),
        (rule("OBX-5", "be_valued", where=Where(RulePlace("OBX", 2), True, "ED"), of="any"), ["OBX-5"]),
        (rule("OBR-20", "be_valued", of="any"), ["OBR-20"]),
        (rule("ZDS-1", "be_valued", of="any"), ["ZDS-1"]),
        (rule("OBR-7", "be_valued", where=Where(RulePlace("ORC", 2), True, "PL2")), ["OBR[2]-7"]),
        (rule("*", "not_be_one_of", "L"), ["PID-5", "OBR[1]-4", "OBX[2]-3", "OBX[3]-3"]),
        (rule("*", "not_contain", "\\F\\"), ["OBX[2]-5"]),
        (rule("*", "be_at_most", "18"), ["MSH-7"]),
    ],
    ids=str,
)
def test_a_message_that_breaks_a_rule_is_told_by_the_place(asked: Rule, places: list[str]) -> None:
    assert broken(asked) == places


@pytest.mark.parametrize(
    ("text", "is_broken"),
    [("\\F\\", True), ("\\E\\F\\E\\", False), ("\\F\\E\\E\\", True), ("F\\E\\F", False)],
)
def test_an_escape_sequence_is_contained_only_where_it_is_read_as_one(text: str, is_broken: bool) -> None:
    message = MESSAGE[0], segment("OBX", f5=text)
    assert broken(rule("OBX-5", "not_contain", "\\F\\"), *message) == (["OBX-5"] if is_broken else [])


@pytest.mark.parametrize("value", ["", '""', "^^", "^&~"])
def test_delimiters_and_the_null_of_hl7_are_no_value(value: str) -> None:
    assert broken(rule("OBR-18", "be_valued"), MESSAGE[0], f"OBR|1{'|' * 17}{value}") == ["OBR-18"]


def test_a_blank_is_a_value() -> None:
    assert broken(rule("OBX-5", "be_valued")) == []


def test_a_field_seen_from_a_segment_is_that_of_the_last_one_before_it() -> None:
    assert broken(rule("OBX-11", "equal", "ORC-9"), *MESSAGE[:2]) == []
    assert broken(rule("PID-2", "equal", "ORC-2")) == ["PID-2"]
    assert broken(rule("PID-1", "equal", "OBX-1")) == []


def test_a_message_is_read_with_its_own_delimiters() -> None:
    message = "MSH#!*?%#GW", "OBX#1#TX#a!b%c"
    assert broken(rule("OBX-3.2.2", "be_one_of", "c"), *message) == []
    assert broken(rule("*", "not_be_one_of", "c"), *message) == ["OBX-3"]


def test_a_broken_rule_never_says_what_stands_there() -> None:
    asked = rule("PID-5", "be_empty")
    (one,) = check_rules("\r".join(MESSAGE).encode(), Receiver("x", rules=(asked,)))
    assert "DOE" not in f"{one} {one.issue}"


@pytest.mark.parametrize(("level", "severity"), [("block", "error"), ("warn", "warning")])
def test_a_broken_rule_is_an_issue_with_its_source(level: Level, severity: str) -> None:
    asked = Rule("obr-20-valued", level, "a statement", RulePlace("OBR", 20), "be_valued", of="any")
    (one,) = check_rules("\r".join(MESSAGE).encode(), Receiver("x", rules=(asked,)))
    ending = ": not sent" if level == "block" else ""
    assert str(one.issue) == (
        f"{severity}: OBR-20: rule-obr-20-valued: OBR-20 must be valued, in one OBR at least (a statement){ending}"
    )


def test_bytes_that_are_no_message_are_refused() -> None:
    with pytest.raises(Unreadable):
        check_rules(b"PID|1", receiver("generic"))


def test_there_is_a_check_for_everything_that_a_rule_can_ask() -> None:
    assert CHECKS.keys() == MUST.keys()
