"""The settings of authentication name the key that is wrong and what to do about it.

https://hl7.org/fhir/smart-app-launch/STU2.2/backend-services.html
"""

from __future__ import annotations

import pytest

from gateway.settings import survey


@pytest.fixture
def auth(tmp_path):
    """Return a function that reads an `[auth]` section, and returns it or the faults."""

    def read(**keys):
        path = tmp_path / "gateway.toml"
        lines = [
            f"{key} = {str(value).lower() if isinstance(value, bool) else repr(value)}" for key, value in keys.items()
        ]
        path.write_text("\n".join(["[auth]", *lines]))
        found, faults = survey(path)
        return found.settings.auth if found else [str(one) for one in faults]

    return read


def test_without_the_section_no_mode_is_set_and_nothing_is_open(auth):
    assert (auth().mode, auth().is_builtin, auth().allow_private_jwks) == (None, False, False)


def test_the_issuer_stays_as_it_is_written_since_its_tokens_name_it_letter_for_letter(auth):
    assert auth(mode="external", issuer="https://login.example/").issuer == "https://login.example/"
    assert auth(mode="external", issuer="https://login.example").issuer == "https://login.example"


@pytest.mark.parametrize(("mode", "needs"), [("builtin", True), ("external", True), ("none", False)])
def test_with_a_mode_but_none_every_request_needs_a_token(auth, mode, needs):
    assert auth(mode=mode).needs_token is needs


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"mode": "open"}, "auth.mode: "),
        ({"mode": "external", "audience": ""}, "auth.audience: "),
        ({"mode": "builtin", "issuer": "http://gateway.example"}, "auth.issuer: http to another machine"),
        ({"mode": "builtin", "issuer": "gateway"}, "auth.issuer: not an absolute http or https URL"),
        ({"modes": "builtin"}, "auth.modes: no such setting. Did you mean auth.mode? Else take it out: "),
    ],
)
def test_a_wrong_value_is_refused_with_its_key_and_a_remedy(auth, keys, said):
    faults = auth(**keys)
    assert any(said in one for one in faults), faults


def test_an_issuer_on_this_machine_may_be_http(auth):
    assert auth(mode="builtin", issuer="http://127.0.0.1:8800").issuer == "http://127.0.0.1:8800"
