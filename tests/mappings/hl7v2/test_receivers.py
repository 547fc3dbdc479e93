"""Decision D34: receiver profiles of this package, each of whose rules is shown to fire."""

from collections.abc import Iterator
from dataclasses import fields

import pytest

from mappings.hl7v2.received import Received, read
from mappings.hl7v2.receiver_rules import check_rules, occasions, written
from mappings.profile import RECEIVERS, Receiver, Rule, receiver, switches
from mappings.profile.rule import ANYWHERE, RulePlace

_VISTA = {
    "sending_application": "RA-AUTOSCRIBE",
    "charset": "ASCII",
    "escape": "no_F",
    "accessions": "messages",
    "wrap": "80",
    "ack_table": (("AE", "hold_lane"), ("AR", "hold_lane")),
}
# Switches of each profile that differ from the defaults
SWITCHES = {
    "generic": {},
    "epic-observed": {"msh9_3": "off", "pid3_plain": "on", "xpn_type": "off"},
    "vista-2.3": {
        **_VISTA,
        "version": "2.3",
        "vista_patient": "dfn",
        "vista_exam": "required",
        "interpreter": "name",
        "obx3_style": "va_suffix",
        "addendum": "append",
        "status_map": (("C", "F"), ("P", "R"), ("W", "void")),
    },
    "vista-2.4": {
        **_VISTA,
        "version": "2.4",
        "vista_patient": "ssn",
        "interpreter": "local_id",
        "accession": "required",
        "accession_field": "3",
        "obx3_style": "va_report",
        "status_map": (("P", "R"), ("W", "void")),
    },
    "rad128": {"uid": "obx113014", "visit_indicator": "on", "critical": "obx8_ce", "accession": "required"},
    "pkb": {"status_map": (("W", "void"),)},
    "fhir-converter": {},
    "openemr": {
        "pid3_plain": "on",
        "text": "tx_repeat",
        "uid": "none",
        "zsegments": "off",
        "critical": "nte",
        "status_map": (("W", "void"),),
    },
    "officeemr": {"version": "2.4"},
}
# Text that breaks a rule at its place; for the other rules see `breaking`
BAD_TEXT = {"be_valued": "", "be_empty": "X", "be_one_of": "QQ", "equal": "QQ", "match": "Z"}
ALL_RULES = [(name, rule) for name in RECEIVERS for rule in receiver(name).rules]


def test_the_profiles_are_those_that_public_evidence_tells_of() -> None:
    assert set(RECEIVERS) == SWITCHES.keys()


@pytest.mark.parametrize("name", RECEIVERS)
def test_a_profile_sets_the_switches_that_its_receiver_needs(name: str) -> None:
    made, default = receiver(name), Receiver(name)
    differing = {key for key in switches() if getattr(made, key) != getattr(default, key)}
    assert {key: getattr(made, key) for key in differing} == SWITCHES[name]


@pytest.mark.parametrize("name", RECEIVERS)
def test_a_profile_is_named_as_its_file(name: str) -> None:
    assert receiver(name).name == name


@pytest.mark.parametrize("name", RECEIVERS)
def test_a_profile_says_what_it_was_tested_with_or_from_which_documents_it_is(name: str) -> None:
    assert receiver(name).proof.startswith(("tested with ", "from documents: "))


def test_only_what_the_tests_send_to_foreign_software_was_tested() -> None:
    """See the converters of tests/conformance/converters.py, the servers of tests/conformance/receivers/servers.py."""
    assert [name for name in RECEIVERS if receiver(name).proof.startswith("tested")] == ["fhir-converter", "generic"]


def test_every_rule_names_where_it_stands() -> None:
    assert [rule.name for _, rule in ALL_RULES if len(rule.source) < 5] == []


def test_a_rule_of_one_name_is_the_same_wherever_it_stands_or_has_another_source() -> None:
    said = {(rule.name, rule.must, rule.field) for _, rule in ALL_RULES}
    assert len(said) == len({name for name, _, _ in said})


def good(name: str) -> list[bytes]:
    """Messages of the specimen for a profile."""
    return [message for occasion in occasions() for message in written(occasion, receiver(name))]


@pytest.mark.parametrize("name", RECEIVERS)
def test_the_specimen_keeps_every_blocking_rule_of_every_profile(name: str) -> None:
    assert len(good(name)) >= 5
    broken = [one for message in good(name) for one in check_rules(message, receiver(name))]
    assert [(one.rule.name, one.place) for one in broken if one.rule.level == "block"] == []


@pytest.mark.parametrize(("name", "rule"), ALL_RULES, ids=[f"{name}-{rule.name}" for name, rule in ALL_RULES])
def test_every_rule_of_every_profile_is_seen_to_fire(name: str, rule: Rule) -> None:
    alone = Receiver(name, rules=(rule,))
    kept = [repaired(message, rule) for message in good(name)]
    for message in kept:
        assert check_rules(message, alone) == ()
    for message in kept:
        assert [one.rule for one in check_rules(broken(message, rule), alone)][:1] == [rule]


@pytest.mark.parametrize(("name", "rule"), ALL_RULES, ids=[f"{name}-{rule.name}" for name, rule in ALL_RULES])
def test_what_breaks_a_rule_breaks_no_other_but_those_of_the_same_field(name: str, rule: Rule) -> None:
    message = good(name)[0]
    before = {one.rule.name for one in check_rules(message, receiver(name))}
    fired = [one.rule for one in check_rules(broken(message, rule), receiver(name)) if one.rule.name not in before]
    field = {(one.field.segment, one.field.field) for one in fired if one.field.segment != ANYWHERE}
    place = place_of_mutation(rule)
    same = {(place.segment, place.field), *((one.segment, one.field) for one in others(fired))}
    assert field <= same


def others(rules: list[Rule]) -> Iterator[RulePlace]:
    """Yield the fields that rules compare with another one, or select segments by."""
    for rule in rules:
        if rule.must == "equal" or rule.where:
            yield rule.field


def place_of_mutation(rule: Rule) -> RulePlace:
    return RulePlace("PID", 5, 1) if rule.field.segment == ANYWHERE else rule.field


def breaking(rule: Rule) -> str:
    """Make a text that breaks a rule and leaves the segment selected by it."""
    if rule.must in ("not_be_one_of", "not_contain"):
        return rule.value[0]
    if rule.must == "be_at_most":
        return "x" * (int(rule.value[0]) + 1)
    is_chosen_by_it = rule.where is not None and rule.where.place.field == rule.field.field
    return f"{rule.where.text}^QQ" if rule.where and is_chosen_by_it else BAD_TEXT[rule.must]


def repaired(message: bytes, rule: Rule) -> bytes:
    """Repair a message so that it keeps a rule: AutoScribe knows no visit, and a withdrawal is one."""
    text = rule.value[0] if rule.must == "be_one_of" else "V"
    return put(message, rule, text) if check_rules(message, Receiver("x", rules=(rule,))) else message


def broken(message: bytes, rule: Rule) -> bytes:
    return put(message, rule, breaking(rule))


def put(message: bytes, rule: Rule, text: str) -> bytes:
    """Put a text at the place of a rule, in every segment that it concerns, or in a new one at the end."""
    received, place = read(message), place_of_mutation(rule)
    rows = [[segment.name, *segment.fields[2 if segment.name == "MSH" else 1 :]] for segment in received.segments]
    chosen = [row for row, is_chosen in zip(rows, chosen_by(received, rule, place), strict=True) if is_chosen]
    if not chosen:
        rows.append([place.segment])
        chosen = rows[-1:]
        if rule.where:
            set_text(rows[-1], rule.where.place, rule.where.text)
    for row in chosen:
        set_text(row, place, text)
    return "".join("|".join(row) + "\r" for row in rows).encode("utf-8", "surrogateescape")


def chosen_by(received: Received, rule: Rule, place: RulePlace) -> Iterator[bool]:
    """Yield for each segment if the rule concerns it."""
    for segment in received.segments:
        where = rule.where
        is_there = where is None or segment.field(where.place.field).split("^")[0] == where.text
        yield segment.name == place.segment and is_there


def set_text(row: list[str], place: RulePlace, text: str) -> None:
    """Put a text at a place of a segment, in every repetition; MSH-2 is the first field in `row`."""
    number = place.field - 1 if row[0] == "MSH" else place.field
    row += [""] * (number + 1 - len(row))
    row[number] = "~".join(with_part(one, place, text) for one in row[number].split("~"))


def with_part(repetition: str, place: RulePlace, text: str) -> str:
    if not place.component:
        return text
    parts = repetition.split("^")
    parts += [""] * (place.component - len(parts))
    if place.subcomponent:
        inner = parts[place.component - 1].split("&")
        inner += [""] * (place.subcomponent - len(inner))
        inner[place.subcomponent - 1] = text
        text = "&".join(inner)
    parts[place.component - 1] = text
    return "^".join(parts)


def test_every_switch_is_a_field_of_the_class() -> None:
    assert [one.name for one in fields(Receiver) if one.name not in ("name", "proof", "rules")] == list(switches())
