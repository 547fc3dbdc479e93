"""Decision D34: rules of a receiver, and the faults of a wrong one."""

import pytest

from mappings.issues import SiteError
from mappings.profile import Rule, parse_receiver
from mappings.profile.rule import MUST, RulePlace, Where, place_of

HEAD = 'name = "x"\n[[rules]]\n'
WHOLE = {
    "name": '"obr-18-valued"',
    "level": '"block"',
    "source": '"a statement"',
    "field": '"OBR-18"',
    "must": '"be_valued"',
}


def read(**changes: str | None) -> Rule:
    """Read the rule of a profile whose only rule is WHOLE with these keys changed; None removes one."""
    rows = {key: value for key, value in {**WHOLE, **changes}.items() if value is not None}
    (rule,) = parse_receiver(HEAD + "".join(f"{key} = {value}\n" for key, value in rows.items())).rules
    return rule


def test_a_rule_is_read_as_it_is_written() -> None:
    assert read() == Rule("obr-18-valued", "block", "a statement", RulePlace("OBR", 18), "be_valued")


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("OBR-18", RulePlace("OBR", 18)),
        ("OBX-3.1", RulePlace("OBX", 3, 1)),
        ("OBX-3.1.2", RulePlace("OBX", 3, 1, 2)),
        ("ZDS-1", RulePlace("ZDS", 1)),
    ],
)
def test_a_place_is_read_and_written_alike(text: str, place: RulePlace) -> None:
    assert place_of(text) == place
    assert str(place) == text


def test_a_rule_can_choose_its_segments_and_ask_for_one_of_them() -> None:
    rule = read(field='"OBX-5"', where='"OBX-3.1 != 113014"', of='"any"')
    assert (rule.where, rule.of) == (Where(RulePlace("OBX", 3, 1), False, "113014"), "any")


@pytest.mark.parametrize(
    ("must", "value", "read_as"),
    [
        ("be_one_of", '["A", "F"]', ("A", "F")),
        ("not_be_one_of", """['""']""", ('""',)),
        ("not_contain", r"['\F\']", ("\\F\\",)),
        ("match", "'[IDRF].*'", ("[IDRF].*",)),
        ("equal", '"OBR-4"', ("OBR-4",)),
        ("be_at_most", "80", ("80",)),
        ("be_empty", None, ()),
    ],
)
def test_what_must_hold_has_the_value_it_needs(must: str, value: str | None, read_as: tuple[str, ...]) -> None:
    assert read(must=f'"{must}"', value=value).value == read_as


@pytest.mark.parametrize("must", ["not_be_one_of", "not_contain", "be_at_most"])
def test_a_rule_can_be_about_every_value_of_a_message(must: str) -> None:
    assert read(field='"*"', must=f'"{must}"', value="80" if must == "be_at_most" else '["x"]').field == RulePlace("*")


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"name": None}, "name"),
        ({"name": '"OBR 18"'}, "name"),
        ({"level": None}, "level"),
        ({"level": '"stop"'}, "level"),
        ({"source": None}, "source"),
        ({"source": '" "'}, "source"),
        ({"field": None}, "field"),
        ({"field": '"OBR18"'}, "field"),
        ({"field": '"obr-18"'}, "field"),
        ({"field": '"OBR-0"'}, "field"),
        ({"must": None}, "must"),
        ({"must": '"exist"'}, "must"),
        ({"where": '"OBX-3.1=113014"'}, "where"),
        ({"where": '"OBX = 113014"'}, "where"),
        ({"of": '"some"'}, "of"),
        ({"vale": '"x"'}, "vale"),
        ({"value": '"x"'}, "value"),
        ({"must": '"be_one_of"'}, "value"),
        ({"must": '"be_one_of"', "value": "[]"}, "value"),
        ({"must": '"not_contain"', "value": "[1]"}, "value"),
        ({"must": '"match"', "value": '"["'}, "value"),
        ({"must": '"match"', "value": "1"}, "value"),
        ({"must": '"equal"', "value": '"OBR"'}, "value"),
        ({"must": '"equal"', "value": "4"}, "value"),
        ({"must": '"be_at_most"', "value": '"80"'}, "value"),
        ({"must": '"be_at_most"', "value": "0"}, "value"),
        ({"must": '"be_at_most"', "value": "true"}, "value"),
        ({"field": '"*"'}, "field"),
        ({"field": '"*"', "must": '"be_at_most"', "value": "80", "of": '"any"'}, "field"),
        ({"field": '"*"', "must": '"be_at_most"', "value": "80", "where": '"OBX-2 = TX"'}, "field"),
    ],
)
def test_a_wrong_rule_is_refused_with_its_place_and_a_remedy(changes: dict[str, str | None], key: str) -> None:
    with pytest.raises(SiteError) as caught:
        read(**changes)
    assert caught.value.key == f"receiver.rules[0].{key}"
    assert caught.value.remedy


def test_two_rules_of_a_profile_cannot_have_one_name() -> None:
    one = "[[rules]]\n" + "".join(f"{key} = {value}\n" for key, value in WHOLE.items())
    with pytest.raises(SiteError) as caught:
        parse_receiver('name = "x"\n' + one + one)
    assert caught.value.key == "receiver.rules[1].name"


def test_rules_that_are_no_list_of_tables_are_refused() -> None:
    with pytest.raises(SiteError) as caught:
        parse_receiver('name = "x"\nrules = "none"')
    assert caught.value.key == "receiver.rules"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "OBR-18 must be valued"),
        ({"must": '"be_one_of"', "value": '["A", "F"]'}, "OBR-18 must be one of `A`, `F`"),
        ({"field": '"*"', "must": '"not_contain"', "value": r"['\F\']"}, "every value must not contain `\\F\\`"),
        ({"field": '"OBX-5"', "where": '"OBX-2 = ED"'}, "OBX-5 must be valued, where OBX-2 = ED"),
        ({"field": '"OBX-5"', "of": '"any"'}, "OBX-5 must be valued, in one OBX at least"),
        (
            {"field": '"OBX-5"', "of": '"any"', "where": '"OBX-2 != ED"'},
            "OBX-5 must be valued, in one OBX at least with OBX-2 != ED",
        ),
    ],
)
def test_a_rule_says_what_it_asks_in_words(changes: dict[str, str | None], said: str) -> None:
    assert str(read(**changes)) == said


def test_every_form_of_value_is_read() -> None:
    assert set(MUST.values()) == {"nothing", "texts", "pattern", "place", "number"}
