"""`[[destination]]` and `[[ignore]]` tables: wrong keys are named, secrets come from the environment, none is shown."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import Literal, get_args, get_origin

import pytest
from annotated_types import Ge, Le

from gateway import settings
from gateway.settings import DestinationSettings, IgnoreSettings
from gateway.settings.destination import ONLY_OF, OVERRIDES, SECRETS
from mappings.profile import switches

GOOD = """
[[destination]]
name = "epic-oru"
kind = "mllp"
host = "engine.example"
port = 2575
receiver = "generic"
start = 2026-03-01T00:00:00-05:00
facilities = ["*"]
"""


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch):
    for name in os.environ:
        if name.upper().startswith(("GATEWAY_", "AVARA_")):
            monkeypatch.delenv(name)


@pytest.fixture
def survey(tmp_path):
    def survey(text):
        path = tmp_path / "gateway.toml"
        path.write_text(text)
        read, found = settings.survey(path)
        return read.settings if read else None, found

    return survey


def test_a_table_is_read_and_what_it_leaves_out_has_its_default(survey):
    read, found = survey(GOOD)
    (destination,) = read.destination
    assert found == []
    assert (destination.name, destination.kind, destination.port) == ("epic-oru", "mllp", 2575)
    assert destination.start == datetime(2026, 3, 1, 5, tzinfo=UTC)
    assert (destination.input_wait, destination.indeterminate_resends, destination.enabled) == (60, 5, True)
    assert destination.critical_alert_minutes == 15
    assert [getattr(destination, key) for key in OVERRIDES] == [None] * len(OVERRIDES)


def test_an_instant_may_be_in_quotes(survey):
    read, _ = survey(GOOD.replace("2026-03-01T00:00:00-05:00", '"2026-03-01T05:00:00Z"'))
    assert read.destination[0].start == datetime(2026, 3, 1, 5, tzinfo=UTC)


@pytest.mark.parametrize("key", ["name", "kind", "receiver", "start"])
def test_what_has_no_default_must_be_written_and_the_message_says_what(survey, key):
    lines = [line for line in GOOD.splitlines() if not line.startswith(f"{key} =")]
    _, (fault,) = survey("\n".join(lines))
    assert (fault.key, fault.problem) == (f"destination[0].{key}", "missing")
    assert fault.cure


def test_without_a_start_it_is_said_what_the_start_means_and_what_to_write(survey):
    _, (fault,) = survey(GOOD.replace("start = 2026-03-01T00:00:00-05:00\n", ""))
    assert "first signed earlier" in fault.cure
    assert "2026-03-01T00:00:00-05:00" in fault.cure


@pytest.mark.parametrize(
    ("line", "key"),
    [
        ("name = 'Epic'", "name"),
        ("name = ''", "name"),
        (f"name = '{'a' * 41}'", "name"),
        ("kind = 'mlp'", "kind"),
        ("start = 2026-03-01", "start"),
        ("start = 2026-03-01T00:00:00", "start"),
        ("start = 'soon'", "start"),
        ("start = 1767225600", "start"),
        ("start = 9999-12-31T23:59:59-05:00", "start"),
        ("facilities = []", "facilities"),
        ("facilities = ['']", "facilities"),
        ("facilities = ['*', 'Mercy']", "facilities"),
        ("express_customers = []", "express_customers"),
        ("statuses = ['finl']", "statuses"),
        ("statuses = []", "statuses"),
        ("critical = 'some'", "critical"),
        ("host = 'mllp://engine.example'", "host"),
        ("host = 'engine.example:2575'", "host"),
        ("host = ''", "host"),
        ("port = 0", "port"),
        ("port = 65536", "port"),
        ("url = 'engine.example/hl7'", "url"),
        ("url = 'https://u:p@engine.example'", "url"),
        ("url = 'https://engine.example?code=secret'", "url"),
        ("style = 'soap'", "style"),
        ("user = 'a:b'", "user"),
        ("token = 'two words'", "token"),
        ("token = ''", "token"),
        ("tls = 'perhaps'", "tls"),
        ("ack_timeout = 0", "ack_timeout"),
        ("ack_mode = 'enhanced'", "ack_mode"),
        ("ack_peers = ['engine.example']", "ack_peers"),
        ("ack_peers = ['10.1.2.3/24']", "ack_peers"),
        ("ack_peers = ['0.0.0.0/0']", "ack_peers"),
        ("ack_peers = ['10.1.2.3', '::/0']", "ack_peers"),
        ("ack_listen = '2576'", "ack_listen"),
        ("ack_listen = ':2576'", "ack_listen"),
        ("ack_listen = 'localhost:0'", "ack_listen"),
        ("ack_listen = 'localhost:65536'", "ack_listen"),
        ("ack_listen = 'localhost:hl7'", "ack_listen"),
        ("ack_listen = 'mllp://localhost:2576'", "ack_listen"),
        ("ack_listen = '::1:2576'", "ack_listen"),
        ("ack_listen = '[localhost]:2576'", "ack_listen"),
        ("ack_table = { AX = 'delivered' }", "ack_table"),
        ("ack_table = { AE = 'ignored' }", "ack_table"),
        ("ack_table = { 'AE (' = 'retry' }", "ack_table"),
        ("retry = 0", "retry"),
        ("window = 65", "window"),
        ("gap = -1", "gap"),
        ("quiet_hours = ['22-06']", "quiet_hours"),
        ("quiet_hours = ['24:00-06:00']", "quiet_hours"),
        ("quiet_hours = ['06:00-06:00']", "quiet_hours"),
        ("time_zone = 'Mars/Olympus'", "time_zone"),
        ("pdf = 'both'", "pdf"),
        ("accession = 'perhaps'", "accession"),
        ("strat = 1", "strat"),
    ],
)
def test_a_wrong_key_is_named_once_with_what_to_write(survey, line, key):
    lines = [one for one in GOOD.splitlines() if not one.startswith(f"{key} =")]
    _, (fault,) = survey("\n".join((*lines, line)))
    assert fault.key == f"destination[0].{key}"
    assert fault.problem
    assert fault.cure


def test_every_wrong_key_of_every_table_is_named(survey):
    _, found = survey(f"{GOOD}port = 0\n".replace("port = 2575\n", "") + GOOD.replace('"mllp"', '"fax"'))
    assert [fault.key for fault in found] == ["destination[0].port", "destination[1].kind"]


def test_a_key_that_is_spelled_wrong_is_met_with_the_right_one(survey):
    _, (fault,) = survey(GOOD + "acktimeout = 1")
    assert "destination[0].acktimeout: no such setting. Did you mean ack_timeout? Else take it out: " in str(fault)


def test_a_key_that_is_none_is_met_with_the_list_of_all(survey):
    _, (fault,) = survey(GOOD + "qqqqqq = 1")
    assert str(fault).endswith("qqqqqq: no such setting. Take it out: docs/reference/settings.md lists all settings.")


@pytest.mark.parametrize("section", ["destination", "ignore"])
def test_one_table_in_place_of_a_list_is_met_with_two_brackets(survey, section):
    _, (fault,) = survey(f"[{section}]\nname = 'epic'")
    assert (fault.key, f"[[{section}]]" in fault.cure) == (section, True)


@pytest.mark.parametrize(
    "host", ["engine", "engine.example", "10.0.0.1", "fe80::1", "::1", "fe80::1%eth0", "hl7_engine"]
)
def test_a_host_is_a_name_or_an_address(survey, host):
    read, found = survey(GOOD.replace("engine.example", host))
    assert (found, read.destination[0].host) == ([], host)


def test_a_rule_for_what_nobody_needs_has_a_name_and_a_reason(survey):
    rule = "[[ignore]]\nname = 'trials'\nmodalities = ['OT']\n"
    _, (fault,) = survey(rule)
    assert fault.key == "ignore[0].reason"
    read, found = survey(rule + "reason = 'read for a study'")
    assert (found, read.ignore[0].modalities) == ([], ("OT",))


def test_secrets_come_from_the_environment_which_outranks_the_file(survey, monkeypatch):
    web = "kind = 'http'\nurl = 'https://engine.example'\nreceiver = 'generic'\nstart = 2026-03-01T00:00:00Z\n"
    tables = f"[[destination]]\nname = 'a-b'\n{web}token = 'file'\n[[destination]]\nname = 'c'\n{web}user = 'u'\n"
    monkeypatch.setenv("GATEWAY_DESTINATION__A_B__TOKEN", "environment")
    monkeypatch.setenv("GATEWAY_DESTINATION__C__PASSWORD", "word")
    monkeypatch.setenv("GATEWAY_DESTINATION__C__TOKEN", "")
    read, found = survey(tables)
    assert found == []
    first, second = read.destination
    assert (first.token.get_secret_value(), second.password.get_secret_value()) == ("environment", "word")
    assert second.token is None


def test_a_wrong_secret_of_the_environment_is_named_by_its_variable_and_not_shown(survey, monkeypatch):
    monkeypatch.setenv("GATEWAY_DESTINATION__EPIC_ORU__TOKEN", "CANARY word")
    _, (fault,) = survey(GOOD)
    assert (fault.source, fault.key) == ("environment", "GATEWAY_DESTINATION__EPIC_ORU__TOKEN")
    assert "CANARY" not in str(fault)


@pytest.mark.parametrize("name", ["GATEWAY_DESTINATION__EPIC__TOKEN", "GATEWAY_DESTINATION__EPIC_ORU__HOST"])
def test_a_variable_of_no_destination_or_of_no_secret_is_not_passed_over(survey, monkeypatch, name):
    monkeypatch.setenv(name, "x")
    _, (fault,) = survey(GOOD)
    assert (fault.source, fault.key) == ("environment", name)


@pytest.mark.parametrize("text", ["destination = 1", "destination = ['a']", "[[destination]]\nname = 1"])
def test_tables_that_are_none_are_told_of_and_break_nothing(survey, text):
    _, found = survey(text)
    assert found
    assert all(fault.key.startswith("destination") for fault in found)


def test_no_secret_is_in_the_repr_of_what_was_read(survey):
    secrets = "".join(f"{key} = 'CANARY'\n" for key in SECRETS)
    assert "CANARY" not in repr(survey(GOOD + secrets))


def test_the_switches_of_a_profile_that_a_destination_has_take_the_same_values():
    for key in OVERRIDES:
        field, switch = DestinationSettings.model_fields[key], switches()[key].metadata
        (kind,) = (part for part in get_args(field.annotation) if part is not type(None))
        if "range" in switch:
            limits = {type(one): one for one in field.metadata}
            assert (limits[Ge].ge, limits[Le].le) == switch["range"], key
        elif "values" in switch:
            assert get_origin(kind) is Literal
            assert set(get_args(kind)) == set(switch["values"]), key


def test_every_key_is_a_row_with_type_and_description():
    for section, group in (("destination", DestinationSettings), ("ignore", IgnoreSettings)):
        rows = settings.table_rows(section)
        assert [row.key for row in rows] == [f"{section}.{name}" for name in group.model_fields]
        assert all(row.type and row.description.endswith(".") for row in rows)
    by_key = {row.key: row for row in settings.table_rows("destination")}
    assert by_key["destination.start"].default == "must be written"
    assert by_key["destination.token"].env == "GATEWAY_DESTINATION__<NAME>__TOKEN"
    assert by_key["destination.host"].env == ""
    assert by_key["destination.quiet_hours"].type == "list of text"


def test_a_key_of_some_kinds_alone_is_one_of_the_table():
    assert DestinationSettings.model_fields.keys() >= ONLY_OF.keys()
