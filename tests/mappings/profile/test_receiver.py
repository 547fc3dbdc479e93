"""Decision D34: reading of a receiver profile, its base, and the faults of a wrong one."""

from collections.abc import Callable
from dataclasses import replace
from tomllib import loads

import pytest

from mappings.issues import SiteError
from mappings.profile import RECEIVERS, Receiver, Site, conflicts, parse_receiver, read_receiver, receiver, switches
from mappings.profile.receiver import CONFLICTS, STATUS_CODES
from mappings.profile.table import Table

RID = "RID49480^Category 1 Emergent Actionable Finding^RadLex"
# Settings that cannot work, whatever the rules are -> the reported key
IMPOSSIBLE = [
    ('version = "2.3"', "version"),
    ('escape = "strip"\ntext = "ft"', "escape"),
    ('escape = "strip"\nnte = "notes"', "escape"),
    ('zsegments = "off"', "uid"),
    ('zsegments = "off"\nuid = "both"', "uid"),
    ('critical = "obx15_rid"', "critical_code"),
    (f'critical_code = "{RID}"', "critical_code"),
    ('nte = "disclaimer"', "disclaimer"),
    ('disclaimer = "x"', "disclaimer"),
    ('accession_field = "3"', "accession_field"),
    ('accession_field = "3"\naccession = "required"\naccessions = "messages"\naddendum = "new_order"', "accessions"),
    ('addendum_obx3 = "addendum"\nobx3_style = "va"', "addendum_obx3"),
    ('send_drafts = "on"\nstatus_map = { P = "none" }', "send_drafts"),
    ('vista_exam = "required"\naccession_field = "3"\naccession = "required"', "vista_exam"),
    ('vista_patient = "dfn"\npid3_plain = "on"', "vista_patient"),
    ('vista_patient = "ssn"\nversion = "2.7"', "version"),
]
POSSIBLE = [
    'version = "2.3"\ncharset = "ASCII"',
    'escape = "strip"\ntext = "st_lines"',
    'zsegments = "off"\nuid = "obx113014"',
    f'critical = "obx15_rid"\ncritical_code = "{RID}"',
    'nte = "both"\ndisclaimer = "x"',
    'accession_field = "3"\naccession = "required"',
    'send_drafts = "on"\nstatus_map = { P = "R" }',
    'status_map = { C = "F", W = "void" }',
    'addendum = "append"',
]
# Switch values -> other switches they require
COMPANIONS = {
    ("version", "2.3"): 'charset = "ASCII"',
    ("accession_field", "3"): 'accession = "required"',
    ("zsegments", "off"): 'uid = "none"',
    ("critical", "obx15_rid"): f'critical_code = "{RID}"',
    ("nte", "disclaimer"): 'disclaimer = "x"',
    ("nte", "both"): 'disclaimer = "x"',
}
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
    made = parse_receiver('name = "ours"\nbase = "vista-2.3"\nwrap = "75"')
    assert (made.name, made.wrap, made.obx3_style, made.status_map) == (
        *("ours", "75", "va_suffix"),
        receiver("vista-2.3").status_map,
    )


def test_a_profile_can_name_its_receiver_and_give_the_name_back_to_the_site() -> None:
    made = parse_receiver('name = "x"\nbase = "rad128"\nreceiving_application = "ARC"\nreceiving_facility = ""')
    assert (made.receiving_application, made.receiving_facility) == ("ARC", "")


def test_a_map_stands_in_place_of_that_of_the_base() -> None:
    assert parse_receiver('name = "x"\nbase = "vista-2.3"\nstatus_map = { C = "F" }').status_map == (("C", "F"),)


def test_the_rules_of_the_base_hold_and_own_ones_are_added() -> None:
    made = parse_receiver('name = "x"\nbase = "vista-2.3"' + RULE)
    assert [rule.name for rule in made.rules] == [*(rule.name for rule in receiver("vista-2.3").rules), "obr-18-valued"]


def test_an_own_rule_stands_in_place_of_that_of_the_same_name() -> None:
    made = parse_receiver('name = "x"\nbase = "rad128"' + RULE.replace("block", "warn"))
    assert [rule.name for rule in made.rules] == [rule.name for rule in receiver("rad128").rules]
    (own,) = (rule for rule in made.rules if rule.name == "obr-18-valued")
    assert (own.level, own.source) == ("warn", "a statement")


def test_a_profile_that_does_not_exist_is_refused_by_name_of_those_that_do() -> None:
    with pytest.raises(SiteError, match="generic"):
        receiver("../generic")


@pytest.mark.parametrize(
    "read",
    [
        lambda: receiver("vista"),
        lambda: Site().receiver("vista"),
        lambda: parse_receiver('name = "ours"\nbase = "vista"'),
    ],
)
def test_the_profile_that_was_wrong_is_refused_by_name_of_both_that_stand_for_it(read: Callable[[], object]) -> None:
    with pytest.raises(SiteError, match=r"withdrawn.*Write vista-2\.3 or vista-2\.4"):
        read()


@pytest.mark.parametrize("text", ["", 'proof = "it works"', 'proof = "tested with "', 'proof = "from documents:"'])
def test_a_profile_of_this_package_must_say_how_it_was_proved(text: str) -> None:
    with pytest.raises(SiteError, match=r"receiver\.proof.*Write `tested with"):
        parse_receiver(f'name = "x"\n{text}', needs_proof=True)


def test_a_profile_of_a_sites_own_is_not_proved_by_what_its_base_was() -> None:
    assert parse_receiver('name = "x"\nbase = "generic"').proof == ""
    assert parse_receiver('name = "x"\nproof = "tested with Mercy PACS 7"').proof == "tested with Mercy PACS 7"


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
        ('name = "x"\nstatus_map = { X = "F" }', "receiver.status_map.X"),
        ('name = "x"\nstatus_map = { C = "X" }', "receiver.status_map.C"),
        ('name = "x"\nstatus_map = { C = ["F"] }', "receiver.status_map.C"),
        ('name = "x"\nstatus_map = { "C .*" = "F" }', "receiver.status_map.C .*"),
        ('name = "x"\nack_table = { AA = "done" }', "receiver.ack_table.AA"),
        ('name = "x"\nack_table = { "AE " = "retry" }', "receiver.ack_table.AE "),
        ('name = "x"\nack_table = { "AE [" = "retry" }', "receiver.ack_table.AE ["),
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
    beside = COMPANIONS.get((switch, value), "")
    assert getattr(parse_receiver(f'name = "x"\n{switch} = "{value}"\n{beside}'), switch) == value


@pytest.mark.parametrize("switch", [key for key, one in switches().items() if "range" in one.metadata])
def test_a_number_can_be_its_lowest_and_its_highest(switch: str) -> None:
    for value in switches()[switch].metadata["range"]:
        assert getattr(parse_receiver(f'name = "x"\n{switch} = {value}'), switch) == value


def test_the_meaning_of_an_acknowledgement_can_depend_on_its_error() -> None:
    made = parse_receiver('name = "x"\nack_table = { "AR 20[0-3]" = "dead_letter", AR = "retry" }')
    assert made.ack_table == (("AR 20[0-3]", "dead_letter"), ("AR", "retry"))


def test_a_text_can_be_anything() -> None:
    text = 'name = "x"\nnte = "disclaimer"\ndisclaimer = "Not | for ^ use"'
    assert parse_receiver(text).disclaimer == "Not | for ^ use"


@pytest.mark.parametrize(
    ("key", "code"),
    [
        *(("P", code) for code in ("F", "C", "A", "void")),
        *(("F", code) for code in ("P", "R", "C", "A", "none", "void")),
        *(("C", code) for code in ("P", "R", "A", "none", "void")),
        *(("A", code) for code in ("P", "R", "F", "C", "none", "void")),
        *(("W", code) for code in ("P", "R", "F", "C", "A", "none")),
    ],
)
def test_no_code_of_a_receiver_says_more_of_a_report_than_is_so_or_keeps_a_signed_one_back(key: str, code: str) -> None:
    with pytest.raises(SiteError) as caught:
        parse_receiver(f'name = "x"\nstatus_map = {{ {key} = "{code}" }}')
    assert caught.value.key == f"receiver.status_map.{key}"
    assert f'"{code}"' not in caught.value.remedy


@pytest.mark.parametrize(("key", "code"), [(key, code) for key, codes in STATUS_CODES.items() for code in codes])
def test_every_code_that_says_the_same_or_less_can_be_written(key: str, code: str) -> None:
    assert parse_receiver(f'name = "x"\nstatus_map = {{ {key} = "{code}" }}').status_map == ((key, code),)


def test_every_wrong_entry_of_a_map_is_told_not_just_the_first() -> None:
    faults: list[SiteError] = []
    read_receiver(Table({"name": "x", "status_map": {"P": "F", "C": "F", "F": "P"}}, "receiver", faults))
    assert [fault.key for fault in faults] == ["receiver.status_map.P", "receiver.status_map.F"]


@pytest.mark.parametrize(("settings", "key"), IMPOSSIBLE)
def test_switches_that_cannot_work_together_are_refused(settings: str, key: str) -> None:
    with pytest.raises(SiteError) as caught:
        parse_receiver(f'name = "x"\n{settings}')
    assert caught.value.key == f"receiver.{key}"
    assert caught.value.remedy


@pytest.mark.parametrize("settings", POSSIBLE)
def test_switches_that_go_together_are_left_alone(settings: str) -> None:
    assert conflicts(parse_receiver(f'name = "x"\n{settings}')) == []


def test_every_conflict_of_the_table_is_seen() -> None:
    seen = []
    for settings, _ in IMPOSSIBLE:
        given = {
            key: tuple(value.items()) if isinstance(value, dict) else value for key, value in loads(settings).items()
        }
        seen += conflicts(replace(Receiver("x"), **given))
    assert set(seen) == set(CONFLICTS)


def test_every_switch_says_what_it_decides() -> None:
    assert [key for key, one in switches().items() if len(one.metadata["doc"]) < 10] == []
    assert len(RECEIVERS) == 9
