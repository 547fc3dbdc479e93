"""`check-config` names what is wrong with the settings of a login, and online with the issuer's documents.

OpenID Connect Discovery 1.0 §4.3.
"""

from __future__ import annotations

import json

import pytest
from fakes.console_site import console_settings
from fakes.identity_provider import FakeProvider
from fakes.issuer import DISCOVERY_URL, ISSUER, JWKS_URL, Documents, described, external_settings

from gateway.checks.login import check_login, faults, online_faults
from gateway.runtime.errors import ConfigError
from gateway.settings import Configuration, Settings
from mappings.profile import Site


def configured(settings):
    return Configuration(settings, Site(), "gateway.toml")


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        (Settings(auth={"mode": "external"}), "auth.issuer"),
        (external_settings(audience=None), "auth.audience"),
        (Settings(auth={"mode": "builtin"}, server={"public_url": "https://gateway.example/r4"}), "auth.issuer"),
        (console_settings(client_secret=None), "console.client_secret"),
    ],
)
def test_a_setting_that_is_missing_is_named_by_the_check_and_stops_the_start(settings, key):
    [fault] = faults(configured(settings))
    assert (fault.source, fault.key) == ("gateway.toml", key)
    with pytest.raises(ConfigError, match=key):
        check_login(settings)


@pytest.mark.parametrize(
    "settings", [Settings(), Settings(auth={"mode": "builtin"}), external_settings(), console_settings()]
)
def test_settings_that_are_good_have_no_fault(settings):
    assert list(faults(configured(settings))) == []


@pytest.mark.parametrize(
    ("url", "document", "said"),
    [
        (DISCOVERY_URL, None, "auth.issuer: the discovery document cannot be fetched (no-answer). Compare it"),
        (
            DISCOVERY_URL,
            json.dumps(described(issuer=f"{ISSUER}/")).encode(),
            "auth.issuer: the discovery document names another issuer; a slash at the end counts. Compare it",
        ),
        (JWKS_URL, b'{"keys": []}', "auth.issuer: the issuer's key set cannot be used: `keys` is empty"),
    ],
)
async def test_online_the_documents_of_the_issuer_are_judged(url, document, said):
    documents = Documents()
    assert await online_faults(configured(external_settings()), documents.fetch) == []
    documents.by_url[url] = document
    [fault] = await online_faults(configured(external_settings()), documents.fetch)
    assert said in str(fault)


async def test_without_an_external_issuer_nobody_is_asked():
    documents = Documents()
    for settings in (Settings(), Settings(auth={"mode": "builtin"}), external_settings(audience=None)):
        assert await online_faults(configured(settings), documents.fetch) == []
    assert documents.asked == []


async def test_online_the_identity_provider_of_the_console_is_asked_too():
    provider, settings = FakeProvider(), configured(console_settings())
    assert await online_faults(settings, provider) == []
    provider.says = {"issuer": "https://other.example"}
    [fault] = await online_faults(settings, provider)
    assert (fault.key, "another issuer" in fault.problem) == ("console.issuer", True)
    provider.is_down = True
    [fault] = await online_faults(settings, provider)
    assert "no-answer" in fault.problem
