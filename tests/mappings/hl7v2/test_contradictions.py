"""Decision D34: switches that break a rule of their profile are reported, each with a remedy."""

from typing import Any

import pytest

from mappings.hl7v2.receiver_rules import contradictions, occasions, written
from mappings.profile import RECEIVERS, Receiver, parse_receiver, receiver

# Settings on a base whose rules they break -> the reported key, the rule, and the remedy
REFUSED = [
    ('base = "pkb"\naddendum = "append"', "addendum", "obr-25-never-appends", 'addendum = "replace"'),
    ('base = "vista-2.3"\nescape = "full"', "escape", "no-escaped-field-separator", 'escape = "no_F" or escape ='),
    ('base = "vista-2.3"\nobx3_style = "va"', "obx3_style", "obx-3-suffix-known", 'obx3_style = "va_suffix"'),
    ('base = "vista-2.3"\nstatus_map = {}', "status_map.C", "obr-25-known", 'status_map = { C = "F" }'),
    ('base = "vista-2.3"\nsend_drafts = "on"\nstatus_map = { C = "F" }', "status_map.P", "obr-25-known", 'P = "R"'),
    ('base = "vista-2.3"\nvista_exam = "off"', "vista_exam", "obr-3.1-exam", 'vista_exam = "required"'),
    ('base = "vista-2.3"\ninterpreter = "npi"', "interpreter", "obr-32-family-given", 'interpreter = "name"'),
    ('base = "vista-2.3"\nversion = "2.4"', "version", "msh-12-for-this-routine", 'version = "2.3"'),
    ('base = "vista-2.3"\nsending_application = "EHR"', "rules", "msh-3-begins-with-ra", "No switch alone mends it"),
    ('base = "vista-2.4"\naddendum = "append"', "addendum", "obr-25-known", 'addendum = "replace"'),
    ('base = "vista-2.4"\nobx3_style = "va"', "obx3_style", "obx-3-report", 'obx3_style = "va_report"'),
    ('base = "vista-2.4"\ninterpreter = "npi"', "interpreter", "obr-32.1-no-npi", 'interpreter = "local_id"'),
    ('base = "vista-2.4"\naccession_field = "20"', "accession_field", "obr-3.1-site-accession", '_field = "3"'),
    ('base = "fhir-converter"\nvitals = "on"', "vitals", "obx-2-tx", 'vitals = "off"'),
    ('base = "fhir-converter"\ntext = "ft"', "text", "obx-2-tx", 'text = "tx_lines"'),
    ('base = "fhir-converter"\npdf = "separate_message"', "pdf", "obx-2-tx", 'pdf = "none"'),
    ('base = "fhir-converter"\npid3_plain = "on"', "pid3_plain", "pid-3.4-valued", 'pid3_plain = "off"'),
    ('base = "epic-observed"\nxpn_type = "on"', "xpn_type", "pid-5.7-empty", 'xpn_type = "off"'),
    ('base = "rad128"\nuid = "zds"', "uid", "uid-obx-there", 'uid = "obx113014" or uid = "both"'),
    ('base = "rad128"\nuid_type = "HD"', "uid_type", "uid-obx-typed-st", 'uid_type = "ST"'),
    ('base = "rad128"\nack_mode = "commit"', "ack_mode", "msh-16-empty", 'ack_mode = "original"'),
    ('base = "rad128"\nversion = "2.4"', "version", "msh-12-is-2.5.1", 'version = "2.5.1"'),
    ('base = "rad128"\naccession_field = "20"', "accession_field", "obr-18-valued", 'accession_field = "18"'),
]


def told(settings: str) -> dict[str, str]:
    """Faults of a profile with these settings: key -> problem and remedy."""
    faults = contradictions(parse_receiver(f'name = "x"\n{settings}'))
    return {fault.key.removeprefix("mapping.receivers.x."): f"{fault.problem} {fault.remedy}" for fault in faults}


@pytest.mark.parametrize("name", RECEIVERS)
def test_no_profile_of_this_package_contradicts_itself(name: str) -> None:
    assert contradictions(receiver(name)) == ()


@pytest.mark.full
@pytest.mark.parametrize(("settings", "key", "rule", "remedy"), REFUSED)
def test_a_switch_that_breaks_a_rule_is_told_with_what_keeps_it(
    settings: str, key: str, rule: str, remedy: str
) -> None:
    said = told(settings)[key]
    assert f"`{rule}`" in said
    assert remedy in said


def test_what_is_told_says_on_which_occasion_by_which_source_and_what_to_write() -> None:
    (fault,) = contradictions(parse_receiver('name = "x"\nbase = "pkb"\naddendum = "append"'))
    assert str(fault) == (
        "mapping.receivers.x.addendum: an addendum would break `obr-25-never-appends`: OBR-25 must not be one of `A` "
        '(dev.patientsknowbest.com: a repeat replaces the whole report). Write addendum = "replace" or '
        'addendum = "new_order".'
    )


@pytest.mark.full
def test_a_rule_that_no_switch_can_keep_is_told_as_such() -> None:
    rule = '[[rules]]\nname = "r"\nlevel = "block"\nsource = "s p. 1"\nfield = "MSH-9"\nmust = "be_empty"'
    assert told(rule)["rules"].endswith("No switch alone mends it: turn several.")


def test_a_warning_is_no_contradiction() -> None:
    rule = '[[rules]]\nname = "r"\nlevel = "warn"\nsource = "s p. 1"\nfield = "MSH-9"\nmust = "be_empty"'
    assert told(rule) == {}


@pytest.mark.parametrize(
    ("switch", "value", "count"),
    [("accessions", "messages", 1), ("pdf", "separate_message", 1), ("send_drafts", "on", 1), ("vitals", "on", 0)],
)
def test_the_specimen_is_written_in_as_many_messages_as_the_switches_ask_for(
    switch: str, value: Any, count: int
) -> None:
    turned = parse_receiver(f'name = "x"\n{switch} = "{value}"')
    more = sum(len(written(one, turned)) - len(written(one, Receiver("x"))) for one in occasions())
    assert (more > 0) == bool(count)
