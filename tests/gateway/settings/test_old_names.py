"""A renamed setting works under its old name for one release, with a warning that has the new one; decision D47."""

import pytest

from gateway.checks import config
from gateway.runtime.errors import ConfigError
from gateway.settings import TABLES, load, survey
from gateway.settings.model import fields
from gateway.settings.old_names import REMOVED, RENAMED

RENAMINGS = {
    "feed.hold": "feed.lease",
    "destination.away_from": "destination.start",
    "feed.escalate.after": "feed.escalate.minutes",
    "mapping.sender": "mapping.sending_facility",
    "mapping.codes": "mapping.procedures",
}
FILE = """
[feed]
hold = 17
escalate = [{ url = "https://pager.example/", after = 9 }]
[mapping]
sender = "HERE"
codes = "codes.csv"
[[destination]]
name = "ehr"
kind = "file"
directory = "out"
receiver = "generic"
facilities = ["*"]
away_from = 2026-01-01T00:00:00Z
"""


@pytest.fixture
def file(tmp_path, monkeypatch):
    for old, new in RENAMINGS.items():
        monkeypatch.setitem(RENAMED, old, new)
    (tmp_path / "codes.csv").write_text("procedure,code,system,display,modality\n")
    made = tmp_path / "gateway.toml"
    made.write_text(FILE)
    return made


def test_every_row_of_the_table_leads_to_a_setting_of_the_same_section():
    known = {f"{section}.{name}" for section, name, _ in fields()}
    known |= {f"{section}.{name}" for section in TABLES for name in TABLES[section].model_fields}
    for old, new in RENAMED.items():
        assert new in known and old not in known
        assert old.rpartition(".")[0] == new.rpartition(".")[0]
    assert not known & REMOVED.keys()


def test_old_names_in_a_file_set_what_the_new_ones_do_and_are_all_named(file):
    made = load(file)
    (ehr,), (escalation,) = made.settings.destination, made.settings.feed.escalate
    assert (made.settings.feed.lease, escalation.minutes, ehr.start.year) == (17, 9, 2026)
    assert (made.settings.mapping.sending_facility, made.site.sending_facility) == ("HERE", "HERE")
    assert made.settings.mapping.procedures is not None
    assert {(one.old, one.new) for one in made.old_names} == {
        ("feed.hold", "feed.lease"),
        ("feed.escalate[0].after", "feed.escalate[0].minutes"),
        ("destination[0].away_from", "destination[0].start"),
        ("mapping.sender", "mapping.sending_facility"),
        ("mapping.codes", "mapping.procedures"),
    }


def test_an_old_name_in_the_environment_sets_what_the_new_one_does_and_outranks_the_file(file, monkeypatch):
    monkeypatch.setenv("GATEWAY_FEED__HOLD", "19")
    monkeypatch.setenv("GATEWAY_MAPPING__SENDER", "THERE")
    made = load(file)
    assert (made.settings.feed.lease, made.site.sending_facility) == (19, "THERE")
    assert ("GATEWAY_FEED__HOLD", "GATEWAY_FEED__LEASE") in {(one.old, one.new) for one in made.old_names}


def test_check_config_notes_each_old_name_with_the_new_one(file):
    assert f"{file}: feed.hold: now called feed.lease. The next release refuses the old name." in list(
        config.warnings(load(file))
    )


@pytest.mark.parametrize("place", ["file", "environment"])
def test_a_setting_under_both_names_is_refused(file, monkeypatch, place):
    if place == "file":
        file.write_text(FILE.replace("hold = 17", "hold = 17\nlease = 18"))
    else:
        monkeypatch.setenv("GATEWAY_FEED__HOLD", "19")
        monkeypatch.setenv("GATEWAY_FEED__LEASE", "18")
    with pytest.raises(ConfigError, match=r"the old name of .*LEASE, which is set as well|of feed\.lease, which is"):
        load(file)


def test_a_faulty_value_under_an_old_name_is_refused(file):
    file.write_text(FILE.replace("hold = 17", "hold = 0"))
    _, problems = survey(file)
    assert [one.key for one in problems] == ["feed.lease"]


def test_a_setting_that_is_gone_is_refused_with_what_to_do(tmp_path, monkeypatch):
    for name in ("batch", "pipelining"):
        monkeypatch.setitem(REMOVED, f"mapping.receivers.{name}", "Take it out: it changed nothing.")
    file = tmp_path / "gateway.toml"
    file.write_text('[[mapping.receivers]]\nname = "own"\nbase = "generic"\nbatch = "on"\npipelining = "on"\n')
    _, problems = survey(file)
    assert sorted(str(one) for one in problems) == [
        f"{file}: mapping.receivers[0].{name}: no such setting any more. Take it out: it changed nothing."
        for name in ("batch", "pipelining")
    ]
