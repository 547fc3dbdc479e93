"""The settings of the console's sign-in name the key that is wrong and what to do about it."""

from __future__ import annotations

import pytest

from gateway.settings import survey

PROVIDER = """[console]
issuer = "https://login.hospital.example"
client_id = "console"
client_secret = "secret"
[console.groups]
"radiology-it" = "operator"
"CN=Reading,OU=Groups" = "reader"
"""


@pytest.fixture
def console(tmp_path):
    """Return a function that reads a file, and returns the section `[console]` or the faults."""

    def read(text):
        path = tmp_path / "gateway.toml"
        path.write_text(text)
        found, faults = survey(path)
        return found.settings.console if found else [str(one) for one in faults]

    return read


def test_without_the_section_there_is_no_provider(console):
    assert (console("").issuer, console("").groups, console("").scope) == (None, {}, "openid profile")


def test_a_group_is_named_letter_for_letter_and_the_secret_is_not_shown(console):
    read = console(PROVIDER)
    assert read.groups == {"radiology-it": "operator", "CN=Reading,OU=Groups": "reader"}
    assert "secret'" not in repr(read) and read.client_secret.get_secret_value() == "secret"


def test_the_secret_may_stand_in_the_environment(console, monkeypatch):
    monkeypatch.setenv("GATEWAY_CONSOLE__CLIENT_SECRET", "from outside")
    assert console(PROVIDER).client_secret.get_secret_value() == "from outside"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (PROVIDER.replace('"operator"', '"root"'), "console.groups: "),
        (PROVIDER.replace("client_id", "client"), "console.client: no such setting"),
        (PROVIDER + '[console.subjects]\n"1" = "Admin"', "console.subjects: "),
        ('[console]\nclient_id = "console"', "console.client_id: without effect, since there is no issuer"),
        ('[console.groups]\nstaff = "admin"', "console.groups: without effect, since there is no issuer"),
        (PROVIDER.replace("[console.groups]", 'scope = "profile"\n[console.groups]'), "console.scope: "),
    ],
)
def test_a_wrong_value_is_refused_with_its_key(console, text, said):
    faults = console(text)
    assert any(said in one for one in faults), faults
