"""Decision D34: how a receiver profile is read, what it starts from, and what is said of one that is wrong."""

import pytest

from mappings.issues import SiteError
from mappings.profile import RECEIVERS, Receiver, parse_receiver, receiver, switches

RULE = """
[[rules]]
name = "obr-18-valued"
level = "block"
source = "a statement"
field = "OBR-18"
must = "be_valued"
"""


def test_a_switch_that_is_left_out_has_its_default() -> None:
    assert parse_receiver('name = "x"') == Receiver("x")


def test_the_defaults_are_those_of_generic_which_knows_nothing_of_its_receiver() -> None:
    generic = receiver("generic")
    assert {key: getattr(generic, key) for key in switches()} == {key: one.default for key, one in switches().items()}


def test_a_profile_starts_from_the_one_that_it_names_as_its_base() -> None:
    made = parse_receiver('name = "ours"\nbase = "vista"\nwrap = "75"')
    assert (made.name, made.wrap, made.obx3_style, made.status_map) == (
        *("ours", "75", "va"),
        receiver("vista").status_map,
    )


def test_a_map_stands_in_place_of_that_of_the_base() -> None:
    assert parse_receiver('name = "x"\nbase = "vista"\nstatus_map = { C = "F" }').status_map == (("C", "F"),)


def test_the_rules_of_the_base_hold_and_own_ones_are_added() -> None:
    made = parse_receiver('name = "x"\nbase = "vista"' + RULE)
    assert [rule.name for rule in made.rules] == [*(rule.name for rule in receiver("vista").rules), "obr-18-valued"]


def test_an_own_rule_stands_in_place_of_that_of_the_same_name() -> None:
    made = parse_receiver('name = "x"\nbase = "rad128"' + RULE.replace("block", "warn"))
    assert [rule.name for rule in made.rules] == [rule.name for rule in receiver("rad128").rules]
    (own,) = (rule for rule in made.rules if rule.name == "obr-18-valued")
    assert (own.level, own.source) == ("warn", "a statement")


def test_a_profile_that_does_not_exist_is_refused_by_name_of_those_that_do() -> None:
    with pytest.raises(SiteError, match="generic"):
        receiver("../generic")


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ('name = "x"\nuidd = "zds"', "receiver.uidd"),
        ('name = "x"\nuid = "obx"', "receiver.uid"),
        ('name = "x"\nvitals = true', "receiver.vitals"),
        ('name = "x"\nbase = "epic"', "receiver.base"),
        ('name = "x"\ndisclaimer = 1', "receiver.disclaimer"),
        ('name = "x"\npdf_max = "10 MB"', "receiver.pdf_max"),
        ('name = "x"\npdf_max = 1', "receiver.pdf_max"),
        ('name = "x"\nretry = true', "receiver.retry"),
        ('name = "x"\nwindow = 65', "receiver.window"),
        ('name = "x"\nstatus_map = "F"', "receiver.status_map"),
        ('name = "x"\nstatus_map = { X = "F" }', "receiver.status_map"),
        ('name = "x"\nstatus_map = { C = "X" }', "receiver.status_map"),
        ('name = "x"\nstatus_map = { "C .*" = "F" }', "receiver.status_map"),
        ('name = "x"\nack_table = { AA = "done" }', "receiver.ack_table"),
        ('name = "x"\nack_table = { "AE " = "retry" }', "receiver.ack_table"),
        ('name = "x"\nack_table = { "AE [" = "retry" }', "receiver.ack_table"),
        ('uid = "zds"', "receiver.name"),
        ("name =", "receiver"),
    ],
)
def test_a_wrong_profile_is_refused_with_the_key_and_a_remedy(text: str, key: str) -> None:
    with pytest.raises(SiteError) as caught:
        parse_receiver(text)
    assert caught.value.key == key
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("switch", "value"),
    [
        (key, value)
        for key, one in switches().items()
        if "keys" not in one.metadata
        for value in one.metadata.get("values", ())
    ],
)
def test_every_value_of_every_switch_can_be_written(switch: str, value: str) -> None:
    assert getattr(parse_receiver(f'name = "x"\n{switch} = "{value}"'), switch) == value


@pytest.mark.parametrize("switch", [key for key, one in switches().items() if "range" in one.metadata])
def test_a_number_can_be_its_lowest_and_its_highest(switch: str) -> None:
    for value in switches()[switch].metadata["range"]:
        assert getattr(parse_receiver(f'name = "x"\n{switch} = {value}'), switch) == value


def test_the_meaning_of_an_acknowledgement_can_depend_on_its_error() -> None:
    made = parse_receiver('name = "x"\nack_table = { "AR 20[0-3]" = "dead_letter", AR = "retry" }')
    assert made.ack_table == (("AR 20[0-3]", "dead_letter"), ("AR", "retry"))


def test_a_text_can_be_anything() -> None:
    assert parse_receiver('name = "x"\ndisclaimer = "Not | for ^ use"').disclaimer == "Not | for ^ use"


def test_every_switch_says_what_it_decides() -> None:
    assert [key for key, one in switches().items() if len(one.metadata["doc"]) < 10] == []
    assert len(RECEIVERS) == 6
