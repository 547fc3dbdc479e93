"""Secrets from files: every secret has a variable for a file, and no message shows what is in one."""

from __future__ import annotations

import os

import pytest

from gateway import settings
from gateway.checks import config as config_check
from gateway.settings.site_files import SUFFIX

TABLE = """
[[destination]]
name = "epic-oru"
kind = "http"
url = "https://engine.example"
receiver = "generic"
start = 2026-03-01T00:00:00-05:00
facilities = ["*"]
user = "gateway"
"""
SECRETS = {
    "AVARA_API_KEY": "key-CANARY",
    "GATEWAY_UPSTREAM__API_KEY": "key-CANARY",
    "GATEWAY_UPSTREAM__PROXY": "http://user:CANARY@proxy.example:1",
    "AVARA_WEBHOOK_KEY": "whsec_Q0FOQVJZQ0FOQVJZ",
    "GATEWAY_DATABASE_URL": "postgresql://user:CANARY@host/name",
    "GATEWAY_MAPPING__SITE_KEY": "CANARY" * 8,
    "GATEWAY_FEED__ALERT_URL": "https://alerts.example/CANARY",
    "GATEWAY_FEED__ALERT_KEY": "whsec_Q0FOQVJZQ0FOQVJZ",
    "GATEWAY_DESTINATION__EPIC_ORU__PASSWORD": "CANARY word",
    "GATEWAY_DESTINATION__EPIC_ORU__CLIENT_KEY_PASSWORD": "CANARY word",
}


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch):
    for name in os.environ:
        if name.upper().startswith(("GATEWAY_", "AVARA_")):
            monkeypatch.delenv(name)


@pytest.fixture
def survey(tmp_path):
    def survey(text=TABLE):
        path = tmp_path / "gateway.toml"
        path.write_text(text)
        return settings.survey(path)

    return survey


@pytest.fixture
def secret(tmp_path, monkeypatch):
    """Write a secret's file and name it in the secret's variable."""

    def secret(variable, content):
        path = tmp_path / variable.lower()
        path.write_bytes(content)
        monkeypatch.setenv(variable + SUFFIX, str(path))

    return secret


def shown(configuration):
    """All settings, with what is in the secrets."""
    found = {}
    for section, group in configuration.settings:
        for one in group if isinstance(group, tuple) else (group,):
            found |= {
                f"{section}.{name}": value.get_secret_value()
                for name, value in one
                if hasattr(value, "get_secret_value")
            }
    return found


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n"])
@pytest.mark.parametrize("variable", SECRETS)
def test_a_secret_from_a_file_is_the_same_as_one_from_its_variable(survey, secret, monkeypatch, variable, end):
    with monkeypatch.context() as patched:
        patched.setenv(variable, SECRETS[variable])
        by_variable, _ = survey()
    secret(variable, SECRETS[variable].encode() + end)
    by_file, found = survey()
    assert (found, shown(by_file), by_file.site.site_key) == ([], shown(by_variable), by_variable.site.site_key)
    assert shown(by_file) != shown(survey_of_nothing(survey, monkeypatch, variable))


def survey_of_nothing(survey, monkeypatch, variable):
    monkeypatch.delenv(variable + SUFFIX)
    return survey()[0]


def test_only_the_line_end_at_the_end_is_dropped(survey, secret):
    secret("GATEWAY_DESTINATION__EPIC_ORU__PASSWORD", b" two\nlines \n\n")
    assert survey()[0].settings.destination[0].password.get_secret_value() == " two\nlines \n"


def test_a_secret_of_a_file_outranks_the_settings_file(survey, secret):
    secret("GATEWAY_DESTINATION__EPIC_ORU__PASSWORD", b"new")
    secret("GATEWAY_MAPPING__SITE_KEY", b"n" * 32)
    read, found = survey(f'[mapping]\nsite_key = "{"o" * 32}"\n{TABLE}password = "old"\n')
    assert (found, read.site.site_key) == ([], b"n" * 32)
    assert read.settings.destination[0].password.get_secret_value() == "new"


@pytest.mark.parametrize(
    ("variable", "other"),
    [
        ("AVARA_API_KEY", "AVARA_API_KEY"),
        ("AVARA_API_KEY", "GATEWAY_UPSTREAM__API_KEY"),
        ("GATEWAY_MAPPING__SITE_KEY", "GATEWAY_MAPPING__SITE_KEY"),
        ("GATEWAY_DESTINATION__EPIC_ORU__PASSWORD", "GATEWAY_DESTINATION__EPIC_ORU__PASSWORD"),
    ],
)
def test_a_secret_that_is_given_twice_is_refused_and_both_variables_are_named(
    survey, secret, monkeypatch, variable, other
):
    secret(variable, b"CANARY")
    monkeypatch.setenv(other, "CANARY" * 8)
    _, found = survey()
    fault = next(one for one in found if one.source == "environment")
    assert (fault.key, fault.problem) == (variable + SUFFIX, f"set, and {other} is set as well")
    assert not any("CANARY" in str(one) for one in found)


def test_a_secret_of_two_files_is_refused_and_both_variables_are_named(survey, secret):
    secret("AVARA_API_KEY", b"CANARY")
    secret("GATEWAY_UPSTREAM__API_KEY", b"CANARY")
    (fault,) = survey()[1]
    assert "AVARA_API_KEY_FILE" in str(fault)
    assert "GATEWAY_UPSTREAM__API_KEY_FILE" in str(fault)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "cannot be read (No such file or directory)"),
        (b"", "is empty"),
        (b"\n", "is empty"),
        (b"\xff\xfeCANARY", "is not UTF-8"),
        (b"CANARY" * 20_000, "is too large"),
    ],
)
@pytest.mark.parametrize("variable", ["AVARA_API_KEY", "GATEWAY_DESTINATION__EPIC_ORU__PASSWORD"])
def test_a_file_that_cannot_be_used_is_named_by_its_variable_with_a_remedy(
    survey, secret, tmp_path, variable, content, problem
):
    secret(variable, content or b"")
    if content is None:
        (tmp_path / variable.lower()).unlink()
    found = survey()[1]
    assert (found[0].source, found[0].key, found[0].problem) == (
        "environment",
        variable + SUFFIX,
        f"the file it names {problem}",
    )
    assert found[0].cure
    assert not any("CANARY" in str(one) or str(tmp_path / variable.lower()) in str(one) for one in found)


def test_a_folder_is_no_secret(survey, monkeypatch, tmp_path):
    monkeypatch.setenv("AVARA_API_KEY_FILE", str(tmp_path))
    assert survey()[1][0].problem == "the file it names is no file"


@pytest.mark.parametrize(
    ("variable", "content"),
    [
        ("AVARA_API_KEY", b"CANARY word"),
        ("GATEWAY_MAPPING__SITE_KEY", b"CANARY"),
        ("GATEWAY_DATABASE_URL", b"CANARY"),
        ("GATEWAY_DESTINATION__EPIC_ORU__TOKEN", b"CANARY word"),
    ],
)
def test_a_wrong_secret_of_a_file_is_named_by_its_variable_and_not_shown(survey, secret, variable, content):
    secret(variable, content)
    found = survey()[1]
    assert [(one.source, one.key) for one in found] == [("environment", variable + SUFFIX)]
    assert "CANARY" not in str(found)


@pytest.mark.parametrize("name", ["GATEWAY_SERVER__PORT_FILE", "GATEWAY_DESTINATION__OTHER__TOKEN_FILE"])
def test_a_variable_of_no_secret_is_not_passed_over(survey, monkeypatch, name):
    monkeypatch.setenv(name, "x")
    assert [(one.source, one.key) for one in survey()[1]] == [("environment", name)]


def test_a_section_that_is_no_table_is_reported_as_one(survey, secret):
    secret("AVARA_API_KEY", b"key")
    assert "upstream" in [one.key for one in survey("upstream = 1\n")[1]]


def test_check_config_shows_no_secret_of_a_file(survey, secret, tmp_path):
    for variable, value in SECRETS.items():
        if variable not in {"GATEWAY_UPSTREAM__API_KEY", "GATEWAY_DESTINATION__EPIC_ORU__CLIENT_KEY_PASSWORD"}:
            secret(variable, value.encode())
    read, found = survey()
    assert found == []
    lines = [*config_check.effective(read), *config_check.warnings(read), repr(read)]
    assert not any("CANARY" in line or "Q0FOQVJZ" in line for line in lines)
